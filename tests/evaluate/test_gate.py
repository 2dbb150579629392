"""The accuracy gate opens and closes, and the method is chosen, on what is measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.small_data import prepared_digits
from qatflow.base.errors import UserError
from qatflow.base.gates import require_open
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.data.reader import tensors
from qatflow.evaluate.gate import gate
from qatflow.graph.graph import Graph, Node
from qatflow.graph.operations import Dense, Input, Reshape, Softmax
from qatflow.ptq.choose import choose_method
from qatflow.tflite.lower import convert


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def classifier(kernel: np.ndarray) -> bytes:
    """The .tflite of a linear classifier, kernel [1024, classes]."""
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("flat", Reshape((1024,)), ("input",)),
        Node("logits", Dense(), ("flat",)),
        Node("out", Softmax(), ("logits",)),
    )
    return convert(Graph(nodes, ("out",), {"logits/kernel": kernel.astype(np.float32)})).content


@pytest.fixture(scope="module")
def models(digits, tmp_path_factory):
    """Linear classifiers, and which validation pictures each gets right, by NumPy.

    `good`: by least squares; `slightly`: a few pictures worse; `worse`: one class forgotten; `headless`: 11 outputs.
    """
    inputs, labels = tensors(digits, "train")
    flat = inputs.reshape(len(inputs), -1)
    kernel = np.linalg.lstsq(flat.T @ flat + 100 * np.eye(1024), flat.T @ np.eye(10)[labels], rcond=None)[0]
    folder = tmp_path_factory.mktemp("models")
    held_out, held_out_labels = tensors(digits, "validation")

    def right(values: np.ndarray) -> np.ndarray:
        return (held_out.reshape(len(held_out), -1) @ values.astype(np.float32)).argmax(axis=1) == held_out_labels

    def weakened(share: float) -> np.ndarray:
        """Class 3 is seen less often."""
        return kernel * np.where(np.arange(10) == 3, share, 1.0)

    slightly = next(weakened(s) for s in np.arange(0.99, 0, -0.01) if right(weakened(s)).sum() < right(kernel).sum())
    found = {}
    for name, values in (("good", kernel), ("slightly", slightly), ("worse", weakened(0.0))):
        (folder / f"{name}.tflite").write_bytes(classifier(values))
        found[name] = (folder / f"{name}.tflite", right(values))
    (folder / "headless.tflite").write_bytes(classifier(np.ones((1024, 11))))
    found["headless"] = (folder / "headless.tflite", None)
    return found


def interval(reference: np.ndarray, right: np.ndarray) -> tuple[float, float, float]:
    """Loss in points with the ends of its 95 % interval: that of a paired difference with half a picture in each cell.

    The difference and its variance are those of the multinomial, from its covariance matrix.
    """
    pairs = [(True, True), (True, False), (False, True), (False, False)]
    counts = np.asarray([0.5 + ((reference == a) & (right == b)).sum() for a, b in pairs])
    shares, sign = counts / counts.sum(), np.asarray([0, 1, -1, 0])
    covariance = (np.diag(shares) - np.outer(shares, shares)) / counts.sum()
    middle, half = sign @ shares, 1.96 * (sign @ covariance @ sign) ** 0.5
    return 100 * (reference.mean() - right.mean()), 100 * (middle - half), 100 * (middle + half)


def run(digits, models, tmp_path, int8, ptq=None, reference="good", **allowed) -> dict:
    """Run the gate; return gate.json."""
    section = AccuracySection(**allowed)
    float_model, shipped, rival = (models[name][0] if name else None for name in (reference, int8, ptq))
    told = gate(float_model, shipped, rival, digits.folder / "manifest.json", section, tmp_path / "gate.json")
    found = json.loads((tmp_path / "gate.json").read_text())
    assert (found["said"], found["reason"], found["passed"]) == (told.lines, told.reason, told.reason is None)
    assert found["outcome"] == told.outcome and (told.outcome == "closed") == (told.reason is not None)
    return found


def closed(tmp_path) -> str:
    """Return what ends a run where the gate is closed."""
    with pytest.raises(UserError, match=r"^the accuracy gate is closed: ") as caught:
        require_open(tmp_path / "gate.json")
    return str(caught.value)


def test_a_closed_gate_tells_the_figures_and_ends_what_needs_it_open(digits, models, tmp_path):
    (good, right), (worse, less) = models["good"], models["worse"]
    points, low, high = interval(right, less)
    assert points > 5
    found = run(digits, models, tmp_path, "worse", max_drop=1.0)
    assert found["passed"] is False and found["against_float"]["points"] == pytest.approx(points)
    told = closed(tmp_path)
    assert low > 1 and found["verdicts"] == {"max_drop": "above", "worse_than_ptq": None}
    assert "significantly more than accuracy.max_drop 1: train for int8 (method: qat) or train longer" in told
    assert f"int8 loses {points:.2f} points" in told
    assert f"{100 * right.mean():.2f} % to {100 * less.mean():.2f} % on 180 validation pictures" in told
    assert f"{low:.2f} to {high:.2f}" in told
    assert str(worse) in told and "accuracy.max_drop 1" in told
    assert good.exists() and worse.exists()


@pytest.mark.parametrize(
    ("reference", "int8", "max_drop"), [("good", "good", 2.0), ("worse", "good", 0.0), ("good", "worse", None)]
)
def test_an_open_gate_writes_what_it_measured(digits, models, tmp_path, reference, int8, max_drop):
    found = run(digits, models, tmp_path, int8, reference=reference, max_drop=max_drop)
    drop = found["against_float"]
    expected = interval(models[reference][1], models[int8][1])
    assert (drop["points"], drop["low"], drop["high"]) == pytest.approx(expected)
    assert (drop["pictures"], found["max_drop"], found["against_ptq"]) == (180, max_drop, None)
    assert found["outcome"] == "open" and "warning" not in "".join(found["said"])


def test_the_gate_closes_above_the_limit_alone_and_says_where_the_pictures_do_not_decide(digits, models, tmp_path):
    _, low, high = interval(models["good"][1], models["worse"][1])
    for limit, outcome in ((low - 0.01, "closed"), (low + 0.01, "undecided"), (high - 0.01, "undecided"),
                           (high + 0.01, "open")):  # fmt: skip
        found = run(digits, models, tmp_path, "worse", max_drop=limit)
        assert (found["outcome"], found["passed"]) == (outcome, outcome != "closed"), limit
        strict = run(digits, models, tmp_path, "worse", max_drop=limit, undecided="refuse")
        assert strict["outcome"] == ("open" if outcome == "open" else "closed"), limit
        assert strict["verdicts"] == found["verdicts"]


def test_an_undecided_loss_above_the_limit_is_a_warning_and_a_refusal_says_what_to_do(digits, models, tmp_path):
    points, _, high = interval(models["good"][1], models["worse"][1])
    limit = points - 0.1
    (said,) = run(digits, models, tmp_path, "worse", max_drop=limit)["said"]
    assert said.startswith("warning: int8 loses")
    assert f"undecided whether more than accuracy.max_drop {limit:g}: about " in said
    (said,) = run(digits, models, tmp_path, "worse", max_drop=high - 0.1)["said"]
    assert said.startswith("int8 loses") and "undecided whether more than" in said
    run(digits, models, tmp_path, "worse", max_drop=limit, undecided="refuse")
    told = closed(tmp_path)
    assert "more validation pictures would decide: add pictures to the validation set (data.validation)" in told
    assert "another type of quantisation" in told and told.index("raise accuracy.max_drop") < told.index(
        "set accuracy.undecided to pass"
    )


def test_equal_predictions_on_few_pictures_are_no_proof(digits, models, tmp_path):
    found = run(digits, models, tmp_path, "good", max_drop=1.0)
    assert (found["against_float"]["points"], found["outcome"]) == (0, "undecided")
    # half a picture in each cell, none of which differ: 196 / (n + 2) points at most, 1 at 194 pictures
    (said,) = found["said"]
    assert said.endswith(
        "undecided whether more than accuracy.max_drop 1: about 14 more validation pictures would decide"
    )
    found = run(digits, models, tmp_path, "good", max_drop=0.0)
    assert found["said"][0].endswith("the loss is so close to the limit that no number of pictures would decide")


def test_a_trained_model_worse_than_quantisation_after_training_does_not_go_to_the_device(digits, models, tmp_path):
    points, low, _ = interval(models["good"][1], models["worse"][1])
    assert low > 0
    run(digits, models, tmp_path, "worse", ptq="good", max_drop=None)
    told = closed(tmp_path)
    assert f"training for int8 loses {points:.2f} points of top-1 against quantisation after training" in told
    assert "accuracy.worse_than_ptq" in told and "method: ptq" in told


def test_all_reasons_are_told_at_once_and_an_open_gate_ends_nothing(digits, models, tmp_path):
    run(digits, models, tmp_path, "worse", ptq="good", max_drop=1.0)
    told = closed(tmp_path)
    assert "accuracy.max_drop 1:" in told and "accuracy.worse_than_ptq" in told and "\n" not in told
    with pytest.raises(UserError, match=r"The models are kept\. The report: here/report\.html$"):
        require_open(tmp_path / "gate.json", Path("here/report.html"))
    run(digits, models, tmp_path, "good", ptq="good", max_drop=1.0)
    require_open(tmp_path / "gate.json")


def test_that_is_overridden_by_the_configuration_alone_and_said(digits, models, tmp_path):
    found = run(digits, models, tmp_path, "worse", ptq="good", max_drop=None, worse_than_ptq="allow")
    assert found["said"][-1].startswith("warning: training for int8 loses")
    assert found["said"][-1].endswith("as accuracy.worse_than_ptq allows")


def test_a_difference_that_may_be_chance_is_warned_of(digits, models, tmp_path):
    points, low, _ = interval(models["good"][1], models["slightly"][1])
    assert low <= 0 < points, "the models fit the test"
    found = run(digits, models, tmp_path, "slightly", ptq="good", max_drop=None)
    assert found["said"][-1].startswith("warning: training for int8 loses")
    assert "undecided whether worse: about " in found["said"][-1] and found["outcome"] == "undecided"
    assert found["against_ptq"]["points"] == pytest.approx(points)
    found = run(digits, models, tmp_path, "slightly", ptq="good", max_drop=None, undecided="refuse")
    assert found["reason"].count("set accuracy.worse_than_ptq to allow, or set accuracy.undecided to pass") == 1
    allowed = {"worse_than_ptq": "allow", "undecided": "refuse"}
    found = run(digits, models, tmp_path, "slightly", ptq="good", max_drop=None, **allowed)
    assert found["outcome"] == "open" and found["said"][-1].startswith("warning: training for int8 loses")


def test_a_better_one_is_said_without_a_warning(digits, models, tmp_path):
    found = run(digits, models, tmp_path, "good", ptq="worse", max_drop=None)
    assert found["said"][-1].startswith("training for int8 gains")


def test_a_model_that_is_no_classifier_of_the_data_is_one_message(digits, models, tmp_path):
    with pytest.raises(UserError, match=r"has 11 outputs but the data has 10 classes.*save_out_nodes"):
        run(digits, models, tmp_path, "headless", max_drop=None)


@pytest.mark.parametrize(
    ("ptq", "max_drop", "undecided", "method"),
    [
        ("good", 0.0, "pass", "ptq"),
        ("good", 0.0, "refuse", "qat"),
        ("good", 2.0, "refuse", "ptq"),
        ("worse", 1.0, "pass", "qat"),
        ("worse", 99.0, "refuse", "ptq"),
        ("worse", None, "refuse", "ptq"),
        ("slightly", 0.0, "pass", "ptq"),
        ("slightly", 0.0, "refuse", "qat"),
    ],
)
def test_auto_trains_only_where_quantisation_after_training_loses_too_much(
    digits, models, tmp_path, ptq, max_drop, undecided, method
):
    good, right = models["good"]
    manifest, output = digits.folder / "manifest.json", tmp_path / "method.json"
    section = AccuracySection(max_drop=max_drop, undecided=undecided)
    chosen, cost = choose_method(good, models[ptq][0], manifest, section, output)
    found = json.loads(output.read_text())
    assert chosen == found["method"] == method
    assert found["points"] == pytest.approx(interval(right, models[ptq][1])[0])
    assert f" {abs(found['points']):.2f} points of top-1" in cost
    # by one rule: training is not worth it where the gate would let the model through
    assert (gate(good, models[ptq][0], None, manifest, section, output).reason is None) == (method == "ptq")


def test_a_model_with_more_bytes_than_a_device_takes_goes_to_none(digits, models, tmp_path):
    shipped = models["good"][0]
    size, output = shipped.stat().st_size, tmp_path / "gate.json"
    data = digits.folder / "manifest.json"
    assert gate(None, shipped, None, data, AccuracySection(), output, max_bytes={"phone": size}).reason is None
    found = json.loads(output.read_text())
    assert [(one["device"], one["bytes"], one["closes"]) for one in found["sizes"]] == [("phone", size, False)]
    told = gate(None, shipped, None, data, AccuracySection(), output, max_bytes={"phone": size, "watch": size - 1})
    assert told.outcome == "closed"
    with pytest.raises(UserError, match=f"^the size gate is closed: .*{size:,} bytes, more than device") as it:
        require_open(output)
    assert f"{size - 1:,} of watch: use a smaller network" in str(it.value) and "of phone" not in str(it.value)
