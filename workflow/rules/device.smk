"""The C++ demo, and the models on the device. Local: a phone hangs on this machine, not on a cluster's."""


rule fetch_runtime:
    input:
        **program("fetch_runtime"),
        requirements=str(from_here(ROOT / "requirements.lock")),
    output:
        library="resources/litert/{machine}/libLiteRt.so",
        about="resources/litert/{machine}/libLiteRt.json",
    log:
        "logs/fetch_runtime/{machine}.log",
    wildcard_constraints:
        machine="aarch64|x86_64",
    retries: 2
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    shell:
        "python {input.script:q} --requirements {input.requirements:q} --machine {wildcards.machine}"
        " --output {output.library} > {log} 2>&1"


rule build_mobile_light:
    input:
        unpack(plan.demo_runtime),
        **program("build_demo"),
        sources=session.demo_sources(),
    output:
        program=f"{LIBRARY}/demo/cxx/mobile_light/mobilenetv1_light_api",
        manifest=f"{LIBRARY}/manifest.json",
    log:
        "logs/build_mobile_light/{target}.{toolchain}.log",
    benchmark:
        "logs/build_mobile_light/{target}.{toolchain}.jsonl"
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.building,
    params:
        folder=subpath(output.manifest, parent=True),
    shell:
        "python {input.script:q} --target {wildcards.target} --toolchain {wildcards.toolchain}"
        " --runtime {input.runtime:q} --output {params.folder} > {log} 2>&1"


rule run_on_device:
    input:
        **program("run_demo"),
        model=shipping.file("model.tflite"),
        packed=shipping.sent_packed,
        labels=shipping.file("labels.txt"),
        preprocessing=shipping.file("preprocessing.json"),
        float_model=shipping.where_float(
            "results/{experiment}/{experiment}_float_opt/model.tflite"
        ),
        float_labels=shipping.where_float(
            "results/{experiment}/{experiment}_float_opt/labels.txt"
        ),
        float_preprocessing=shipping.where_float(
            "results/{experiment}/{experiment}_float_opt/preprocessing.json"
        ),
        passed=shipping.accuracy_passed,
        program=plan.demo_file("demo/cxx/mobile_light/mobilenetv1_light_api"),
        library=plan.demo_file("manifest.json"),
        data=plan.data_manifest,
    output:
        text="results/{experiment}/device/{device}/output.txt",
        report="results/{experiment}/device/{device}/report.json",
    log:
        "logs/run_on_device/{experiment}.{device}.log",
    benchmark:
        "logs/run_on_device/{experiment}.{device}.jsonl"
    localrule: True
    conda:
        "../../envs/light.yaml"
    threads: needs.device_threads(session.cores)
    resources:
        **needs.device_run,
        adb=1,  # one at a time
    params:
        device=lambda wildcards: job_options.device(plan.device_of(wildcards)),
        model=subpath(input.model, parent=True),
        packed=job_options.where_input("packed", of="packed"),
        float_model=lambda wildcards, input: (
            f"--float-dir {Path(str(input.float_model)).parent}"
            if input.float_model
            else ""
        ),
        library=subpath(input.library, parent=True),
        folder=subpath(output.text, parent=True),
    shell:
        "python {input.script:q} --device {params.device:q}"
        " --model-dir {params.model} {params.packed} {params.float_model} --library {params.library}"
        " --manifest {input.data} --output-dir {params.folder} > {log} 2>&1"


rule gate_device:
    input:
        **program("gate_device"),
        device="results/{experiment}/device/{device}/report.json",
    output:
        "results/{experiment}/device/{device}/device_gate.json",
    log:
        "logs/gate_device/{experiment}.{device}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        device=lambda wildcards: job_options.device_limit(plan.device_of(wildcards)),
    shell:
        "python {input.script:q} --report {input.device} --device {params.device:q}"
        " --output {output} > {log} 2>&1"


use rule require_accuracy as require_device with:
    input:
        **program("require_gate"),
        gate="results/{experiment}/device/{device}/device_gate.json",
        # for the order alone: where the gate is closed, the report is there to see where the time goes
        after=ancient("results/{experiment}/summary.json"),
    output:
        touch(DEVICE_PASSED),
    log:
        "logs/require_device/{experiment}.{device}.log",
    retries: 0  # these two are not taken over
    localrule: True
