"""All experiments side by side, also those that a gate keeps from the device or from passing."""


rule compare_experiments:
    input:
        **program("compare"),
        evaluations=of_each("results/{experiment}/evaluation.json"),
        gates=of_each(*rules.gate_accuracy.output),
        devices=on_device_where_open(
            rules.run_on_device.output.report, *rules.gate_latency.output
        ),
        # the page leads to them
        reports=reports_of_all,
        training=training_times,
    output:
        text="results/comparison/comparison.txt",
        csv="results/comparison/comparison.csv",
        picture=report(
            "results/comparison/pareto.svg",
            caption="../report/comparison.rst",
            category="comparison",
        ),
        page=report(
            "results/comparison/comparison.html",
            caption="../report/comparison.rst",
            category="comparison",
        ),
    log:
        "logs/compare_experiments.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        flags=compared,
        folder=subpath(output.text, parent=True),
    shell:
        "python {input.script:q} {params.flags} --output {params.folder} > {log} 2>&1"
