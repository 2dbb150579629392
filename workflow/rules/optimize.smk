"""The .tflite models: trained for int8, float, quantised after training, and those that came quantised."""


rule optimize_int8:
    input:
        **program("model_optimize_tool"),
        model=exports.for_device("model"),
        weights=exports.for_device("weights"),
        data=plan.data_manifest,
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
    benchmark:
        "logs/optimize_int8/{experiment}.jsonl"
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        folder=subpath(output[0], parent=True),
        int4=lambda wildcards: job_options.int4_storage(plan.recipe_of(wildcards)),
    shell:
        "python {input.script:q} --model_file {input.model} --param_file {input.weights}"
        " --data {input.data} --optimize_out_type naive_buffer --valid_targets arm {params.int4}"
        " --optimize_out {params.folder} > {log} 2>&1"


# For the download, of models with weights of fewer than 8 bits; beside the model, whose folder is written anew with it.
rule pack_model:
    input:
        **program("pack_model"),
        model="results/{experiment}/{experiment}_{kind}/model.tflite",
    output:
        "results/{experiment}/{experiment}_{kind}/model.tflite.packed",
    log:
        "logs/pack_model/{experiment}_{kind}.log",
    benchmark:
        "logs/pack_model/{experiment}_{kind}.jsonl"
    wildcard_constraints:
        kind="opt|ptq|ready",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    shell:
        "python {input.script:q} --model {input.model} --output {output} > {log} 2>&1"


rule write_microcontroller:
    input:
        **program("microcontroller"),
        model=shipping.file("model.tflite"),
        labels=shipping.file("labels.txt"),
        preprocessing=shipping.file("preprocessing.json"),
    output:
        header="results/{experiment}/microcontroller/model.h",
        source="results/{experiment}/microcontroller/model.cc",
        about="results/{experiment}/microcontroller/microcontroller.json",
    log:
        "logs/write_microcontroller/{experiment}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        model=subpath(input.model, parent=True),
        folder=subpath(output.header, parent=True),
    shell:
        "python {input.script:q} --model-dir {params.model} --output-dir {params.folder} > {log} 2>&1"


# Once for all experiments with these weights, whatever they do with them.
use rule optimize_int8 as optimize_float with:
    input:
        **program("model_optimize_tool"),
        model=plan.pretrained_file("model"),
        weights=plan.pretrained_file("weights"),
        data=plan.data_manifest,
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
    benchmark:
        "logs/optimize_float/{pretrained}.jsonl"
    localrule: True  # is not taken over
    params:
        folder=subpath(output[0], parent=True),
        int4="",


rule take_float_model:
    input:
        **program("take_model"),
        model=plan.shared_float_model,
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
        **needs.light,
    params:
        model=lambda wildcards, input: os.path.dirname(input.model[0]),
        folder=subpath(output[0], parent=True),
    shell:
        # a copy: Snakemake changes the times of outputs, and with a link those of the shared files
        "python {input.script:q} --model {params.model} --output {params.folder} > {log} 2>&1"


# The baseline of every report, and what ships where it is good enough. Once for all experiments with these weights,
# layers in float and way of calibration.
rule quantise_after_training:
    input:
        **program("ptq"),
        model="pretrain/{pretrained}_float_opt/model.tflite",
        data=plan.data_manifest,
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
    benchmark:
        "logs/quantise_after_training/{pretrained}{kept}.jsonl"
    wildcard_constraints:
        kept=plan.ptq_suffix,
    conda:
        "../../envs/light.yaml"
    threads: 4
    resources:
        **needs.calibration_by_litert,
    params:
        folder=subpath(output[0], parent=True),
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            plan.ptq_models[wildcards.kept].config
        ),
        method=lambda wildcards: plan.ptq_models[
            wildcards.kept
        ].compress.quantization.calibration_method,
    shell:
        "python {input.script:q} --float {input.model} --data {input.data}"
        " --cores {threads} --output {params.folder} --model {params.keep_in_float:q}"
        " --calibration-method {params.method} > {log} 2>&1"


