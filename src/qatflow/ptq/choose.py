"""Decides whether post-training quantisation is good enough, or training for int8 is worth it."""

from pathlib import Path
from typing import Literal

from qatflow.base import provenance
from qatflow.base.metrics import paired_drop, verdict
from qatflow.base.sums import write_sealed
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.data.answers import measure_of
from qatflow.data.manifest import read_manifest
from qatflow.inference.pictures import PreparedPictures
from qatflow.inference.ranking import rank

FORMAT = 3
Method = Literal["ptq", "qat"]


def choose_method(
    float_model: Path, ptq_model: Path, data: Path, section: AccuracySection, output: Path, cores: int = 1
) -> tuple[Method, str]:
    """Measure what post-training quantisation costs on the validation pictures, and write method.json.

    Args:
        float_model: float .tflite.
        ptq_model: the int8 .tflite made from it.
        data: manifest.json of the data; its whole validation split is used.
        section: its max_drop and undecided say what the accuracy gate would accept; then training is not worth it.
        output: file to write.
        cores: number of processes that run pictures; it does not change the figures.

    Returns:
        The method, and what quantisation after training costs, in words.
    """
    manifest = read_manifest(data)
    measure = measure_of(manifest)
    pictures = PreparedPictures.of(manifest, "validation", processes=cores)
    ranked = rank({"float": float_model, "ptq": ptq_model}, pictures)
    drop = paired_drop(ranked.predicted("float"), ranked.predicted("ptq"), ranked.labels)
    settings = section.model_dump(include={"max_drop", "undecided"})
    judged = None if section.max_drop is None else verdict(drop, section.max_drop)
    enough = judged in (None, "within") or (judged == "undecided" and section.undecided == "pass")
    method: Method = "ptq" if enough else "qat"
    write_sealed(
        output,
        {
            "format_version": FORMAT,
            "method": method,
            **settings,
            "verdict": judged,
            "measure": measure.key,
            **drop.figures(measure),
            "provenance": provenance.record([float_model, ptq_model, data], settings),
        },
    )
    return method, drop.text("quantisation after training", measure=measure)
