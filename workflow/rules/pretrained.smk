"""The float weights that compression starts from."""

import shlex


rule fetch_weights:
    input:
        **program("fetch"),
    output:
        ensure(
            "pretrain/download/{file}.h5",
            sha256=lambda wildcards: DOWNLOADED[wildcards.file].sha256,
        ),
    log:
        "logs/fetch_weights/{file}.log",
    retries: 3
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        mem="200MB",
        runtime="30m",
    params:
        url=lambda wildcards: DOWNLOADED[wildcards.file].url,
        sha256=lambda wildcards: DOWNLOADED[wildcards.file].sha256,
        instead="set pretrained.source to 'file' and pretrained.path to a copy of it",
    shell:
        "python {input.script} --url {params.url:q} --sha256 {params.sha256}"
        " --instead {params.instead:q} --output {output:q} > {log} 2>&1"


rule make_pretrained:
    input:
        **program("pretrained"),
        data=data_manifest,
        weights=weights_of,
    output:
        model="pretrain/{pretrained}_pretrained/model",
        weights="pretrain/{pretrained}_pretrained/weights",
        history="pretrain/{pretrained}_pretrained/history.csv",
        manifest="pretrain/{pretrained}_pretrained/manifest.json",
    log:
        "logs/make_pretrained/{pretrained}.log",
    benchmark:
        "logs/make_pretrained/{pretrained}.jsonl"
    conda:
        "../../envs/tensorflow.yaml"
    threads: 4
    resources:
        mem="4GB",
        runtime="4h",
    params:
        model=flags_of("model"),
        training=lambda wildcards: flags(of(wildcards).pretrained.train),
        weights=lambda wildcards, input: (
            f"--weights {shlex.quote(str(input.weights))}" if input.weights else ""
        ),
        seed=lambda wildcards: of(wildcards).seed_of("pretrained"),
        folder=subpath(output.model, parent=True),
    shell:
        "python {input.script} --data {input.data} {params.weights} --seed {params.seed}"
        " --threads {threads} --work work/pretrained/{wildcards.pretrained}"
        " --output {params.folder} {params.model} {params.training} > {log} 2>&1"
