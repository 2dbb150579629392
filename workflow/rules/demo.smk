"""The C++ demo and the run-time library it is linked to, for the device."""


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
        **asks(LIGHT),
    shell:
        "python {input.script:q} --requirements {input.requirements:q} --machine {wildcards.machine}"
        " --output {output.library} > {log} 2>&1"


rule build_mobile_light:
    input:
        unpack(demo_runtime),
        **program("build_demo"),
        sources=demo_sources(),
    output:
        program=f"{LIBRARY}/demo/cxx/mobile_light/mobilenetv1_light_api",
        manifest=f"{LIBRARY}/manifest.json",
    log:
        "logs/build_mobile_light/{target}.{toolchain}.log",
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **asks(LIGHT),
    params:
        folder=subpath(output.manifest, parent=True),
    shell:
        "python {input.script:q} --target {wildcards.target} --toolchain {wildcards.toolchain}"
        " --runtime {input.runtime:q} --output {params.folder} > {log} 2>&1"
