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
        # a function of the input is no reason to run again: nor is where the YAML lies
        config=lambda wildcards, input: of(wildcards).compress.config,
        overrides=lambda wildcards, input: json.dumps(of(wildcards).compress.overrides),
        operators=operators_part,
        keep_in_float=flags_of("model", only=("keep_in_float",)),
        device=lambda wildcards: flags(first_device(wildcards), only=LATENCY_KEYS),
        pretrained=subpath(input.model, parent=True),
        library=subpath(input.library, parent=True),
    shell:
        "python {input.script:q} --config {params.config:q} --overrides {params.overrides:q}"
        " --pretrained {params.pretrained} --library {params.library} {params.device} {params.keep_in_float}"
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
        # a function of the input is no reason to run again: nor is where the YAML lies
        config=lambda wildcards, input: of(wildcards).compress.config,
        overrides=lambda wildcards, input: json.dumps(of(wildcards).compress.overrides),
        search=search_part(EVALUATED_ONLY, ("controllers", "pruners")),
        number=lambda wildcards: len(candidates_of(wildcards)),
        seed=lambda wildcards: of(wildcards).seed,
        pretrained=subpath(input.model, parent=True),
        keep_in_float=flags_of("model", only=("keep_in_float",)),
        latency=flag_where("latency", of="latency"),
        before=lambda wildcards, input: (
            f"--before {input.before} --outcomes {' '.join(input.outcomes)}"
            if "before" in input.keys()
            else ""
        ),
    shell:
        "python {input.script:q} --config {params.config:q} --overrides {params.overrides:q}"
        " --pretrained {params.pretrained} {params.latency} {params.keep_in_float} --seed {params.seed} --count {params.number} {params.before}"
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
        flags=flags_of(
            "compress",
            leave_out=(
                "config",
                "overrides",
                "export",
                "equalize_channels",
                *STATE_KEYS,
            ),
        ),
        hardware=hardware_of,
        state=state_of,
        config=lambda wildcards, input: of(wildcards).compress.config,
        overrides=lambda wildcards, input: json.dumps(of(wildcards).compress.overrides),
        search=search_part(PROPOSED_ONLY, ("pruners",)),
        seed=lambda wildcards: of(wildcards).seed,
        pretrained=subpath(input.model, parent=True),
        keep_in_float=flags_of("model", only=("keep_in_float",)),
        latency=flag_where("latency", of="latency"),
        folder=subpath(output.outcome, parent=True),
    shell:
        # exec: a cluster ends all processes of a job, and without its shell Snakemake would not wait for the state
        "exec python {input.script:q} --config {params.config:q} --overrides {params.overrides:q}"
        " --pretrained {params.pretrained} {params.latency} {params.keep_in_float} --data {input.data} --seed {params.seed} --threads {threads}"
        " --candidates {input.candidates} --number {wildcards.candidate}"
        " --work work/search/{wildcards.experiment}/candidate_{wildcards.candidate}"
        " --output {params.folder} {params.flags} {params.state} {params.hardware} > {log} 2>&1"


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
