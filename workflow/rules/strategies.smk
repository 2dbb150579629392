"""What the compress YAMLs say of training and of the exported folders."""

from qatflow.config.recipe.recipe import undeployable
from qatflow.export.targets import targets


def strategy_of(experiment):
    """Return name and settings of the quantisation strategy."""
    compress = COMPRESS[experiment]
    return compress.compressor.strategies[-1], compress.quantization


def exported(experiment):
    """Return the folders that are exported, by kind, with `{experiment}` for the experiment's name."""
    folders = targets(strategy_of(experiment)[1], Path("results/{experiment}"))
    return {target.kind: str(target.folder) for target in folders}


def exported_of(experiment):
    """Return all files that are exported of an experiment."""
    return [
        f"{folder.format(experiment=experiment)}/{file}"
        for folder in exported(experiment).values()
        for file in ("model", "weights", "manifest.json")
    ]


def exported_for_device(file):
    """Return an input function for an exported file, which ends the run where the settings cannot be deployed."""

    def path(wildcards):
        name, strategy = strategy_of(wildcards.experiment)
        folders = exported(wildcards.experiment)
        reasons = undeployable(strategy)
        # the same integers, in either folder
        source = next((kind for kind in ("float", "int8") if kind in folders), None)
        if source is None:
            reasons["float_model_save_path"] = (
                "the device's model is made from float/ or int8/, and neither is written"
            )
        if reasons:
            key, reason = next(iter(reasons.items()))
            sys.exit(
                f"error: {of(wildcards).compress.config}: strategies.{name}.{key}: {reason}. It is trained and"
                f" exported to {', '.join(folders)} only: ask for the target `export`"
            )
        return f"{folders[source]}/{file}"

    return path


def exported_files(wildcards):
    """Return all that is exported of the experiments whose trained model goes to the device."""
    return [
        path for name in CONFIGS if shipped(name) == "qat" for path in exported_of(name)
    ]


# A rule's outputs cannot depend on a wildcard, and these folders are the YAML's: a rule for each set of them.
EXPORT_RULES = {}
for name in CONFIGS:
    EXPORT_RULES.setdefault(tuple(exported(name).values()), []).append(name)
