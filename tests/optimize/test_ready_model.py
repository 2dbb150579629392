"""A model that is quantised already: adopted as it is, or refused with the reason."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from helpers.small_data import prepared_digits
from helpers.two_classes import dark_and_light, one_value
from qatflow.base.errors import UserError
from qatflow.base.gates import require_open
from qatflow.base.metrics import confusion_matrix
from qatflow.base.sums import read_sealed
from qatflow.config.sections.accuracy import AccuracySection
from qatflow.data.reader import calibration, tensors
from qatflow.device.run.cut import expose_integers
from qatflow.device.run.tolerance import tolerance_of
from qatflow.evaluate.evaluate import evaluate
from qatflow.evaluate.gate import Published, gate
from qatflow.graph.graph import ActivationScale, Graph, Node, WeightScale
from qatflow.graph.operations import Conv2D, GlobalAveragePool, Input, Softmax
from qatflow.graph.store import save
from qatflow.optimize.background import without_background
from qatflow.optimize.narrow import KernelWidths, kernel_widths
from qatflow.optimize.pack import pack_model
from qatflow.optimize.ready import adopt
from qatflow.ptq.quantise import quantise
from qatflow.tflite.builder import packed
from qatflow.tflite.fixed_batch import with_fixed_batch
from qatflow.tflite.int4 import with_int4_kernels
from qatflow.tflite.lower import convert
from qatflow.tflite.packing import PACKED, unpack
from qatflow.tflite.read import operators
from qatflow.tflite.run import Model


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def classifier(classes: int = 10, quantised: bool = False) -> Graph:
    """A convolution, a mean and a softmax: float, or with integers and scales of its own."""
    nodes = (
        Node("input", Input((32, 32, 1))),
        Node("logits", Conv2D((4, 4), "same"), ("input",)),
        Node("mean", GlobalAveragePool(keepdims=False), ("logits",)),
        Node("out", Softmax(), ("mean",)),
    )
    kernel = np.random.default_rng(0).normal(0, 1, (5, 5, 1, classes)).astype(np.float32)
    graph = Graph(nodes, ("out",), {"logits/kernel": kernel})
    if not quantised:
        return graph
    scale = np.asarray([np.abs(kernel).max() / 127], np.float32)
    return replace(
        graph,
        weights={"logits/kernel": np.rint(kernel / scale).astype(np.int8)},
        weight_scales={"logits/kernel": WeightScale(8, scale)},
        activation_scales={name: ActivationScale(8, 0.1) for name in ("input", "logits", "mean")},
    )


def ready(folder: Path, digits, classes: int = 10) -> Path:
    path = folder / f"ready{classes}.tflite"
    path.write_bytes(quantise(convert(classifier(classes)).content, calibration(digits)[:8]))
    return path


def test_a_quantised_file_is_taken_as_it_is_with_the_data_s_labels(digits, tmp_path):
    source = ready(tmp_path, digits)
    adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    assert (tmp_path / "out" / "model.tflite").read_bytes() == source.read_bytes()
    assert (tmp_path / "out" / "labels.txt").read_text().split() == list(digits.labels)
    about = json.loads((tmp_path / "out" / "optimization.json").read_text())
    assert about["operators_after"]["CONV_2D"] == 1


def narrow(folder: Path) -> list[Path]:
    """A model with weights of 4 bits, as each kind of file that can be adopted, and with INT4 tensors."""
    graph = classifier(quantised=True)
    weights = {"logits/kernel": (graph.weights["logits/kernel"] / 16).astype(np.int8)}
    graph = replace(graph, weights=weights, weight_scales={"logits/kernel": WeightScale(4, np.ones(1, np.float32) / 8)})
    save(graph, folder / "float", integers="float")
    content = convert(graph).content
    (folder / "int8.tflite").write_bytes(content)
    (folder / "int4.tflite").write_bytes(with_int4_kernels(content, ["logits/kernel"])[0])
    return [folder / "float", folder / "int8.tflite", folder / "int4.tflite"]


def test_a_model_of_few_bits_is_packed_where_that_is_known_in_time_and_others_say_why_not(digits, tmp_path, capsys):
    for source in narrow(tmp_path):
        assert kernel_widths(source) == KernelWidths(250, 250) and kernel_widths(source).packs
        for packed_after, said in ((True, False), (False, True)):
            adopt(source, digits.folder / "manifest.json", tmp_path / "out", False, packed_after)
            printed = capsys.readouterr().out
            assert ("which was not known before the download; give the file by quantized_model.file" in printed) is said
            assert ("warning: 1 of 1 layers with weights have INT4 kernels" in printed) is (source.stem == "int4")
        model = tmp_path / "out" / "model.tflite"
        pack_model(model, tmp_path / PACKED)
        assert unpack((tmp_path / PACKED).read_bytes(), "it") == model.read_bytes()
    source = ready(tmp_path, digits)
    adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    assert f"no {PACKED}: 0 of 250 weights are in kernels that need fewer than 8 bits" in capsys.readouterr().out


def converted(folder: Path, output: str, batch: int | None = None) -> Path:
    """A file of TensorFlow's own converter, of a model whose batch is open unless it is given."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(2)
    inputs = layers.Input((32, 32, 1), batch_size=batch)
    x = layers.Flatten()(layers.Conv2D(4, 5, strides=4, activation="relu")(inputs))
    converter = tf.lite.TFLiteConverter.from_keras_model(
        tf_keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    )
    pictures = np.random.default_rng(0).normal(size=(16, batch or 1, 32, 32, 1)).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([picture] for picture in pictures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, output)
    path = folder / f"{output}{batch}.tflite"
    path.write_bytes(converter.convert())
    return path


