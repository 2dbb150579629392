"""Training for int8, and the trained graph as float/, int8/ and mobile/."""


rule choose_widths:
    input:
        **program("choose_widths"),
        data=plan.data_manifest,
        model=plan.pretrained_file("model"),
        weights=plan.pretrained_file("weights"),
        latency=searches.latency_table,
    output:
        "results/{experiment}/widths.json",
    log:
        "logs/choose_widths/{experiment}.log",
    benchmark:
        "logs/choose_widths/{experiment}.jsonl"
    conda:
        "../../envs/light.yaml"
    threads: 4
    resources:
        **needs.widths_by_litert,
    params:
        recipe=lambda wildcards: job_options.chosen_recipe(
            plan.recipe_of(wildcards)
        ).shaping,
        # a function of the input is no reason to run again
        rest=lambda wildcards, input: job_options.chosen_recipe(
            plan.recipe_of(wildcards)
        ).rest,
        compress=lambda wildcards: job_options.equalising(plan.config_of(wildcards)),
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            plan.config_of(wildcards)
        ),
        latency=job_options.where_input("latency", of="latency"),
        pretrained=subpath(input.model, parent=True),
    shell:
        "python {input.script:q} --recipe {params.rest:q} {params.recipe:q} --pretrained {params.pretrained}"
        " {params.latency} --data {input.data} --model {params.keep_in_float:q} --compress {params.compress:q} --cores {threads}"
        " --work work/widths/{wildcards.experiment} --output {output} > {log} 2>&1"


# Its checkpoints are no outputs: a killed job goes on from them.
rule train_int8:
    input:
        **program("compress"),
        data=plan.data_manifest,
        model=plan.pretrained_file("model"),
        weights=plan.pretrained_file("weights"),
        teacher=plan.teacher_files,
        init_model=plan.init_model_files,
        search=searches.best,
        network=searches.best_network,
        widths=searches.widths,
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
        **needs.int8_training,
        gpu=needs.gpus,
    params:
        recipe=lambda wildcards: job_options.trained_recipe(
            plan.trained_recipe_of(wildcards)
        ).shaping,
        # a function of the input is no reason to run again: where and what is exported is none
        rest=lambda wildcards, input: job_options.trained_recipe(
            plan.trained_recipe_of(wildcards)
        ).rest,
        compress=lambda wildcards: job_options.training(plan.config_of(wildcards)),
        # nor is how the state is kept, or another machine
        state=lambda wildcards, input: job_options.training_state(
            plan.config_of(wildcards)
        ),
        hardware=lambda wildcards, input: job_options.hardware(
            plan.config_of(wildcards)
        ),
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            plan.config_of(wildcards)
        ),
        pretrained=subpath(input.model, parent=True),
        teacher=lambda wildcards, input: (
            f"--teacher {Path(input.teacher[0]).parent}" if input.teacher else ""
        ),
        search=job_options.where_input("search", of="search"),
        widths=job_options.where_input("widths", of="widths"),
        seed=lambda wildcards: plan.config_of(wildcards).seed,
        experiment=subpath(output.model, ancestor=2),
        folder=subpath(output.model, parent=True),
    shell:
        # exec: a cluster ends all processes of a job, and without its shell Snakemake would not wait for the state
        "exec python {input.script:q} --data {input.data} --pretrained {params.pretrained} {params.teacher} {params.search} {params.widths}"
        " --experiment {params.experiment} --seed {params.seed} --threads {threads}"
        " --recipe {params.rest:q} {params.recipe:q} --compress {params.compress:q} {params.state:q}"
        " --model {params.keep_in_float:q} --hardware {params.hardware:q} --output {params.folder} > {log} 2>&1"


for NUMBER, (EXPORTED, NAMES) in enumerate(exports.rules(), 1):

    rule:
        name:
            "export_models" if NUMBER == 1 else f"export_models_{NUMBER}"
        input:
            **program("export"),
            model=plan.quantised_graph("model"),
            weights=plan.quantised_graph("weights"),
        output:
            EXPORTED,
        log:
            "logs/export_models/{experiment}.log",
        benchmark:
            "logs/export_models/{experiment}.jsonl"
        wildcard_constraints:
            experiment="|".join(NAMES),
        localrule: True
        conda:
            "../../envs/light.yaml"
        resources:
            **needs.light,
        params:
            trained=subpath(input.model, parent=True),
            recipe=lambda wildcards: job_options.exported_recipe(
                plan.recipe_of(wildcards)
            ).shaping,
            # a function of the input is no reason to run again
            rest=lambda wildcards, input: job_options.exported_recipe(
                plan.recipe_of(wildcards)
            ).rest,
            experiment="results/{experiment}",
        shell:
            "python {input.script:q} --trained {params.trained} --experiment {params.experiment}"
            " --recipe {params.rest:q} {params.recipe:q} > {log} 2>&1"
