"""Training for int8. Its checkpoints are no outputs: a killed job goes on from them."""


rule train_int8:
    input:
        **program("compress"),
        data=expand("data/{dataset}/manifest.json", dataset=CONFIG.data.name),
        model=f"pretrain/{CONFIG.pretrained.name}_pretrained/model",
        weights=f"pretrain/{CONFIG.pretrained.name}_pretrained/weights",
    output:
        model="results/{experiment}/trained/model",
        weights="results/{experiment}/trained/weights",
        history="results/{experiment}/trained/history.csv",
        manifest="results/{experiment}/trained/manifest.json",
    log:
        "logs/train_int8/{experiment}.log",
    benchmark:
        "logs/train_int8/{experiment}.jsonl"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 4
    resources:
        mem="4GB",
        runtime="4h",
    params:
        flags=flags(CONFIG.compress, leave_out=("config",)),
        # a function of the input is no reason to run again: nor is where the YAML lies
        config=lambda wildcards, input: CONFIG.compress.config,
        # what the YAML says, not its text: a comment in it reruns nothing
        training=training_part(COMPRESS),
        pretrained=subpath(input.model, parent=True),
        seed=CONFIG.seed,
        experiment=subpath(output.model, ancestor=2),
        folder=subpath(output.model, parent=True),
    shell:
        "python {input.script} --data {input.data} --pretrained {params.pretrained}"
        " --experiment {params.experiment} --seed {params.seed} --threads {threads}"
        " --config {params.config:q} --output {params.folder} {params.flags} > {log} 2>&1"
