"""Distillation: the distillers' losses against NumPy, names and shapes before training, and training with a teacher."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from helpers.small_data import DIGITS, prepared_digits
from helpers.small_networks import network
from qatflow.base.errors import UserError
from qatflow.data.augment import Augmentation
from qatflow.data.preparation.prepare import prepare

pytestmark = pytest.mark.tensorflow

RANDOM = np.random.default_rng(5)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return prepared_digits(tmp_path_factory.mktemp("digits") / "data")


def distiller(section: dict):
    from qatflow.compress.strategies.distillers import DISTILLERS
    from qatflow.config.recipe.recipe import CompressConfig

    config = CompressConfig.model_validate({"distillers": {"d": section}, "compressor": {"epoch": 1}})
    return DISTILLERS[type(config.distillers["d"])](config.distillers["d"])


def random(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_soft_labels_are_the_cross_entropy_of_both_softmaxes():
    ours, theirs = random(4, 10) * 3, random(4, 10) * 3
    found = distiller({"class": "SoftLabelDistiller", "student_temperature": 2.0, "teacher_temperature": 4.0}).loss(
        [ours], [theirs]
    )
    expected = -(softmax(theirs / 4) * np.log(softmax(ours / 2))).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_l2_is_the_mean_squared_difference_of_each_picture():
    ours, theirs = random(3, 4, 5, 6), random(3, 4, 5, 6)
    found = distiller({"class": "L2Distiller", "student_feature_map": "a", "teacher_feature_map": "b"}).loss(
        [ours], [theirs]
    )
    np.testing.assert_allclose(found, ((ours - theirs) ** 2).mean(axis=(1, 2, 3)), rtol=1e-5)


def test_fsp_compares_flow_matrices_of_each_pair():
    ours = [random(2, 4, 3, 5), random(2, 4, 3, 6), random(2, 2, 2, 7), random(2, 2, 2, 3)]
    theirs = [random(2, 8, 8, 5), random(2, 8, 8, 6), random(2, 1, 1, 7), random(2, 1, 1, 3)]
    section = {
        "class": "FSPDistiller",
        "student_pairs": [["a", "b"], ["c", "d"]],
        "teacher_pairs": [["e", "f"], ["g", "h"]],
    }
    found = distiller(section).loss(ours, theirs)

    def flow(a, b):
        n, h, w, _ = a.shape
        return a.reshape(n, h * w, -1).transpose(0, 2, 1) @ b.reshape(n, h * w, -1) / (h * w)

    expected = sum(((flow(*ours[i : i + 2]) - flow(*theirs[i : i + 2])) ** 2).mean(axis=(1, 2)) for i in (0, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_unknown_layers_and_other_shapes_are_told_before_training():
    student, teacher = network("small ResNet"), network("MobileNetV1")
    convs = [node.name for node in student.nodes if node.name.startswith("conv2d")]
    with pytest.raises(UserError, match=r"^distillers.d, layer of the student: .*no node 'conv2'.*conv2d"):
        distiller({"class": "L2Distiller", "student_feature_map": "conv2", "teacher_feature_map": "conv1"}).resolved(
            "d", student, teacher
        )
    with pytest.raises(
        UserError, match=rf"^distillers.d: {convs[0]} and the teacher's conv1: .*\(32, 32, 8\) and \(16,"
    ):
        distiller({"class": "L2Distiller", "student_feature_map": convs[0], "teacher_feature_map": "conv1"}).resolved(
            "d", student, teacher
        )
    pairs = {"student_pairs": [[convs[0], convs[-1]]], "teacher_pairs": [["conv1", "conv_dw_1"]]}
    with pytest.raises(UserError, match=r"^distillers.d: .* need the same height and width"):
        distiller({"class": "FSPDistiller", **pairs}).resolved("d", student, teacher)
    assert distiller({"class": "SoftLabelDistiller"}).resolved("d", student, teacher)


def run(
    digits, folder, end: int, epochs: int = 2, augmentation: Augmentation = "shift", teacher=None, stop=None
):  # fmt: skip
    """Train the small ResNet; return the trainer, its history and the strategy."""
    from qatflow.compress.strategies.distillation import DistillationStrategy
    from qatflow.config.recipe.distillation import DistillationStrategySection
    from qatflow.training.loop import Trainer
    from qatflow.training.settings import TrainingSettings
    from qatflow.training.strategy import Strategy

    class Stop(Strategy):
        def on_batch_end(self, trainer):
            if trainer.epoch * trainer.steps_per_epoch + trainer.step == stop:
                raise KeyboardInterrupt

    settings = TrainingSettings(
        epochs=epochs, batch_size=128, learning_rate=0.02, warmup_epochs=0.0, momentum=0.9, weight_decay=0.0,
        label_smoothing=0.0, augmentation=augmentation, freeze_batch_norm=False, seed=3, checkpoint_steps=3,
    )  # fmt: skip
    student = network("small ResNet")
    section = DistillationStrategySection.model_validate(
        {"class": "DistillationStrategy", "distillers": ["soft"], "end_epoch": end}
    )
    soft = distiller({"class": "SoftLabelDistiller", "distillation_loss_weight": 5.0})
    strategy = DistillationStrategy(section, {"soft": soft}, student, teacher or student)
    folder.mkdir(exist_ok=True)
    trainer = Trainer(student, digits, settings, folder, [strategy, Stop()])
    trainer.run()
    return trainer


def test_a_student_follows_its_teacher_which_stays_as_it_is(digits, tmp_path, capsys):
    from qatflow.data.pipeline import evaluation_batches

    student = network("small ResNet")
    bias = next(name for name in student.weights if name.startswith("dense") and name.endswith("bias"))
    stubborn = replace(student, weights={**student.weights, bias: np.where(np.arange(10) == 3, 60.0, 0.0)})
    before = {name: values.copy() for name, values in stubborn.weights.items()}
    taught = run(digits, tmp_path / "taught", end=2, teacher=stubborn)
    assert "epoch 0: distillation by soft; the teacher's outputs are computed in each step" in capsys.readouterr().out
    alone = run(digits, tmp_path / "alone", end=0)

    def threes(trainer) -> float:
        shares = [
            np.mean(trainer.model.keras(x).numpy().argmax(1) == 3) for x, _ in evaluation_batches(digits, "train")
        ]
        return float(np.mean(shares))

    assert threes(taught) > 0.9, "which the teacher says of every picture"
    assert threes(alone) < 0.5
    assert all(np.array_equal(stubborn.weights[name], values) for name, values in before.items())


def test_the_end_is_exclusive_and_a_killed_run_goes_on_to_the_same_bytes(digits, tmp_path, capsys):
    whole = run(digits, tmp_path / "whole", end=1)
    assert "epoch 1: distillation has ended" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        run(digits, tmp_path / "killed", end=1, stop=7)
    again = run(digits, tmp_path / "killed", end=1)
    assert "resumed at epoch 0, step 6" in capsys.readouterr().out
    assert again.history == whole.history
    for name, values in whole.model.weights().items():
        np.testing.assert_array_equal(again.model.weights()[name], values)


def test_outputs_of_pictures_that_are_shown_unchanged_are_computed_once(digits, tmp_path, capsys, monkeypatch):
    from qatflow.compress.strategies import teacher

    kept = run(digits, tmp_path / "kept", end=2, augmentation="none")
    assert "computed once, since pictures are shown unchanged" in capsys.readouterr().out
    monkeypatch.setattr(teacher, "KEPT", 0)
    anew = run(digits, tmp_path / "anew", end=2, augmentation="none")
    assert "computed in each step" in capsys.readouterr().out
    # the same but for the order in which a convolution adds up in batches of another size
    for one, other in zip(kept.history, anew.history, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_distillation_may_follow_another_whichever_is_listed_first(digits, tmp_path, capsys, order):
    from qatflow.compress.strategies.distillation import DistillationStrategy
    from qatflow.config.recipe.distillation import DistillationStrategySection
    from qatflow.training.loop import Trainer
    from qatflow.training.settings import TrainingSettings

    settings = TrainingSettings(
        epochs=3, batch_size=128, learning_rate=0.02, warmup_epochs=0.0, momentum=0.9, weight_decay=0.0,
        label_smoothing=0.0, augmentation="shift", freeze_batch_norm=False, seed=3,
    )  # fmt: skip
    student = network("small ResNet")

    def strategy(epoch: int) -> DistillationStrategy:
        section = DistillationStrategySection.model_validate(
            {"class": "DistillationStrategy", "distillers": [f"d{epoch}"], "start_epoch": epoch, "end_epoch": epoch + 1}
        )
        return DistillationStrategy(
            section, {f"d{epoch}": distiller({"class": "SoftLabelDistiller"})}, student, student
        )

    strategies = [strategy(epoch) for epoch in order]
    Trainer(student, digits, settings, tmp_path, strategies).run()
    lines = [line for line in capsys.readouterr().out.splitlines() if "distillation" in line]
    begun = [line.partition(";")[0] for line in lines if "distillation by" in line]
    assert begun == ["epoch 0: distillation by d0", "epoch 1: distillation by d1"]
    assert lines[-1] == "epoch 2: distillation has ended"


def test_a_mobilenet_follows_features_and_flows_of_a_resnet50_to_int8(digits, tmp_path, capsys):
    """Two architectures, layers by the names that each has: the student's come nearer to the teacher's."""
    import tf_keras

    from helpers.compression import compressed, device_kernels
    from qatflow.data.reader import tensors
    from qatflow.models.from_keras import graph_of
    from qatflow.training.keras_model import training_model

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(4)
    feature = ("conv_pw_4_relu", "conv3_block1_1_relu")  # 4 × 4 × 128

    def up_to(layer, model):
        x = tf_keras.layers.GlobalAveragePooling2D()(model.get_layer(layer).output)
        return tf_keras.Model(model.input, tf_keras.layers.Dense(10, "softmax")(x))

    shape, applications = (32, 32, 1), tf_keras.applications
    student = up_to(feature[0], applications.MobileNet(shape, alpha=0.5, include_top=False, weights=None))
    student = graph_of(student, momentum=0.8)
    teacher = graph_of(up_to(feature[1], applications.ResNet50(False, None, input_shape=shape)))
    pairs = (("conv_pw_2_relu", "conv_pw_3_relu"), ("conv2_block1_1_relu", "conv2_block2_1_relu"))  # 8 × 8 × 64
    distillers = {
        "features": {
            "class": "L2Distiller", "student_feature_map": feature[0], "teacher_feature_map": feature[1],
            "distillation_loss_weight": 200.0,
        },
        "flows": {
            "class": "FSPDistiller", "student_pairs": [list(pairs[0])], "teacher_pairs": [list(pairs[1])],
            "distillation_loss_weight": 300.0,
        },
    }  # fmt: skip
    distil = {"class": "DistillationStrategy", "distillers": list(distillers), "end_epoch": 1}
    int8 = {"class": "QuantizationStrategy"}
    shown = {"augmentation": "none", "learning_rate": 0.005}
    taught, _ = compressed(
        digits, tmp_path / "taught", {"distil": distil, "int8": int8}, 1, student, teacher, distillers, **shown
    )
    assert "computed once, since pictures are shown unchanged" in capsys.readouterr().out
    alone, _ = compressed(digits, tmp_path / "alone", {"int8": int8}, 1, student, **shown)
    inputs = tensors(digits, "validation")[0]

    def outputs(graph, names):
        real = {name: graph.real_weight(name) for name in graph.weights}
        model = training_model(
            replace(graph, weights=real, weight_scales={}, activation_scales={}), seed=0, step=0
        ).with_tensors(names)
        return [x.numpy() for x in model(inputs, training=False)[1:]]

    def flow(first, second):
        n, h, w, _ = first.shape
        return first.reshape(n, h * w, -1).transpose(0, 2, 1) @ second.reshape(n, h * w, -1) / (h * w)

    theirs = outputs(teacher, (feature[1], *pairs[1]))
    (near, flow_near), (far, flow_far) = (
        (np.mean((ours[0] - theirs[0]) ** 2), np.mean((flow(*ours[1:]) - flow(*theirs[1:])) ** 2))
        for ours in (outputs(graph, (feature[0], *pairs[0])) for graph in (taught, alone))
    )
    print("NEAR", near, far, flow_near, flow_far)
    assert near < 0.7 * far and flow_near < 0.7 * flow_far
    assert len(device_kernels(taught, digits, tmp_path)) == 10


def test_pictures_without_labels_are_shown_too_and_have_the_teachers_loss_alone(tmp_path, capsys, monkeypatch):
    from qatflow.compress.strategies import teacher

    noise = np.random.default_rng(2).integers(0, 256, (140, 24, 24), np.uint8)
    (tmp_path / "more").mkdir()
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / "more" / f"{number}.png")
    settings = replace(DIGITS, validation=1200, unlabeled=tmp_path / "more")
    data = prepare(settings, tmp_path / "data").with_unlabeled()
    kept = run(data, tmp_path / "kept", end=1, epochs=1, augmentation="none")
    assert kept.steps_per_epoch == 3  # of 128, for 237 pictures with labels and 140 without
    assert "computed once, since pictures are shown unchanged" in capsys.readouterr().out
    monkeypatch.setattr(teacher, "KEPT", 0)
    anew = run(data, tmp_path / "anew", end=1, epochs=1, augmentation="none")
    for name, values in kept.model.weights().items():  # outputs kept by position are those of the same picture
        np.testing.assert_allclose(anew.model.weights()[name], values, atol=1e-3)
    # one of 384 places is filled by each picture, and seven by some again: only the labelled ones are counted
    order = np.random.default_rng([3, 0, 0]).permutation(377)
    labelled = int((np.resize(order, 384) < 237).sum())
    hits = kept.history[0].train_top1 * labelled
    assert 230 <= labelled < 250 and hits == pytest.approx(round(hits), abs=1e-3)


def test_a_network_is_trained_for_int8_from_its_teacher_alone(digits, tmp_path, monkeypatch):
    from helpers.compression import compressed
    from qatflow.data.reader import tensors
    from qatflow.tflite.lower import convert
    from qatflow.tflite.run import Model
    from qatflow.training.loss import CrossEntropy

    def never(*arguments: object) -> None:
        raise AssertionError("the loss of the labels was asked for")

    student = network("small ResNet")
    bias = next(name for name in student.weights if name.startswith("dense") and name.endswith("bias"))
    stubborn = replace(student, weights={**student.weights, bias: np.where(np.arange(10) == 3, 60.0, 0.0)})
    monkeypatch.setattr(CrossEntropy, "__call__", never)
    soft = {"soft": {"class": "SoftLabelDistiller", "distillation_loss_weight": 5.0}}
    distil = {"class": "DistillationStrategy", "distillers": ["soft"], "end_epoch": 2, "labels": False}
    strategies = {"distil": distil, "int8": {"class": "QuantizationStrategy"}}
    graph, _ = compressed(digits, tmp_path / "work", strategies, 2, student, stubborn, soft, learning_rate=0.05)
    inputs, labels = tensors(digits, "test")
    answers = Model(convert(graph).content).outputs(inputs).argmax(axis=1)
    assert (answers == 3).mean() > 0.9 and (labels == 3).mean() < 0.2
