"""What a run comes to: its configuration, tables, pictures and pages; of several experiments, side by side."""


rule write_config:
    input:
        **program("write_config"),
    output:
        # a run can be given these files, so they are not removed first; the stamp is, and its absence shows a failure
        config=update("results/{experiment}/config.yaml"),
        compress=update("results/{experiment}/compress.yaml"),
        stamp=touch("results/{experiment}/.config_written"),
    log:
        "logs/write_config/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        config=lambda wildcards: job_options.configuration(plan.config_of(wildcards)),
        recipe=lambda wildcards: job_options.whole_recipe(plan.recipe_of(wildcards)),
    shell:
        "python {input.script:q} --config {params.config:q} --recipe {params.recipe:q}"
        " --config-yaml {output.config} --compress-yaml {output.compress} > {log} 2>&1"


rule make_report:
    input:
        **program("report"),
        evaluation="results/{experiment}/evaluation.json",
        gate="results/{experiment}/gate.json",
        layers=shipping.where_float("results/{experiment}/layers.json"),
        model=shipping.file("model.tflite"),
        float_model=shipping.where_float(
            "results/{experiment}/{experiment}_float_opt/model.tflite"
        ),
        packed=shipping.packed,
        data=plan.data_manifest,
        float_history=shipping.where_float(plan.pretrained_file("history.csv")),
        pretrained=shipping.where_float(plan.pretrained_file("manifest.json")),
        history=shipping.where_trained("results/{experiment}/trained/history.csv"),
        trained=shipping.where_trained("results/{experiment}/trained/manifest.json"),
        search=shipping.best_where_trained(searches.best),
        widths=shipping.best_where_trained(searches.widths),
        demos=shipping.on_devices_where_open(rules.run_on_device.output.text),
        devices=shipping.on_devices_where_open(rules.run_on_device.output.report),
    output:
        summary="results/{experiment}/summary.json",
        node_data=multiext(
            "results/{experiment}/report/",
            "layers.node_data.json",
            "sensitivity.node_data.json",
            "instructions.node_data.json",
            "time.node_data.json",
            "multiply_adds.node_data.json",
            "bytes.node_data.json",
        ),
        text="results/{experiment}/report/summary.txt",
        page=report(
            PAGE,
            caption="../report/table.rst",
            category="{experiment}",
            labels={"result": "report"},
        ),
        curves=report(
            "results/{experiment}/report/learning_curves.svg",
            caption="../report/learning_curves.rst",
            category="{experiment}",
            labels={"result": "learning curves"},
        ),
        ranges=report(
            "results/{experiment}/report/ranges.svg",
            caption="../report/ranges.rst",
            category="{experiment}",
            labels={"result": "ranges of the layers"},
        ),
        sensitivity=report(
            "results/{experiment}/report/sensitivity.svg",
            caption="../report/sensitivity.rst",
            category="{experiment}",
            labels={"result": "what each layer costs"},
        ),
        confusion=report(
            "results/{experiment}/report/confusion.svg",
            caption="../report/confusion.rst",
            category="{experiment}",
            labels={"result": "confusion of the classes"},
        ),
    log:
        "logs/make_report/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        folder=subpath(output.text, parent=True),
        shipped=lambda wildcards: shipping.shipped(wildcards.experiment),
        layers=job_options.where_input("layers", of="layers"),
        float_model=job_options.where_input("float-model", of="float_model"),
        packed=job_options.where_input("packed", of="packed"),
        devices=job_options.where_input("devices", of="devices"),
        limits=lambda wildcards: job_options.device_limits(
            plan.devices[wildcards.experiment].values()
        ),
        demos=job_options.where_input("demos", of="demos"),
        float_history=job_options.where_input("float-history", of="float_history"),
        pretrained=job_options.where_input("pretrained", of="pretrained"),
        history=job_options.where_input("history", of="history"),
        trained=job_options.where_input("trained", of="trained"),
        search=job_options.where_input("search", of="search"),
        widths=job_options.where_input("widths", of="widths"),
        # functions of the input: neither a log that was removed nor another experiment is a reason to run again
        stages=lambda wildcards, input: shipping.stages(wildcards),
        compared=lambda wildcards, input: shipping.compared_flag,
    shell:
        "python {input.script:q} --experiment {wildcards.experiment} --shipped {params.shipped}"
        " --evaluation {input.evaluation} --gate {input.gate} {params.layers}"
        " --model {input.model} {params.float_model} {params.packed} --data {input.data} --device-limits {params.limits:q} --stages {params.stages} {params.compared}"
        " {params.devices} {params.demos} {params.float_history}"
        " {params.pretrained} {params.history} {params.trained} {params.search} {params.widths}"
        " --summary {output.summary} --output {params.folder} > {log} 2>&1"


