"""What the run comes to: summary.json, a table, pictures, one page; and the configuration that it had."""


rule write_config:
    input:
        **program("write_config"),
    output:
        # a run can be given these files, so they are not removed beforehand; the stamp is, and tells of a failure
        config=update("results/{experiment}/config.yaml"),
        compress=update("results/{experiment}/compress.yaml"),
        stamp=touch("results/{experiment}/.config_written"),
    log:
        "logs/write_config/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        config=lambda wildcards: job_options.configuration(of(wildcards)),
        recipe=lambda wildcards: job_options.whole_recipe(
            COMPRESS[wildcards.experiment]
        ),
    shell:
        "python {input.script:q} --config {params.config:q} --recipe {params.recipe:q}"
        " --config-yaml {output.config} --compress-yaml {output.compress} > {log} 2>&1"


rule make_report:
    input:
        **program("report"),
        evaluation="results/{experiment}/evaluation.json",
        gate="results/{experiment}/gate.json",
        layers=made_here("results/{experiment}/layers.json"),
        float_history=made_here(pretrained_file("history.csv")),
        pretrained=made_here(pretrained_file("manifest.json")),
        history=where_trained("results/{experiment}/trained/history.csv"),
        trained=where_trained("results/{experiment}/trained/manifest.json"),
        search=lambda wildcards: where_trained(*best_found(wildcards))(wildcards),
        demos=on_its_devices_where_open(rules.run_on_device.output.text),
        devices=on_its_devices_where_open(rules.run_on_device.output.report),
    output:
        summary="results/{experiment}/summary.json",
        text="results/{experiment}/report/summary.txt",
        page=report(
            PAGE,
            caption="../report/table.rst",
            category="{experiment}",
        ),
        curves=report(
            "results/{experiment}/report/learning_curves.svg",
            caption="../report/learning_curves.rst",
            category="{experiment}",
        ),
        ranges=report(
            "results/{experiment}/report/ranges.svg",
            caption="../report/ranges.rst",
            category="{experiment}",
        ),
        confusion=report(
            "results/{experiment}/report/confusion.svg",
            caption="../report/confusion.rst",
            category="{experiment}",
        ),
    log:
        "logs/make_report/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        folder=subpath(output.text, parent=True),
        shipped=lambda wildcards: shipped(wildcards.experiment),
        layers=flag_where("layers", of="layers"),
        devices=flag_where("devices", of="devices"),
        demos=flag_where("demos", of="demos"),
        float_history=flag_where("float-history", of="float_history"),
        pretrained=flag_where("pretrained", of="pretrained"),
        history=flag_where("history", of="history"),
        trained=flag_where("trained", of="trained"),
        search=flag_where("search", of="search"),
    shell:
        "python {input.script:q} --experiment {wildcards.experiment} --shipped {params.shipped}"
        " --evaluation {input.evaluation} --gate {input.gate} {params.layers}"
        " {params.devices} {params.demos} {params.float_history}"
        " {params.pretrained} {params.history} {params.trained} {params.search}"
        " --summary {output.summary} --output {params.folder} > {log} 2>&1"
