"""A model that is quantised already: it goes to optimise, build and run."""


rule adopt_ready_model:
    input:
        **program("adopt_ready_model"),
        model=ready_files,
        data=data_manifest,
    output:
        multiext(
            "results/{experiment}/{experiment}_ready/",
            "model.tflite",
            "labels.txt",
            "preprocessing.json",
            "optimization.json",
        ),
    log:
        "logs/adopt_ready_model/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        # a function of the input is no reason to run again: nor is where the model lies
        model=lambda wildcards, input: READY[wildcards.experiment].path,
        background=lambda wildcards: job_options.background(of(wildcards)),
        folder=subpath(output[0], parent=True),
    shell:
        "python {input.script:q} --model {params.model:q} --data {input.data}"
        " --quantized-model {params.background:q} --output {params.folder} > {log} 2>&1"
