"""The optimised model on the device. Local: a phone hangs on this machine, not on a cluster's."""


rule run_on_device:
    input:
        **program("run_demo"),
        model=shipped_file("model.tflite"),
        labels=shipped_file("labels.txt"),
        preprocessing=shipped_file("preprocessing.json"),
        gate="results/{experiment}/gate.json",
        program=demo_file("demo/cxx/mobile_light/mobilenetv1_light_api"),
        library=demo_file("manifest.json"),
        data=data_manifest,
    output:
        text="results/{experiment}/device/{device}/output.txt",
        report="results/{experiment}/device/{device}/report.json",
    log:
        "logs/run_on_device/{experiment}_{device}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        adb=1,
        mem="1GB",
        runtime="1h",
    params:
        flags=lambda wildcards: flags(
            device_of(wildcards), leave_out=("name", *BUILD_KEYS)
        ),
        model=subpath(input.model, parent=True),
        library=subpath(input.library, parent=True),
        folder=subpath(output.text, parent=True),
    shell:
        "python {input.script} --name {wildcards.device} {params.flags}"
        " --model-dir {params.model} --library {params.library} --manifest {input.data}"
        " --output-dir {params.folder} > {log} 2>&1"
