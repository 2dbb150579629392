"""Labels pictures that have none by the float model, through LiteRT: as every later stage runs it."""

import math
from pathlib import Path

from qatflow.data.answers import with_classes_of, write_answers
from qatflow.data.manifest import Manifest, read_manifest
from qatflow.graph.store import load
from qatflow.inference.pictures import PreparedPictures
from qatflow.inference.ranking import rank
from qatflow.tflite.lower import convert
from qatflow.tflite.run import Model


def label_by_float_model(pretrained: Path, data: Path, output: Path, cores: int = 1) -> Manifest:
    """Write the data set with the float model's best class of each picture as its label.

    Args:
        pretrained: folder of the float graph.
        data: manifest.json of prepared pictures without labels.
        output: folder to write; it appears complete or not at all.
        cores: number of processes; it does not change the labels.

    Raises:
        UserError: the model computes values that are no numbers, or a file has changed since it was written.
    """
    model = convert(load(pretrained)).content
    manifest = with_classes_of(read_manifest(data), math.prod(Model(model).output.shape))
    answers = {
        split: rank({"float": model}, PreparedPictures.of(manifest, split, processes=cores)).predicted("float")
        for split in manifest.splits
    }
    inputs = [pretrained / "model", pretrained / "weights", data]
    return write_answers(manifest, answers, inputs, output)
