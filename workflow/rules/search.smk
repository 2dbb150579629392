"""A search before training: rounds of candidates, each evaluated by a job of its own, side by side where there is room."""


rule measure_latency:
    input:
        **program("measure_latency"),
        model=plan.pretrained_file("model"),
        weights=plan.pretrained_file("weights"),
        program=plan.first_demo_file("demo/cxx/mobile_light/mobilenetv1_light_api"),
        library=plan.first_demo_file("manifest.json"),
    output:
        LATENCY_TABLE,
    log:
        "logs/measure_latency/{experiment}.log",
    # a phone hangs on this machine, not on a cluster's
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
        adb=1,
    params:
        recipe=lambda wildcards: job_options.measured_recipe(
            plan.recipe_of(wildcards)
        ).shaping,
        # a function of the input is no reason to run again
        rest=lambda wildcards, input: job_options.measured_recipe(
            plan.recipe_of(wildcards)
        ).rest,
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            plan.config_of(wildcards)
        ),
        device=lambda wildcards: job_options.measured_device(
            plan.first_device(wildcards)
        ),
        pretrained=subpath(input.model, parent=True),
        library=subpath(input.library, parent=True),
    shell:
        "python {input.script:q} --recipe {params.rest:q} {params.recipe:q} --pretrained {params.pretrained}"
        " --library {params.library} --device {params.device:q} --model {params.keep_in_float:q}"
        " --work work/latency/{wildcards.experiment} --output {output} > {log} 2>&1"


rule propose_candidates:
    input:
        unpack(searches.round_before),
        **program("propose_candidates"),
        model=plan.pretrained_file("model"),
        weights=plan.pretrained_file("weights"),
        init_model=plan.init_model_files,
        latency=searches.latency_table,
    output:
        "results/{experiment}/search/round_{round}/candidates.json",
    log:
        "logs/propose_candidates/{experiment}.{round}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        recipe=lambda wildcards: job_options.proposed_recipe(
            plan.recipe_of(wildcards)
        ).shaping,
        # a function of the input is no reason to run again
        rest=lambda wildcards, input: job_options.proposed_recipe(
            plan.recipe_of(wildcards)
        ).rest,
        number=lambda wildcards: len(searches.candidates_of(wildcards)),
        seed=lambda wildcards: plan.config_of(wildcards).seed,
        pretrained=subpath(input.model, parent=True),
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            plan.config_of(wildcards)
        ),
        latency=job_options.where_input("latency", of="latency"),
        before=lambda wildcards, input: (
            f"--before {input.before} --outcomes {' '.join(input.outcomes)}"
            if "before" in input.keys()
            else ""
        ),
    shell:
        "python {input.script:q} --recipe {params.rest:q} {params.recipe:q} --pretrained {params.pretrained}"
        " {params.latency} --model {params.keep_in_float:q} --seed {params.seed} --count {params.number} {params.before}"
        " --output {output} > {log} 2>&1"


rule evaluate_candidate:
    input:
        **program("evaluate_candidate"),
        candidates="results/{experiment}/search/round_{round}/candidates.json",
        data=plan.data_manifest,
        model=plan.pretrained_file("model"),
        weights=plan.pretrained_file("weights"),
        init_model=plan.init_model_files,
        latency=searches.latency_table,
    output:
        outcome="results/{experiment}/search/round_{round}/candidate_{candidate}/outcome.json",
        model="results/{experiment}/search/round_{round}/candidate_{candidate}/model",
        weights="results/{experiment}/search/round_{round}/candidate_{candidate}/weights",
    log:
        "logs/evaluate_candidate/{experiment}.{round}.{candidate}.log",
    benchmark:
        "logs/evaluate_candidate/{experiment}.{round}.{candidate}.jsonl"
    # ahead of device runs and whatever else takes a core or two: on few cores it would wait for their end
    priority: 10
    conda:
        "../../envs/tensorflow.yaml"
    threads: 4
    resources:
        **needs.candidate_evaluation,
        gpu=needs.gpus,
    params:
        recipe=lambda wildcards: job_options.evaluated_recipe(
            plan.recipe_of(wildcards)
        ).shaping,
        # a function of the input is no reason to run again
        rest=lambda wildcards, input: job_options.evaluated_recipe(
            plan.recipe_of(wildcards)
        ).rest,
        compress=lambda wildcards: job_options.candidate_training(
            plan.config_of(wildcards)
        ),
        # nor is how the state is kept, or another machine
        state=lambda wildcards, input: job_options.training_state(
            plan.config_of(wildcards)
        ),
        hardware=lambda wildcards, input: job_options.hardware(
            plan.config_of(wildcards)
        ),
        seed=lambda wildcards: plan.config_of(wildcards).seed,
        pretrained=subpath(input.model, parent=True),
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            plan.config_of(wildcards)
        ),
        latency=job_options.where_input("latency", of="latency"),
        folder=subpath(output.outcome, parent=True),
    shell:
        # exec: a cluster ends all processes of a job, and without its shell Snakemake would not wait for the state
        "exec python {input.script:q} --recipe {params.rest:q} {params.recipe:q} --pretrained {params.pretrained}"
        " {params.latency} --model {params.keep_in_float:q} --data {input.data} --seed {params.seed} --threads {threads}"
        " --candidates {input.candidates} --number {wildcards.candidate}"
        " --work work/search/{wildcards.experiment}/candidate_{wildcards.candidate}"
        " --compress {params.compress:q} {params.state:q} --hardware {params.hardware:q}"
        " --output {params.folder} > {log} 2>&1"


rule conclude_search:
    input:
        **program("conclude_search"),
        rounds=searches.all_rounds,
        candidates=searches.all_candidates,
    output:
        multiext(
            "results/{experiment}/search/best/",
            "best.json",
            "history.csv",
            "model",
            "weights",
        ),
    log:
        "logs/conclude_search/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        strategy=lambda wildcards: searches.strategy_of(wildcards).class_,
        metric=lambda wildcards: searches.strategy_of(wildcards).metric_name,
        folders=lambda wildcards, input: list(
            dict.fromkeys(os.path.dirname(path) for path in input.candidates)
        ),
        folder=subpath(output[0], parent=True),
    shell:
        "python {input.script:q} --strategy {params.strategy} --metric {params.metric} --rounds {input.rounds}"
        " --candidates {params.folders} --output {params.folder} > {log} 2>&1"
