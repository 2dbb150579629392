"""From an exported graph to the folder that goes to the device, and the float baseline by the same tool."""


rule optimize_int8:
    input:
        **program("model_optimize_tool"),
        model=exported_for_device("model"),
        weights=exported_for_device("weights"),
        data=data_manifest,
    output:
        multiext(
            "results/{experiment}/{experiment}_opt/",
            "model.tflite",
            "labels.txt",
            "preprocessing.json",
            "optimization.json",
        ),
    log:
        "logs/optimize_int8/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "python {input.script:q} --model_file {input.model} --param_file {input.weights}"
        " --data {input.data} --optimize_out_type naive_buffer --valid_targets arm"
        " --optimize_out {params.folder} > {log} 2>&1"


# Once for all experiments with these weights, whatever they do with them.
use rule optimize_int8 as optimize_float with:
    input:
        **program("model_optimize_tool"),
        model=pretrained_file("model"),
        weights=pretrained_file("weights"),
        data=data_manifest,
    output:
        multiext(
            "pretrain/{pretrained}_float_opt/",
            "model.tflite",
            "labels.txt",
            "preprocessing.json",
            "optimization.json",
        ),
    log:
        "logs/optimize_float/{pretrained}.log",
    localrule: True  # is not taken over


rule take_float_model:
    input:
        **program("take_model"),
        model=shared_float_model,
    output:
        multiext(
            "results/{experiment}/{experiment}_float_opt/",
            "model.tflite",
            "labels.txt",
            "preprocessing.json",
            "optimization.json",
        ),
    log:
        "logs/take_float_model/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        model=lambda wildcards, input: os.path.dirname(input.model[0]),
        folder=subpath(output[0], parent=True),
    shell:
        # a copy: Snakemake changes the times of outputs, and with a link those of the shared files
        "python {input.script:q} --model {params.model} --output {params.folder} > {log} 2>&1"
