"""What the types of the section `model` cannot say: one network, and one that can be read."""

from collections.abc import Iterator
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.config.checks.files import is_folder, saved_problem
from qatflow.config.problems import Problem, problem
from qatflow.config.sections.config import Config
from qatflow.models.own_function import source_files


def check_model(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the network."""
    model, source = config.model, config.pretrained.source
    given = [key for key in ("architecture", "file", "function") if getattr(model, key) is not None]
    for key in given[1:]:
        yield problem(f"{given[0]} names the network already: give one of the two", f"model.{key}", f"model.{given[0]}")
    own = next((key for key in given if key != "architecture"), None)
    fixed = own is not None or model.network == "ResNet50"
    if model.alpha is not None and fixed and len(given) < 2:
        what = "a model of your own" if own else "ResNet50"
        yield problem(f"{what} has no width multiplier: remove it", "model.alpha", f"model.{given[0]}")
    if (
        len(given) < 2
        and model.network
        and model.alpha is not None
        and model.network == "MobileNetV1"
        and model.alpha > 1
    ):
        yield problem("must be at most 1 for MobileNetV1", "model.alpha")
    if source == "model" and own is None:
        yield problem(
            "'model' takes the weights that model.file or model.function comes with, and neither is given",
            "pretrained.source",
        )
    if model.file is not None:
        yield from _model_file(config, model.file)
    if model.function is not None:
        try:
            source_files(model.function)
        except UserError as error:
            yield problem(str(error), "model.function")


def _model_file(config: Config, path: str) -> Iterator[Problem]:
    if config.pretrained.source == "train":
        yield problem(
            f"'train' would make new weights for the network in {path}: set it to 'model' for the weights there (with "
            "pretrained.fine_tune they are trained further), or give the network as model.function",
            "pretrained.source",
            "model.file",
        )
    if reason := saved_problem(path):
        yield problem(reason, "model.file")
    elif not is_folder(path):  # a SavedModel's description needs TensorFlow: it is read by the job
        # loaded here, since few configurations name a model of their own
        from qatflow.models.described_end import end_problem
        from qatflow.models.own_file import check_description
        from qatflow.models.saved.weights_file import description

        try:
            described = description(Path(path))
            check_description(described, path)
        except UserError as error:
            yield problem(str(error), "model.file")
        else:
            if end := end_problem(described):
                yield problem(end, "model.file")
