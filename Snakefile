"""qatflow: pictures and a classifier in; a measured int8 model on an ARM device out."""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20.0")

ROOT = Path(workflow.current_basedir)
sys.path.insert(0, str(ROOT / "src"))  # the library, also where it is not installed
# For the programs that the rules start; the user's own places stay behind it. Set by the shell, because Snakemake drops
# it from its own environment where a rule has one by conda.
PLACES = os.pathsep.join(
    dict.fromkeys(
        [
            str(ROOT / "src"),
            *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
        ]
    )
)
shell.prefix("set -euo pipefail; export PYTHONPATH={PLACES:q}; ")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/method.smk"
include: "workflow/rules/strategies.smk"
include: "workflow/rules/searches.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/interrupt.smk"


configfile: "config/config.yaml"


include: "workflow/rules/data.smk"
include: "workflow/rules/pretrained.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/compress.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/optimize.smk"
include: "workflow/rules/ptq.smk"
include: "workflow/rules/ready.smk"
include: "workflow/rules/demo.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/device.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/targets.smk"


rule all:
    default_target: True
    input:
        rules.report.input,
        on_each_device(LATENCY_PASSED),
        exported_files,
        comparison,
    localrule: True


check_targets()


onstart:
    lock_folder()
    record_owners()
    check_tools(workflow.dag.needrun_jobs())
    prepare_for_interrupt()


onsuccess:
    show_summaries(workflow.dag.jobs)
