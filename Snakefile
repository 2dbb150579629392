"""qatflow: pictures and a classifier in; a measured int8 model on an ARM device out."""

import gc
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20.0")
# Snakemake's modules stay in memory: without this, the search for garbage takes a fifth of the time to plan.
gc.freeze()
gc.set_threshold(100_000, 20, 20)

# The project's own files are here, wherever Snakemake is started: -s, --directory, a module of another workflow.
ROOT = Path(
    os.path.realpath(workflow.current_basedir.get_path_or_uri(secret_free=True))
)
# Where `qatflow run` has put the workflow, the library is an installed one.
OWN_LIBRARY = (ROOT / "src/qatflow").is_dir()
if OWN_LIBRARY:
    sys.path.insert(0, str(ROOT / "src"))
elif not (ROOT / ".qatflow.json").is_file() or find_spec("qatflow") is None:
    sys.exit(
        f"error: qatflow needs its whole folder, and {ROOT} has no src/qatflow: clone the repository and name the"
        " Snakefile of the clone"
    )
else:
    os.environ.update(QATFLOW_FOLDER=str(ROOT))
    from qatflow.base.deployed import check_deployed

    check_deployed(ROOT)
# For the programs that the rules start; the user's own places stay behind it. Set by the shell, because Snakemake drops
# it from its own environment where a rule has one by conda.
PLACES = os.pathsep.join(
    dict.fromkeys(
        [
            *([str(ROOT / "src")] if OWN_LIBRARY else []),
            *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
        ]
    )
)
# An outer workflow's own prefix stays in front.
BEFORE = shell._process_prefix or "set -euo pipefail; "
if PLACES and PLACES not in BEFORE:
    shell.prefix("{BEFORE}export PYTHONPATH={PLACES:q}; ")
# The first target is the default, as everywhere in Snakemake: that of an outer workflow, where it has one already.
NO_TARGET_YET = workflow.default_target is None


report: "workflow/report/workflow.rst"


from qatflow.base.cli import print_anywhere
from qatflow.base.places import from_here
from qatflow.workflow import job_options
from qatflow.workflow.ancient import plan_behind_ancient_inputs
from qatflow.workflow.exports import Exports
from qatflow.workflow.plan import LIBRARY, STORED_AS_INT4, files_of
from qatflow.workflow.resources import JobResources
from qatflow.workflow.searches import LATENCY_TABLE, Searches
from qatflow.workflow.session import NAMED_RULES, Run, Session
from qatflow.workflow.shipping import ACCURACY_PASSED, DEVICE_PASSED, PAGE, Shipping

print_anywhere()
plan_behind_ancient_inputs()
session = Session.of(workflow, ROOT, config)
plan = session.plan()
session.limit_devices()
shipping = Shipping(
    plan,
    method_file=lambda name: checkpoints.choose_method.get(experiment=name).output[0],
    gate_file=lambda name: checkpoints.gate_accuracy.get(experiment=name).output[0],
)
searches = Searches(plan)
exports = Exports(plan)
needs = JobResources(plan)
program = session.program
session.announce()


container: session.image()


wildcard_constraints:
    **plan.wildcard_constraints(),
    round=r"[1-9]\d*",
    candidate=r"[1-9]\d*",


configfile: str(session.default_files[-1])


include: "workflow/rules/data.smk"
include: "workflow/rules/pretrained.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/compress.smk"
include: "workflow/rules/optimize.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/device.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/collect.smk"


rule all:
    default_target: NO_TARGET_YET
    input:
        rules.report.input,
        plan.on_each_device(DEVICE_PASSED),
        lambda wildcards: exports.of([*shipping.trained(), *plan.ships_own_graph()]),
        rules.compare_experiments.output if len(plan.experiments) > 1 else [],
    localrule: True


session.check_targets(plan.experiments)
run = Run(
    session,
    plan,
    own_names=lambda: {getattr(rules, name).rule.name: name for name in NAMED_RULES},
)


onstart:
    run.begin()


onsuccess:
    run.end()


if session.is_module:
    run.join_outer_workflow()
