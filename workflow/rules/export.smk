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
            recipe=lambda wildcards: job_options.exported_recipe(
                COMPRESS[wildcards.experiment]
            ).shaping,
            # a function of the input is no reason to run again
            rest=lambda wildcards, input: job_options.exported_recipe(
                COMPRESS[wildcards.experiment]
            ).rest,
            experiment=subpath(input.model, ancestor=2),
        shell:
            "python {input.script:q} --trained {params.trained} --experiment {params.experiment}"
            " --recipe {params.rest:q} {params.recipe:q} > {log} 2>&1"
