"""The float model quantised after training: the baseline of the report."""

PTQ_MODEL = "results/{experiment}/{experiment}_ptq/model.tflite"


rule quantise_after_training:
    input:
        **program("ptq"),
        model=f"pretrain/{CONFIG.pretrained.name}_pretrained/model",
        weights=f"pretrain/{CONFIG.pretrained.name}_pretrained/weights",
        data=expand("data/{dataset}/manifest.json", dataset=CONFIG.data.name),
    output:
        PTQ_MODEL,
    log:
        "logs/quantise_after_training/{experiment}.log",
    benchmark:
        "logs/quantise_after_training/{experiment}.jsonl"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 4
    resources:
        mem="4GB",
        runtime="1h",
    params:
        pretrained=subpath(input.model, parent=True),
    shell:
        "python {input.script} --pretrained {params.pretrained} --data {input.data}"
        " --threads {threads} --output {output} > {log} 2>&1"
