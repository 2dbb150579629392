"""What the run comes to: summary.json, a table, pictures, one page."""


rule make_report:
    input:
        **program("report"),
        evaluation="results/{experiment}/evaluation.json",
        gate="results/{experiment}/gate.json",
        layers="results/{experiment}/layers.json",
        float_history=f"pretrain/{CONFIG.pretrained.name}_pretrained/history.csv",
        history=where_trained("results/{experiment}/trained/history.csv"),
        demo=f"results/{{experiment}}/device/{CONFIG.device.name}/output.txt",
        device=f"results/{{experiment}}/device/{CONFIG.device.name}/report.json",
    output:
        summary="results/{experiment}/summary.json",
        text="results/{experiment}/report/summary.txt",
        page=report(
            "results/{experiment}/report/report.html",
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
    conda:
        "../../envs/light.yaml"
    resources:
        mem="500MB",
        runtime="10m",
    params:
        folder=subpath(output.text, parent=True),
        shipped=lambda wildcards: shipped(wildcards.experiment),
        history=flag_where("history", of="history"),
    shell:
        "python {input.script} --experiment {wildcards.experiment} --shipped {params.shipped}"
        " --evaluation {input.evaluation} --gate {input.gate} --layers {input.layers}"
        " --device {input.device} --demo {input.demo} --float-history {input.float_history}"
        " {params.history} --summary {output.summary} --output {params.folder} > {log} 2>&1"
