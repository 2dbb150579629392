"""qatflow: pictures and a classifier in; a measured int8 model on an ARM device out."""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20.0")

# The project's own files are here, wherever Snakemake is started: -s, --directory, a module of another workflow.
ROOT = Path(
    os.path.realpath(workflow.current_basedir.get_path_or_uri(secret_free=True))
)
if not (ROOT / "src/qatflow").is_dir():
    sys.exit(
        f"error: qatflow needs its whole folder, and {ROOT} has no src/qatflow: clone the repository and name the"
        " Snakefile of the clone"
    )
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
# An outer workflow's own prefix stays in front.
BEFORE = shell._process_prefix or "set -euo pipefail; "
if str(ROOT / "src") not in BEFORE:
    shell.prefix("{BEFORE}export PYTHONPATH={PLACES:q}; ")
# The first target is the default, as everywhere in Snakemake: that of an outer workflow, where it has one already.
NO_TARGET_YET = workflow.default_target is None


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/experiments.smk"
include: "workflow/rules/method.smk"
include: "workflow/rules/strategies.smk"
include: "workflow/rules/searches.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/interrupt.smk"


configfile: str(READ_FIRST[-1])


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
    default_target: NO_TARGET_YET
    input:
        rules.report.input,
        on_each_device(LATENCY_PASSED),
        exported_files,
        comparison,
    localrule: True


check_targets()


onstart:
    begin(workflow.dag.needrun_jobs())


onsuccess:
    show_summaries(workflow.dag.jobs)


if IS_MODULE:
    join_outer_workflow()
