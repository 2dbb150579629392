"""The checked configuration, and what the rules share."""

import json

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

from qatflow.code_digest import imported_modules
from qatflow.config.compress_yaml import load_compress
from qatflow.config.flags import flags
from qatflow.config.deploy import undeployable
from qatflow.config.load import load_config
from qatflow.config.owner import check_owner, record_owner
from qatflow.config.resolved import resolved
from qatflow.config.written import as_written
from qatflow.errors import UserError
from qatflow.export.targets import targets
from qatflow.pretrained.sources import weights_file

DEFAULT = [Path("config/config.yaml")]
FILES = [Path(file) for file in workflow.overwrite_configfiles]

try:
    CONFIG = load_config([*DEFAULT, *FILES], workflow.config_settings.config)
    COMPRESS = load_compress(Path(CONFIG.compress.config))
    check_owner(CONFIG, COMPRESS, FILES, DEFAULT)
except UserError as error:
    sys.exit(f"error: {error}")

(STRATEGY,) = COMPRESS.compressor.strategies
EXPORTED = {
    target.kind: str(target.folder)
    for target in targets(COMPRESS.strategies[STRATEGY], Path("results/{experiment}"))
}
# What the device's model is made from: the same integers, in either folder.
SOURCE = next((kind for kind in ("float", "int8") if kind in EXPORTED), None)
LIBRARY = "build.lite.android.armv8.gcc/inference_lite_lib.android.armv8"


wildcard_constraints:
    dataset=CONFIG.data.name,
    pretrained=CONFIG.pretrained.name,
    experiment=CONFIG.experiment,
    device=CONFIG.device.name,


def training_part(compress):
    """Return what the compress YAML says of training, as JSON: all but where and what is exported."""
    value = resolved(compress)
    for strategy in value["strategies"].values():
        for key in [
            k for k in strategy if k.startswith("save_") or k.endswith("_save_path")
        ]:
            del strategy[key]
    return json.dumps(value)


def export_part(compress):
    """Return what the compress YAML says of the exported nodes, as JSON; the paths are in the rule's outputs."""
    strategy = compress.strategies[STRATEGY]
    return json.dumps([strategy.save_in_nodes, strategy.save_out_nodes])


def exported_for_device(file):
    """Return an input function for an exported file, which ends the run where the settings cannot be deployed."""
    reasons = undeployable(COMPRESS.strategies[STRATEGY])
    if SOURCE is None:
        reasons["float_model_save_path"] = (
            "the device's model is made from float/ or int8/, and neither is written"
        )

    def path(wildcards):
        if reasons:
            key, reason = next(iter(reasons.items()))
            sys.exit(
                f"error: {CONFIG.compress.config}: strategies.{STRATEGY}.{key}: {reason}. It is trained and"
                f" exported to {', '.join(EXPORTED)} only: ask for the target `export`"
            )
        return exported(SOURCE, file)

    return path


def demo_sources():
    """Return the files of the C++ demo."""
    folder = Path("demo/cxx/mobile_light")
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def exported(kind, file):
    """Return the path of a file of the exported folder of that kind."""
    return f"{EXPORTED[kind]}/{file}"


def program(name):
    """Return the script of a rule and the project's own modules that it imports."""
    script = f"workflow/scripts/{name}.py"
    modules = [os.path.relpath(path) for path in imported_modules(ROOT / script)]
    return {"script": script, "modules": modules}


# Snakemake's own lock outlives a kill and then refuses to start (the profile turns it off); this one does not.
RUN_LOCK = FileLock(".snakemake/run.lock")


def lock_folder():
    """Let no second run work in this folder at the same time."""
    try:
        RUN_LOCK.acquire(timeout=0)
    except Timeout:
        sys.exit(f"error: another run works in {os.getcwd()}: wait for it, or end it")


def all_cores():
    """Return the cores of the run; 1 where none are given, as for --rulegraph."""
    try:
        return workflow.cores
    except WorkflowError:
        return 1


def check_tools(jobs):
    """End the run at once when a tool is missing that one of its jobs will need."""
    from qatflow.device.check import check_build, check_device
    from qatflow.device.interface import DeviceSettings

    rules_to_run = {job.rule.name for job in jobs}
    device = CONFIG.device
    try:
        if "build_mobile_light" in rules_to_run:
            check_build("android.armv8", "gcc")
        if "run_on_device" in rules_to_run:
            check_device(
                DeviceSettings(device.type, device.name, device.serial, device.cpu)
            )
    except UserError as error:
        sys.exit(f"error: {error}")


def show_summaries(jobs):
    """Print the table of each experiment whose report is part of the run."""
    for job in jobs:
        if job.rule.name == "make_report":
            folder = Path(job.output.summary).parent / "report"
            print(f"\n{(folder / 'summary.txt').read_text()}")
            print(f"report: {folder / 'report.html'}", flush=True)
