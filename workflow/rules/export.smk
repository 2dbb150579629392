"""The trained graph as float/, int8/ and mobile/."""


rule export_models:
    input:
        **program("export"),
        model="results/{experiment}/trained/model",
        weights="results/{experiment}/trained/weights",
    output:
        [
            f"{folder}/{file}"
            for folder in EXPORTED.values()
            for file in ("model", "weights", "manifest.json")
        ],
    log:
        "logs/export_models/{experiment}.log",
    conda:
        "../../envs/light.yaml"
    resources:
        mem="1GB",
        runtime="10m",
    params:
        trained=subpath(input.model, parent=True),
        # a function of the input is no reason to run again: nor is where the YAML lies
        config=lambda wildcards, input: CONFIG.compress.config,
        strategy=STRATEGY,
        # what the YAML says, not its text: a comment in it reruns nothing
        export=export_part(COMPRESS),
        experiment=subpath(input.model, ancestor=2),
    shell:
        "python {input.script} --trained {params.trained} --config {params.config:q}"
        " --strategy {params.strategy:q} --experiment {params.experiment} > {log} 2>&1"
