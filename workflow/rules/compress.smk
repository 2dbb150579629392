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
        recipe=lambda wildcards: job_options.trained_recipe(
            COMPRESS[wildcards.experiment]
        ).shaping,
        # a function of the input is no reason to run again: where and what is exported is none
        rest=lambda wildcards, input: job_options.trained_recipe(
            COMPRESS[wildcards.experiment]
        ).rest,
        compress=lambda wildcards: job_options.training(of(wildcards)),
        # nor is how the state is kept, or another machine
        state=lambda wildcards, input: job_options.training_state(of(wildcards)),
        hardware=lambda wildcards, input: job_options.hardware(of(wildcards)),
        keep_in_float=lambda wildcards: job_options.kept_in_float(of(wildcards)),
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
        " --recipe {params.rest:q} {params.recipe:q} --compress {params.compress:q} {params.state:q}"
        " --model {params.keep_in_float:q} --hardware {params.hardware:q} --output {params.folder} > {log} 2>&1"