def foreseen(path: Path) -> list[list[int]]:
    """The sizes that the file foresees of each tensor."""
    graph = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0).subgraphs[0]
    return [
        list(tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature)
        for tensor in graph.tensors
        if tensor.shape is not None
    ]


@pytest.mark.tensorflow
@pytest.mark.parametrize("output", ["int8", "uint8", "float32"])
def test_a_batch_that_tensorflow_s_converter_leaves_open_is_one(digits, tmp_path, capsys, output):
    source = converted(tmp_path, output)
    assert any(-1 in shape for shape in foreseen(source)), "the converter fixes it by itself: the test shows nothing"
    adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    fixed = tmp_path / "out" / "model.tflite"
    assert min(min(shape, default=1) for shape in foreseen(fixed)) == 1
    printed = capsys.readouterr().out
    assert "has an open batch: fixed it at 1" in printed
    # it ends in an int8 softmax
    assert "warning: ARM and x86 may round values of these int8 tensors differently" in printed
    assert len(json.loads((tmp_path / "out" / "optimization.json").read_text())["rounding_differently"]) == 1
    before, after = Model(source), Model(fixed)
    pictures = before.input.from_real(calibration(digits)[:20])
    outputs = before.outputs(pictures)
    assert np.array_equal(outputs, after.outputs(pictures)) and len(np.unique(outputs, axis=0)) > 10
    # what the layers compute in decides, not the type of input and output: TensorFlow's uint8 is int8 within
    assert tolerance_of(fixed.read_bytes(), after.output, None).value == 0


@pytest.mark.tensorflow
def test_several_pictures_at_once_are_refused(digits, tmp_path):
    source = converted(tmp_path, "int8", batch=4)
    with pytest.raises(
        UserError, match=r"int84\.tflite: the input has a batch of 4: convert the model with a batch of 1"
    ):
        adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    assert not (tmp_path / "out").exists()


def test_an_open_size_of_the_pictures_is_refused(digits, tmp_path):
    model = schema.ModelT.InitFromPackedBuf(ready(tmp_path, digits).read_bytes(), 0)
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shapeSignature = np.asarray([-1, -1, -1, 1], np.int32)
    with pytest.raises(UserError, match=r"m\.tflite: the input has no fixed size \(\[-1, -1, -1, 1\]\)"):
        with_fixed_batch(packed(model), "m.tflite")