# Our own graph in its place, with ptq.tool: qatflow. Short enough to start again after a kill.
rule quantise_graph:
    input:
        **program("ptq_graph"),
        model=plan.pretrained_file("model"),
        weights=plan.pretrained_file("weights"),
        data=plan.data_manifest,
    output:
        multiext(
            "pretrain/{pretrained}_quantised{own}/",
            "model",
            "weights",
            "manifest.json",
        ),
    log:
        "logs/quantise_graph/{pretrained}{own}.log",
    benchmark:
        "logs/quantise_graph/{pretrained}{own}.jsonl"
    wildcard_constraints:
        own=plan.own_graph_suffix,
    conda:
        "../../envs/light.yaml"
    threads: 4
    resources:
        **needs.calibration_by_litert,
    params:
        pretrained=subpath(input.model, parent=True),
        folder=subpath(output[0], parent=True),
        keep_in_float=lambda wildcards: job_options.kept_in_float(
            plan.ptq_models[wildcards.own].config
        ),
        settings=lambda wildcards: job_options.after_training(
            plan.ptq_models[wildcards.own]
        ),
        seed=lambda wildcards: plan.ptq_models[wildcards.own].config.seed,
    shell:
        # with several threads BLAS adds in another order, and the rounding is trained to another end
        "OPENBLAS_NUM_THREADS=1 python {input.script:q} --pretrained {params.pretrained} --data {input.data}"
        " --cores {threads} --seed {params.seed} --model {params.keep_in_float:q} {params.settings}"
        " --output {params.folder} > {log} 2>&1"


use rule optimize_int8 as optimize_quantised with:
    input:
        **program("model_optimize_tool"),
        model="pretrain/{pretrained}_quantised{own}/model",
        weights="pretrain/{pretrained}_quantised{own}/weights",
        data=plan.data_manifest,
    output:
        multiext(
            "pretrain/{pretrained}_ptq{own}{stored}/",
            "model.tflite",
            "labels.txt",
            "preprocessing.json",
            "optimization.json",
        ),
    log:
        "logs/optimize_quantised/{pretrained}{own}{stored}.log",
    benchmark:
        "logs/optimize_quantised/{pretrained}{own}{stored}.jsonl"
    wildcard_constraints:
        own=plan.own_graph_suffix,
        stored=f"({STORED_AS_INT4})?",
    localrule: True  # is not taken over
    params:
        folder=subpath(output[0], parent=True),
        int4=lambda wildcards: "--int4_storage" if wildcards.stored else "",


use rule take_float_model as take_ptq_model with:
    input:
        **program("take_model"),
        model=plan.shared_ptq_model,
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
        data=plan.data_manifest,
    output:
        "results/{experiment}/method.json",
    log:
        "logs/choose_method/{experiment}.log",
    conda:
        "../../envs/light.yaml"
    threads: 4
    resources:
        **needs.validation_by_litert,
    params:
        accuracy=lambda wildcards: job_options.choice_of_method(
            plan.config_of(wildcards)
        ),
    shell:
        "python {input.script:q} --float {input.model} --ptq {input.ptq} --data {input.data}"
        " --accuracy {params.accuracy:q} --cores {threads} --output {output} > {log} 2>&1"


rule adopt_ready_model:
    input:
        **program("adopt_ready_model"),
        model=plan.quantized_model_files,
        data=plan.data_manifest,
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
    benchmark:
        "logs/adopt_ready_model/{experiment}.jsonl"
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        # a function of the input is no reason to run again: nor is where the model lies
        model=lambda wildcards, input: plan.quantized[wildcards.experiment].path,
        background=lambda wildcards: job_options.background(plan.config_of(wildcards)),
        # it only says why there is none
        packed=lambda wildcards, input: (
            "--packed" if wildcards.experiment in plan.packed() else ""
        ),
        folder=subpath(output[0], parent=True),
    shell:
        "python {input.script:q} --model {params.model:q} --data {input.data} {params.packed}"
        " --quantized-model {params.background:q} --output {params.folder} > {log} 2>&1"
