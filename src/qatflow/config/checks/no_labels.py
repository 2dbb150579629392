"""Checks of a data set without labels: what would need them is refused."""

from collections.abc import Iterator, Mapping

from qatflow.config.checks.files import file_problem
from qatflow.config.recipe.distillation import DistillationStrategySection
from qatflow.config.recipe.pruning import PruneStrategySection
from qatflow.config.recipe.recipe import CompressConfig
from qatflow.config.sections.config import Config
from qatflow.config.yaml.problems import Problem, problem
from qatflow.data.sources.source_files import NAMES, WITHOUT_LABELS

SOURCE = "data.source"
WHY = f"the pictures of data.source '{WITHOUT_LABELS}' have no labels"


def check_no_labels(config: Config) -> Iterator[Problem]:
    """Yield what a configuration asks for that its pictures without labels do not allow."""
    if config.data.has_labels:
        return
    if config.data.unlabeled.path is not None:
        yield problem(f"{WHY} already: put all pictures into data.path", "data.unlabeled.path", SOURCE)
    if config.quantized_model.given:
        yield problem(
            f"has no float model whose answers could serve as labels, and {WHY}: use pictures with labels",
            "quantized_model",
            SOURCE,
        )
        return
    for prefix, model in zip(("", "teacher."), config.float_models(), strict=False):
        yield from _float_model(model, prefix)


def _float_model(config: Config, prefix: str) -> Iterator[Problem]:
    """Yield why a float model is not ready as it is; `prefix` is that of its keys."""
    pretrained = config.pretrained
    key = f"{prefix}pretrained"
    if pretrained.source == "train":
        yield problem(
            f"'train' learns from labels, and {WHY}: use a model that is trained ('model', 'file', 'url' or "
            "'keras-applications')",
            f"{key}.source",
            SOURCE,
        )
    elif pretrained.fine_tune:
        yield problem(f"true trains the float model on labels, and {WHY}: set it to false", f"{key}.fine_tune", SOURCE)
    if pretrained.expected_top1 is not None:
        yield problem(f"{WHY}, so no top-1 can be measured: remove it", f"{key}.expected_top1", SOURCE)
    path = config.data.path
    named = path is not None and not file_problem(f"{path}/{NAMES}")
    if config.model.function is not None and not named:
        yield problem(
            f"is called with the number of classes, and {WHY}: put {NAMES} with a name per class into data.path",
            f"{prefix}model.function",
            "data.path",
        )


def check_training_without_labels(config: Config, compress: CompressConfig) -> Iterator[Problem]:
    """Yield what in the compress YAML would learn from labels, or choose by them, where there are none."""
    if config.data.has_labels or config.quantized_model.given:
        return
    recipe = config.compress.config
    if compress.search is not None:
        yield problem(f"{recipe} searches by accuracy, and {WHY}: leave the search out", SOURCE, "compress.config")
    for name, strategy in compress.strategies.items():
        if isinstance(strategy, PruneStrategySection) and name in compress.compressor.strategies:
            yield problem(
                f"strategy {name} of {recipe} measures by its metric_name the accuracy that pruning costs, and {WHY}: "
                "leave it out",
                SOURCE,
                "compress.config",
            )
    if config.method != "ptq" and not follows_teacher_alone(compress):
        yield problem(
            f"{recipe} trains with the loss of the labels, and {WHY}: list a DistillationStrategy with labels: false, "
            "which follows the float model alone (as config/compress/quantization_distillation.yaml with that key), or "
            "set method to 'ptq'",
            SOURCE,
            "compress.config",
        )


def check_mixture(configs: Mapping[str, Config]) -> Iterator[tuple[str, Problem]]:
    """Yield the first experiment that has labels where others have none, or the reverse: no figure compares the two."""
    kinds = {name: config.data.has_labels for name, config in configs.items()}
    first = next(iter(kinds), None)
    other = next((name for name in kinds if first is not None and kinds[name] != kinds[first]), None)
    if other is not None:
        words = "has labels" if kinds[other] else "has no labels"
        yield (
            other,
            problem(
                f"{words}, unlike experiment {first}: figures with labels are accuracy, those without are "
                "agreement with float, and one comparison cannot hold both; run them separately",
                SOURCE,
            ),
        )


def follows_teacher_alone(compress: CompressConfig) -> bool:
    """Return whether training minimises distillers' losses alone, in all epochs."""
    listed = (compress.strategies[name] for name in compress.compressor.strategies if name in compress.strategies)
    return any(
        isinstance(strategy, DistillationStrategySection)
        and not strategy.labels
        and strategy.acts_always(compress.compressor.epoch)
        for strategy in listed
    )
