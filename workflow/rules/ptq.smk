"""Quantisation after training: the baseline of every report, and what ships where it is good enough."""


# Once for all experiments with these weights and layers in float.
rule quantise_after_training:
    input:
        **program("ptq"),
        model="pretrain/{pretrained}_float_opt/model.tflite",
        data=data_manifest,
    output:
        multiext(
            "pretrain/{pretrained}_ptq{kept}/",
            "model.tflite",
            "labels.txt",
            "preprocessing.json",
            "optimization.json",
        ),
    log:
        "logs/quantise_after_training/{pretrained}{kept}.log",
    wildcard_constraints:
        kept="(_float_[0-9a-f]+)?",
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(calibration_by_litert),
    params:
        folder=subpath(output[0], parent=True),
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            KEPT_IN_FLOAT[wildcards.kept]
        ),
    shell:
        "python {input.script:q} --float {input.model} --data {input.data}"
        " --output {params.folder} --model {params.keep_in_float:q} > {log} 2>&1"


use rule take_float_model as take_ptq_model with:
    input:
        **program("take_model"),
        model=shared_ptq_model,
    output:
        multiext(
            "results/{experiment}/{experiment}_ptq/",
            "model.tflite",
            "labels.txt",
            "preprocessing.json",
            "optimization.json",
        ),
    log:
        "logs/take_ptq_model/{experiment}.log",
    localrule: True  # is not taken over


# With method auto, which jobs follow depends on what this one finds.
checkpoint choose_method:
    input:
        **program("choose_method"),
        model="results/{experiment}/{experiment}_float_opt/model.tflite",
        ptq="results/{experiment}/{experiment}_ptq/model.tflite",
        data=data_manifest,
    output:
        "results/{experiment}/method.json",
    log:
        "logs/choose_method/{experiment}.log",
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(validation_by_litert),
    params:
        accuracy=lambda wildcards: job_options.choice_of_method(of(wildcards)),
    shell:
        "python {input.script:q} --float {input.model} --ptq {input.ptq} --data {input.data}"
        " --accuracy {params.accuracy:q} --output {output} > {log} 2>&1"
