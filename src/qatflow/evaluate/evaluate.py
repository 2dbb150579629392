"""Float and int8 .tflite models on the full test set, with their latency on this host, by LiteRT alone."""

import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from qatflow.base import provenance
from qatflow.base.measure import Measure
from qatflow.base.metrics import confusion, paired_drop, ranked_accuracy
from qatflow.base.right_answers import packed
from qatflow.base.sums import read_sealed, write_sealed
from qatflow.data.answers import measure_of
from qatflow.data.manifest import read_manifest
from qatflow.evaluate.shown_pictures import shown_pictures
from qatflow.inference.pictures import PreparedPictures
from qatflow.inference.ranking import Ranked, rank
from qatflow.tflite.precision import precision_of
from qatflow.tflite.run import Model

FORMAT = 6


def evaluate(
    models: dict[str, Path],
    fake_quant: Path | None,
    data: Path,
    output: Path,
    threads: int,
    repeats: int,
    cores: int = 1,
    pictures: int = 0,
) -> None:
    """Measure each model and write evaluation.json.

    Args:
        models: .tflite files by their names in the report (`float`, `ptq`, `qat`, `ready`).
        fake_quant: file of `evaluate_fake_quant` for the trained model; None where nothing was trained.
        data: manifest.json of the data; its test split is used.
        output: file to write.
        threads: threads of LiteRT when latency is measured.
        repeats: number of timed runs, of one picture each.
        cores: number of processes that run pictures; it does not change the accuracy, and latency is measured after
            them, by this process alone.
        pictures: number of pictures of each kind to keep for the report (`shown_pictures`), with a thumbnail.
    """
    manifest = read_manifest(data)
    ranked = rank(models, PreparedPictures.of(manifest, "test", processes=cores))
    measure = measure_of(manifest)
    measured = {
        name: _shares(name, measure, ranked) | _measure(path, ranked.best[name], ranked.labels, threads, repeats)
        for name, path in models.items()
    }
    if "float" in models:
        for name in models.keys() - {"float"}:
            drop = paired_drop(ranked.predicted("float"), ranked.predicted(name), ranked.labels)
            measured[name]["against_float"] = drop.figures(measure)
    for name in models.keys() - {"float"}:
        measured[name]["quantised"] = asdict(precision_of(models[name]))
    write_sealed(
        output,
        {
            "format_version": FORMAT,
            "measure": measure.key,
            "labels": list(manifest.labels),
            "test_pictures": manifest.split_digest("test"),
            "models": measured,
            "pictures": shown_pictures(ranked, manifest, pictures),
            "fake_quant": read_sealed(fake_quant) if fake_quant is not None else None,
            "latency_settings": {"threads": threads, "repeats": repeats, "runtime": "LiteRT, XNNPACK, host"},
            "provenance": provenance.record([*models.values(), data], {"pictures": pictures}),
        },
    )


def _shares(name: str, measure: Measure, ranked: Ranked) -> dict[str, Any]:
    """Return number and shares of a model's pictures; float's agreement with itself would say nothing."""
    found = ranked_accuracy(ranked.best[name], ranked.labels)
    if name == "float" and not measure.is_accuracy:
        return {"pictures": found.pictures}
    return measure.figures(**asdict(found))


def _measure(path: Path, ranked: np.ndarray, labels: np.ndarray, threads: int, repeats: int) -> dict[str, Any]:
    times = Model(path, threads).milliseconds(repeats)
    return {
        "bytes": path.stat().st_size,
        "compressed_bytes": len(zlib.compress(path.read_bytes(), 9)),
        "host_ms": {
            "median": float(np.median(times)),
            "mean": float(times.mean()),
            "min": float(times.min()),
            "max": float(times.max()),
            "p90": float(np.percentile(times, 90)),
        },
        "confusion": confusion(ranked[:, 0], labels),
        "right": packed(ranked[:, 0] == labels),
    }
