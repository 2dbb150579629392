"""The float weights that compression starts from."""

import re
import shlex


rule fetch_model:
    input:
        **program("fetch"),
    output:
        "pretrain/download/{file}",
    log:
        "logs/fetch_model/{file}.log",
    wildcard_constraints:
        file="|".join(map(re.escape, plan.downloads)),
    retries: 3
    localrule: True
    conda:
        "../../envs/light.yaml"
    resources:
        **needs.light,
    params:
        url=lambda wildcards: plan.downloads[wildcards.file].url,
        checksum=lambda wildcards: job_options.checksum(plan.downloads[wildcards.file]),
        instead="get a copy of it and set pretrained.source to 'file' and pretrained.path, or quantized_model.file, to that",
    shell:
        "python {input.script:q} --url {params.url:q} {params.checksum}"
        " --instead {params.instead:q} --output {output:q} > {log} 2>&1"


rule make_pretrained:
    input:
        **program("pretrained"),
        data=plan.prepared_manifest,
        weights=plan.weights_files,
        own=plan.own_model_files,
    output:
        model="pretrain/{pretrained}_pretrained/model",
        weights="pretrain/{pretrained}_pretrained/weights",
        history="pretrain/{pretrained}_pretrained/history.csv",
        manifest="pretrain/{pretrained}_pretrained/manifest.json",
    log:
        "logs/make_pretrained/{pretrained}.log",
    benchmark:
        "logs/make_pretrained/{pretrained}.jsonl"
    # ahead of device runs and whatever else takes a core or two: on few cores it would wait for their end
    priority: 10
    conda:
        "../../envs/tensorflow.yaml"
    threads: 4
    resources:
        **needs.float_training,
        gpu=needs.gpus,
    params:
        model=lambda wildcards: job_options.float_model(plan.config_of(wildcards)),
        pretrained=lambda wildcards: job_options.float_weights(
            plan.config_of(wildcards)
        ),
        # a function of the input is no reason to run again: here these layers are only looked for
        keep_in_float=lambda wildcards, input: job_options.kept_in_float(
            plan.config_of(wildcards)
        ),
        # nor is another machine, or how the state is kept
        hardware=lambda wildcards, input: job_options.hardware(
            plan.config_of(wildcards)
        ),
        state=lambda wildcards, input: job_options.float_state(
            plan.config_of(wildcards)
        ),
        # nor is where the weights lie
        weights=lambda wildcards, input: (
            f"--weights {shlex.quote(str(plan.weights[wildcards.pretrained].path))}"
            if input.weights
            else ""
        ),
        seed=lambda wildcards: plan.config_of(wildcards).seed_of("pretrained"),
        folder=subpath(output.model, parent=True),
    shell:
        # exec: a cluster ends all processes of a job, and without its shell Snakemake would not wait for the state
        "exec python {input.script:q} --data {input.data} {params.weights} --seed {params.seed}"
        " --threads {threads} --work work/pretrained/{wildcards.pretrained}"
        " --output {params.folder} --model {params.model:q} {params.keep_in_float:q}"
        " --pretrained {params.pretrained:q} {params.state:q} --hardware {params.hardware:q} > {log} 2>&1"


# Pictures without labels get the float model's answers as theirs; all later rules read these.
rule label_pictures:
    input:
        **program("label_pictures"),
        model=rules.make_pretrained.output.model,
        weights=rules.make_pretrained.output.weights,
        data=plan.prepared_manifest,
    output:
        # the shards are named in the manifest, as those of prepare_data
        manifest="pretrain/{pretrained}_labelled/manifest.json",
        labels="pretrain/{pretrained}_labelled/labels.txt",
        calibration="pretrain/{pretrained}_labelled/calibration.json",
        rejected="pretrain/{pretrained}_labelled/rejected.csv",
    log:
        "logs/label_pictures/{pretrained}.log",
    benchmark:
        "logs/label_pictures/{pretrained}.jsonl"
    conda:
        "../../envs/light.yaml"
    threads: 4
    resources:
        **needs.labels_by_litert,
    params:
        pretrained=subpath(input.model, parent=True),
        folder=subpath(output.manifest, parent=True),
    shell:
        "python {input.script:q} --pretrained {params.pretrained} --data {input.data}"
        " --cores {threads} --output {params.folder} > {log} 2>&1"
