"""Pictures from their source to TFRecord shards with a manifest."""


rule prepare_data:
    input:
        **program("prepare_data"),
        named=plan.data_files,
    output:
        # the shards themselves are named in the manifest, with their sha256: a large data set is not hashed by Snakemake
        manifest="data/{dataset}/manifest.json",
        labels="data/{dataset}/labels.txt",
        calibration="data/{dataset}/calibration.json",
        rejected="data/{dataset}/rejected.csv",
    log:
        "logs/prepare_data/{dataset}.log",
    benchmark:
        "logs/prepare_data/{dataset}.jsonl"
    conda:
        "../../envs/light.yaml"
    threads: session.cores
    resources:
        # each process may hold one of the largest pictures that are taken
        mem_mb=lambda wildcards, threads, attempt: 1200 * threads * 2 ** (attempt - 1),
        runtime=lambda wildcards: (
            "30m"
            if plan.config_of(wildcards).data.source in ("idx", "digits")
            else "24h"
        ),
    params:
        data=lambda wildcards: job_options.data(plan.config_of(wildcards)),
        seed=lambda wildcards: plan.config_of(wildcards).seed_of("data"),
        folder=subpath(output.manifest, parent=True),
    shell:
        "python {input.script:q} --data {params.data:q} --seed {params.seed}"
        " --cores {threads} --output {params.folder} > {log} 2>&1"
