"""The trained graph as float/, int8/ and mobile/."""

for NUMBER, (FOLDERS, NAMES) in enumerate(EXPORT_RULES.items(), 1):

    rule:
        name:
            "export_models" if NUMBER == 1 else f"export_models_{NUMBER}"
        input:
            **program("export"),
            model="results/{experiment}/trained/model",
            weights="results/{experiment}/trained/weights",
        output:
            [
                f"{folder}/{file}"
                for folder in FOLDERS
                for file in ("model", "weights", "manifest.json")
            ],
        log:
            "logs/export_models/{experiment}.log",
        wildcard_constraints:
            experiment="|".join(NAMES),
        localrule: True
        conda:
            "../../envs/light.yaml"
        resources:
            **asks(LIGHT),
        params:
            trained=subpath(input.model, parent=True),
            # a function of the input is no reason to run again: nor is where the YAML lies
            config=lambda wildcards, input: of(wildcards).compress.config,
            overrides=lambda wildcards, input: json.dumps(
                of(wildcards).compress.overrides
            ),
            strategy=lambda wildcards: strategy_of(wildcards.experiment)[0],
            # what the YAML says, not its text: a comment in it reruns nothing
            export=export_part,
            experiment=subpath(input.model, ancestor=2),
        shell:
            "python {input.script:q} --trained {params.trained} --config {params.config:q}"
            " --overrides {params.overrides:q} --strategy {params.strategy:q}"
            " --experiment {params.experiment} > {log} 2>&1"
