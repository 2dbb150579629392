"""All experiments side by side."""


rule compare_experiments:
    input:
        **program("compare"),
        evaluations=of_each("results/{experiment}/evaluation.json"),
        summaries=of_each("results/{experiment}/summary.json"),
        gates=of_each("results/{experiment}/gate.json"),
        devices=[
            path
            for path in on_each_device(*rules.run_on_device.output)
            if path.endswith("report.json")
        ],
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
        "python {input.script} {params.flags} --output {params.folder} > {log} 2>&1"
