"""The accuracy gate, and the figures on the test pictures: TensorFlow for the fake-quantised graph, else LiteRT."""


# It measures alone: a model that may not go to the device is compared with the others all the same. What follows for an
# experiment depends on what it finds.
checkpoint gate_accuracy:
    input:
        **program("gate"),
        float_model=shipping.where_float(
            "results/{experiment}/{experiment}_float_opt/model.tflite"
        ),
        int8=shipping.file("model.tflite"),
        ptq=shipping.rival,
        data=plan.data_manifest,
    output:
        "results/{experiment}/gate.json",
    log:
        "logs/gate_accuracy/{experiment}.log",
    benchmark:
        "logs/gate_accuracy/{experiment}.jsonl"
    conda:
        "../../envs/light.yaml"
    threads: 4
    resources:
        **needs.validation_by_litert,
    params:
        accuracy=lambda wildcards: job_options.accuracy(plan.config_of(wildcards)),
        ptq=job_options.where_input("ptq", of="ptq"),
        float_model=job_options.where_input("float", of="float_model"),
        published=lambda wildcards: job_options.published(plan.config_of(wildcards)),
        sizes=lambda wildcards: job_options.size_limits(
            plan.devices[wildcards.experiment]
        ),
    shell:
        "python {input.script:q} {params.float_model} --int8 {input.int8} {params.ptq}"
        " --quantized-model {params.published:q} --data {input.data} --accuracy {params.accuracy:q}"
        " {params.sizes} --cores {threads} --output {output} > {log} 2>&1"


# A closed gate ends here what needs it open, once the report is made. To try it again would find the same.
rule require_accuracy:
    input:
        **program("require_gate"),
        gate="results/{experiment}/gate.json",
        after=shipping.report_where_closed,
    output:
        touch(ACCURACY_PASSED),
    log:
        "logs/require_accuracy/{experiment}.log",
    retries: 0
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        page=PAGE,
    shell:
        "python {input.script:q} --gate {input.gate} --report {params.page} > {log} 2>&1"


rule evaluate_fake_quant:
    input:
        **program("evaluate_fake_quant"),
        model=exports.for_device("model"),
        weights=exports.for_device("weights"),
        data=plan.data_manifest,
    output:
        "results/{experiment}/fake_quant.json",
    log:
        "logs/evaluate_fake_quant/{experiment}.log",
    benchmark:
        "logs/evaluate_fake_quant/{experiment}.jsonl"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 4
    resources:
        **needs.fake_quant_evaluation,
        gpu=needs.gpus,
    params:
        model=subpath(input.model, parent=True),
        # a function of the input: another machine is no reason to run again
        hardware=lambda wildcards, input: job_options.hardware(
            plan.config_of(wildcards)
        ),
    shell:
        "python {input.script:q} --model {params.model} --data {input.data} --threads {threads}"
        " --hardware {params.hardware:q} --output {output} > {log} 2>&1"


rule evaluate_tflite:
    input:
        **program("evaluate"),
        float_model=shipping.where_float(
            "results/{experiment}/{experiment}_float_opt/model.tflite"
        ),
        ptq=shipping.where_float("results/{experiment}/{experiment}_ptq/model.tflite"),
        ready=shipping.where_quantized(
            "results/{experiment}/{experiment}_ready/model.tflite"
        ),
        qat=shipping.where_trained("results/{experiment}/{experiment}_opt/model.tflite"),
        fake_quant=shipping.where_trained("results/{experiment}/fake_quant.json"),
        data=plan.data_manifest,
    output:
        "results/{experiment}/evaluation.json",
    log:
        "logs/evaluate_tflite/{experiment}.log",
    benchmark:
        "logs/evaluate_tflite/{experiment}.jsonl"
    conda:
        "../../envs/light.yaml"
    # latency is measured here, at the end: nothing else may run beside it, and no device run, which takes no cores
    threads: session.cores
    resources:
        **needs.test_by_litert,
        adb=int(session.runs_here),
    params:
        evaluate=lambda wildcards: job_options.evaluation(plan.config_of(wildcards)),
        report=lambda wildcards: job_options.shown(plan.config_of(wildcards)),
        float_model=job_options.where_input("float", of="float_model"),
        ptq=job_options.where_input("ptq", of="ptq"),
        ready=job_options.where_input("ready", of="ready"),
        qat=job_options.where_input("qat", of="qat"),
        fake_quant=job_options.where_input("fake-quant", of="fake_quant"),
    shell:
        "python {input.script:q} {params.float_model} {params.ptq} {params.ready} {params.qat}"
        " {params.fake_quant} --data {input.data} --evaluate {params.evaluate:q}"
        " --report {params.report:q} --cores {threads} --output {output} > {log} 2>&1"


rule inspect_layers:
    input:
        **program("inspect_layers"),
        float_model=shipping.float_of_its_shape,
        int8=shipping.file("model.tflite"),
        data=plan.data_manifest,
    output:
        "results/{experiment}/layers.json",
    log:
        "logs/inspect_layers/{experiment}.log",
    benchmark:
        "logs/inspect_layers/{experiment}.jsonl"
    conda:
        "../../envs/light.yaml"
    threads: 4
    resources:
        **needs.layers_by_litert,
    params:
        inspect=lambda wildcards: job_options.inspection(plan.config_of(wildcards)),
    shell:
        "python {input.script:q} --float {input.float_model} --int8 {input.int8}"
        " --data {input.data} --inspect {params.inspect:q} --work work/inspect/{wildcards.experiment}"
        " --cores {threads} --output {output} > {log} 2>&1"