def test_an_exported_folder_is_lowered_as_the_optimise_stage_does(digits, tmp_path):
    graph = classifier(quantised=True)
    save(graph, tmp_path / "float", "float")
    adopt(tmp_path / "float", digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
    assert (tmp_path / "out" / "model.tflite").read_bytes() == convert(graph).content


def test_what_is_no_quantised_model_of_these_pictures_is_refused(digits, tmp_path):
    def refused(path: Path, message: str) -> None:
        with pytest.raises(UserError, match=message):
            adopt(path, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
        assert not (tmp_path / "out").exists()

    (tmp_path / "text.tflite").write_text("no model at all")
    refused(tmp_path / "text.tflite", r"text\.tflite is not a \.tflite file")
    (tmp_path / "cut.tflite").write_bytes(ready(tmp_path, digits).read_bytes()[:300])
    refused(tmp_path / "cut.tflite", r"cut\.tflite is damaged")
    (tmp_path / "float.tflite").write_bytes(convert(classifier()).content)
    refused(tmp_path / "float.tflite", r"float\.tflite is not quantised")
    save(classifier(), tmp_path / "folder")
    refused(tmp_path / "folder", "folder holds a float model")
    refused(
        ready(tmp_path, digits, 11), r"has 11 classes, but data/digits has 10; set quantized_model\.drop_background"
    )
    refused(ready(tmp_path, digits, 7), r"has 7 classes, but data/digits has 10$")
    small = classifier()
    small = small.with_nodes([replace(small.nodes[0], operation=Input((16, 16, 1))), *small.nodes[1:]])
    (tmp_path / "small.tflite").write_bytes(quantise(convert(small).content, np.zeros((2, 16, 16, 1), np.float32)))
    refused(tmp_path / "small.tflite", r"takes \(16, 16, 1\), but the pictures of data/digits are \(32, 32, 1\)")


def test_without_the_background_the_other_classes_keep_their_values(digits, tmp_path):
    source = ready(tmp_path, digits, 11)
    pictures, _ = tensors(digits, "test", 20)
    whole = Model(source).outputs(pictures)
    content = without_background(source.read_bytes(), "it")
    np.testing.assert_array_equal(Model(content).outputs(pictures), whole[:, 1:])
    adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=True)
    assert (tmp_path / "out" / "model.tflite").read_bytes() == content


def test_the_gate_holds_a_ready_model_to_its_published_figure(digits, tmp_path):
    source, manifest = ready(tmp_path, digits), digits.folder / "manifest.json"
    pictures, labels = tensors(digits, "validation")
    top1 = 100 * float((Model(source).outputs(pictures).argmax(axis=1) == labels).mean())
    output = tmp_path / "gate.json"

    def said(published: Published | None) -> list[str]:
        return gate(None, source, None, manifest, AccuracySection(), output, published).lines

    assert said(Published(top1 + 1, 2))[0].startswith(f"top-1 {top1:.2f} % on 180 validation pictures, published")
    assert "no float model and no figure" in said(None)[0]
    assert json.loads(output.read_text())["against_float"] is None
    require_open(output)
    said(Published(90.0, 1.0))
    with pytest.raises(UserError, match=r"closed: .*published 90 %, more than quantized_model\.top1_tolerance 1 "):
        require_open(output)


# binary classifiers with one value


@pytest.fixture(scope="module")
def greys(tmp_path_factory):
    return dark_and_light(tmp_path_factory.mktemp("greys"))


@pytest.mark.parametrize(("end", "output"), [("sigmoid", "float32"), ("sigmoid", "int8"), ("logit", "int8")])
def test_one_value_becomes_one_for_each_of_two_classes(greys, tmp_path, capsys, end, output):
    source, manifest = tmp_path / "one.tflite", greys.folder / "manifest.json"
    source.write_bytes(one_value(end, output))
    pictures, labels = tensors(greys, "test")
    one = Model(source)
    assert one.output.dtype == output
    values = one.outputs(pictures).astype(np.float32)
    if output == "int8":
        values = (values - one.output.zero_point) * np.float32(one.output.scale)
    adopt(source, manifest, tmp_path / "out", drop_background=False)
    assert f"ends in one {end}, so it is a binary classifier" in capsys.readouterr().out
    adopted = tmp_path / "out" / "model.tflite"
    expected = [1 - values, values] if end == "sigmoid" else [-values / 2, values / 2]
    np.testing.assert_array_equal(Model(adopted).outputs(pictures), np.concatenate(expected, axis=1))
    # gate and evaluation count as a threshold does
    predicted = (values[:, 0] > (0.5 if end == "sigmoid" else 0)).astype(int)
    right = float((predicted == labels).mean())
    assert 0.6 < right < 1 and 0.2 < predicted.mean() < 0.8
    evaluate({"ready": adopted}, None, manifest, tmp_path / "evaluation.json", 1, 1)
    measured = read_sealed(tmp_path / "evaluation.json")["models"]["ready"]
    counts = [[int(((labels == i) & (predicted == j)).sum()) for j in (0, 1)] for i in (0, 1)]
    assert measured["top1"] == right and confusion_matrix(measured["confusion"], 2).tolist() == counts
    seen, known = tensors(greys, "validation")
    two = Model(adopted).outputs(seen)
    line = gate(None, adopted, None, manifest, AccuracySection(), tmp_path / "gate.json", Published(60, 5)).lines[0]
    assert line.startswith(f"top-1 {100 * ((two[:, 1] > two[:, 0]) == known).mean():.2f} % on 40 validation pictures")
    # its integers are those of the file
    expose_integers(adopted, tmp_path / "cut.tflite")
    before = [o for o in operators(source.read_bytes()) if o.outputs[0].dtype == "INT8"]
    after = [o for o in operators((tmp_path / "cut.tflite").read_bytes()) if o.outputs[0].dtype == "INT8"]
    assert [o.name for o in before] == [o.name for o in after]
    assert np.array_equal(before[1].inputs[1].data, after[1].inputs[1].data)


def test_one_value_that_is_no_binary_classifier_is_refused(greys, digits, tmp_path):
    source = tmp_path / "one.tflite"
    source.write_bytes(one_value("relu", "int8"))
    with pytest.raises(UserError, match=r"one output value, of RELU: a binary classifier ends in a sigmoid or"):
        adopt(source, greys.folder / "manifest.json", tmp_path / "out", drop_background=False)
    other = classifier(1, quantised=True)
    source.write_bytes(convert(other).content)
    with pytest.raises(UserError, match=r"one output value, of SOFTMAX"):
        adopt(source, greys.folder / "manifest.json", tmp_path / "out", drop_background=False)
    with pytest.raises(UserError, match=r"has 1 classes, but data/digits has 10; a model with one value is a binary"):
        adopt(source, digits.folder / "manifest.json", tmp_path / "out", drop_background=False)