rule write_model_card:
    input:
        **program("model_card"),
        summary=rules.make_report.output.summary,
        evaluation="results/{experiment}/evaluation.json",
        config=rules.write_config.output.config,
        compress=rules.write_config.output.compress,
        model="results/{experiment}/{experiment}_{kind}/model.tflite",
    output:
        report(
            "results/{experiment}/{experiment}_{kind}/MODEL_CARD.md",
            caption="../report/model_card.rst",
            category="{experiment}",
            labels={"result": "model card"},
        ),
    log:
        "logs/write_model_card/{experiment}_{kind}.log",
    wildcard_constraints:
        kind="opt|ptq|ready",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    shell:
        "python {input.script:q} --summary {input.summary} --evaluation {input.evaluation} --config {input.config}"
        " --recipe {input.compress} --model {input.model} --output {output} > {log} 2>&1"


# The folder of the results is an RO-Crate: this describes what is in it, and how it was made.
rule describe_run:
    input:
        **program("run_crate"),
        workflow=str(from_here(ROOT / "Snakefile")),
        summary=rules.make_report.output.summary,
        config=rules.write_config.output.config,
        compress=rules.write_config.output.compress,
        model=shipping.file("model.tflite"),
        files=[
            "results/{experiment}/evaluation.json",
            "results/{experiment}/gate.json",
            *(path for path in rules.make_report.output if "/report/" in path),
        ],
        beside=shipping.files("MODEL_CARD.md", "labels.txt", "preprocessing.json"),
        devices=shipping.on_devices_where_open(rules.run_on_device.output.report),
    output:
        crate=report(
            "results/{experiment}/ro-crate-metadata.json",
            caption="../report/crate.rst",
            category="{experiment}",
            labels={"result": "record of the run (RO-Crate)"},
        ),
        workflow="results/{experiment}/Snakefile",
    log:
        "logs/describe_run/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        # a function of the input: a log that was removed is no reason to run again
        stages=lambda wildcards, input: shipping.stages(wildcards),
    shell:
        "python {input.script:q} --summary {input.summary} --config {input.config} --recipe {input.compress}"
        " --model {input.model} --files {input.files} {input.beside} {input.devices} --stages {params.stages}"
        " --workflow {input.workflow:q} --output {output.crate} > {log} 2>&1"


# All experiments, also those that a gate keeps from the device or from passing.
rule compare_experiments:
    input:
        **program("compare"),
        evaluations=plan.of_each("results/{experiment}/evaluation.json"),
        gates=plan.of_each(*rules.gate_accuracy.output),
        devices=shipping.on_each_device_where_open(
            rules.run_on_device.output.report, *rules.gate_device.output
        ),
        # the page leads to them
        reports=shipping.all_reports,
        training=shipping.training_times,
    output:
        text="results/comparison/comparison.txt",
        csv="results/comparison/comparison.csv",
        picture=report(
            "results/comparison/pareto.svg",
            caption="../report/comparison.rst",
            category="comparison",
            labels={"result": "accuracy and cost"},
        ),
        page=report(
            "results/comparison/comparison.html",
            caption="../report/comparison.rst",
            category="comparison",
            labels={"result": "comparison"},
        ),
    log:
        "logs/compare_experiments.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        flags=lambda wildcards: job_options.compared(shipping.compared()),
        folder=subpath(output.text, parent=True),
    shell:
        "python {input.script:q} {params.flags} --output {params.folder} > {log} 2>&1"
