"""Training for int8. Its checkpoints are no outputs: a killed job goes on from them."""


rule train_int8:
    input:
        **program("compress"),
        data=data_manifest,
        model=pretrained_file("model"),
        weights=pretrained_file("weights"),
        teacher=teacher_files,
        init_model=init_model_files,
        search=best_found,
        network=best_network,
    output:
        model="results/{experiment}/trained/model",
        weights="results/{experiment}/trained/weights",
        history="results/{experiment}/trained/history.csv",
        manifest="results/{experiment}/trained/manifest.json",
    log:
        "logs/train_int8/{experiment}.log",
    benchmark:
        "logs/train_int8/{experiment}.jsonl"
    # ahead of device runs and whatever else takes a core or two: on few cores it would wait for their end
    priority: 10
    conda:
        "../../envs/tensorflow.yaml"
    threads: 4
    resources:
        **asks(int8_training),
        gpu=gpus_of,
    params:
        flags=flags_of("compress", leave_out=("config", "overrides", *STATE_KEYS)),
        keep_in_float=flags_of("model", only=("keep_in_float",)),
        hardware=hardware_of,
        state=state_of,
        # a function of the input is no reason to run again: nor is where the YAML lies
        config=lambda wildcards, input: of(wildcards).compress.config,
        overrides=lambda wildcards, input: json.dumps(of(wildcards).compress.overrides),
        # what the YAML says, not its text: a comment in it reruns nothing
        training=training_part,
        pretrained=subpath(input.model, parent=True),
        teacher=lambda wildcards, input: (
            f"--teacher {Path(input.teacher[0]).parent}" if input.teacher else ""
        ),
        search=flag_where("search", of="search"),
        seed=lambda wildcards: of(wildcards).seed,
        experiment=subpath(output.model, ancestor=2),
        folder=subpath(output.model, parent=True),
    shell:
        # exec: a cluster ends all processes of a job, and without its shell Snakemake would not wait for the state
        "exec python {input.script:q} --data {input.data} --pretrained {params.pretrained} {params.teacher} {params.search}"
        " --experiment {params.experiment} --seed {params.seed} --threads {threads}"
        " --config {params.config:q} --overrides {params.overrides:q} --output {params.folder}"
        " {params.flags} {params.state} {params.keep_in_float} {params.hardware} > {log} 2>&1"
