"""A search before training: rounds of candidates, each evaluated by a job of its own, side by side where there is room."""


rule measure_latency:
    input:
        **program("measure_latency"),
        model=pretrained_file("model"),
        weights=pretrained_file("weights"),
        program=first_demo_file("demo/cxx/mobile_light/mobilenetv1_light_api"),
        library=first_demo_file("manifest.json"),
    output:
        LATENCY_TABLE,
    log:
        "logs/measure_latency/{experiment}.log",
    # a phone hangs on this machine, not on a cluster's
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
        adb=1,
    params:
        recipe=lambda wildcards: job_options.measured_recipe(
            COMPRESS[wildcards.experiment]
        ).shaping,
        # a function of the input is no reason to run again
        rest=lambda wildcards, input: job_options.measured_recipe(
            COMPRESS[wildcards.experiment]
        ).rest,
        keep_in_float=lambda wildcards: job_options.kept_in_float(of(wildcards)),
        device=lambda wildcards: job_options.measured_device(first_device(wildcards)),
        pretrained=subpath(input.model, parent=True),
        library=subpath(input.library, parent=True),
    shell:
        "python {input.script:q} --recipe {params.rest:q} {params.recipe:q} --pretrained {params.pretrained}"
        " --library {params.library} --device {params.device:q} --model {params.keep_in_float:q}"
        " --work work/latency/{wildcards.experiment} --output {output} > {log} 2>&1"


rule propose_candidates:
    input:
        unpack(round_before),
        **program("propose_candidates"),
        model=pretrained_file("model"),
        weights=pretrained_file("weights"),
        init_model=init_model_files,
        latency=latency_table,
    output:
        "results/{experiment}/search/round_{round}/candidates.json",
    log:
        "logs/propose_candidates/{experiment}.{round}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        recipe=lambda wildcards: job_options.proposed_recipe(
            COMPRESS[wildcards.experiment]
        ).shaping,
        # a function of the input is no reason to run again
        rest=lambda wildcards, input: job_options.proposed_recipe(
            COMPRESS[wildcards.experiment]
        ).rest,
        number=lambda wildcards: len(candidates_of(wildcards)),
        seed=lambda wildcards: of(wildcards).seed,
        pretrained=subpath(input.model, parent=True),
        keep_in_float=lambda wildcards: job_options.kept_in_float(of(wildcards)),
        latency=flag_where("latency", of="latency"),
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
        data=data_manifest,
        model=pretrained_file("model"),
        weights=pretrained_file("weights"),
        init_model=init_model_files,
        latency=latency_table,
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
        **asks(candidate_evaluation),
        gpu=gpus_of,
    params:
        recipe=lambda wildcards: job_options.evaluated_recipe(
            COMPRESS[wildcards.experiment]
        ).shaping,
        # a function of the input is no reason to run again
        rest=lambda wildcards, input: job_options.evaluated_recipe(
            COMPRESS[wildcards.experiment]
        ).rest,
        compress=lambda wildcards: job_options.candidate_training(of(wildcards)),
        # nor is how the state is kept, or another machine
        state=lambda wildcards, input: job_options.training_state(of(wildcards)),
        hardware=lambda wildcards, input: job_options.hardware(of(wildcards)),
        seed=lambda wildcards: of(wildcards).seed,
        pretrained=subpath(input.model, parent=True),
        keep_in_float=lambda wildcards: job_options.kept_in_float(of(wildcards)),
        latency=flag_where("latency", of="latency"),
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
        rounds=all_rounds,
        candidates=all_candidates,
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
        **asks(LIGHT),
    params:
        strategy=lambda wildcards: SEARCHES[wildcards.experiment].class_,
        metric=lambda wildcards: SEARCHES[wildcards.experiment].metric_name,
        folders=lambda wildcards, input: list(
            dict.fromkeys(os.path.dirname(path) for path in input.candidates)
        ),
        folder=subpath(output[0], parent=True),
    shell:
        "python {input.script:q} --strategy {params.strategy} --metric {params.metric} --rounds {input.rounds}"
        " --candidates {params.folders} --output {params.folder} > {log} 2>&1"
