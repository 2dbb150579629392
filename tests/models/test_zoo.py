"""Each family of tf_keras.applications, cut to its blocks: graph, float and int8 .tflite, a step of training.

`benchmarks/zoo.py` takes the whole networks.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qatflow.graph.float_layers import check_float_layers, float_layers
from qatflow.tflite.lower import convert
from qatflow.tflite.read import WEIGHTED, operators
from qatflow.tflite.run import Model

pytestmark = pytest.mark.tensorflow
SHAPE, CLASSES = (32, 32, 3), 4
PICTURES = np.random.default_rng(2).normal(0, 1, (4, *SHAPE)).astype(np.float32)
COMMON = {"input_shape": SHAPE, "weights": None, "classes": CLASSES}


def _efficient_net(applications: Any) -> Any:
    module = applications.efficientnet
    return module.EfficientNet(0.25, 1.0, 32, blocks_args=module.DEFAULT_BLOCKS_ARGS[1:2], **COMMON)


def _efficient_net_v2(applications: Any) -> Any:
    module = applications.efficientnet_v2
    blocks = module.DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"]
    small = [{**blocks[place], "input_filters": 32, "output_filters": 32, "num_repeat": 1} for place in (0, 1, 3)]
    return module.EfficientNetV2(0.25, 1.0, 32, blocks_args=small, **COMMON)


def _reg_net(kind: str) -> Callable[[Any], Any]:
    def build(applications: Any) -> Any:
        return applications.regnet.RegNet([1, 1, 1, 1], [8, 8, 16, 16], 4, kind, 32, **COMMON)

    return build


def _res_net_rs(applications: Any) -> Any:
    blocks = [{"input_filters": 8, "num_repeats": 1}, {"input_filters": 8, "num_repeats": 1}]
    return applications.resnet_rs.ResNetRS(50, block_args=blocks, **COMMON)


def _nas_net(applications: Any) -> Any:
    from tf_keras import Model, layers

    module = applications.nasnet
    module.layers = layers  # as its own function does
    pictures = layers.Input(SHAPE)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, use_bias=False)(pictures))
    x, before = module._reduction_a_cell(x, None, 4, block_id="reduced")
    x, _ = module._normal_a_cell(x, before, 4, block_id="normal")
    return Model(pictures, layers.Dense(CLASSES, "softmax")(layers.GlobalAveragePooling2D()(layers.ReLU()(x))))


def _inception_res_net(applications: Any) -> Any:
    from tf_keras import Model, layers

    module = applications.inception_resnet_v2
    module.layers = layers  # as its own function does
    pictures = layers.Input(SHAPE)
    x = module.conv2d_bn(pictures, 16, 3, strides=4)
    x = module.inception_resnet_block(x, 0.17, "block35", 1)
    x = module.inception_resnet_block(x, 0.1, "block17", 1)
    return Model(pictures, layers.Dense(CLASSES, "softmax")(layers.GlobalAveragePooling2D()(x)))


def _conv_next(applications: Any) -> Any:
    return applications.convnext.ConvNeXt([1, 1, 1, 1], [4, 8, 8, 8], layer_scale_init_value=0.5, **COMMON)


def _mobile_net_v3(applications: Any) -> Any:
    def stack(x: Any, kernel: int, activation: Any, ratio: float) -> Any:
        x = module._inverted_res_block(x, 1, 16, kernel, 2, ratio, activation, 0)
        return module._inverted_res_block(x, 2, 16, kernel, 1, ratio, activation, 1)

    module = applications.mobilenet_v3
    return module.MobileNetV3(stack, 32, alpha=0.5, **COMMON)


FAMILIES: dict[str, Callable[[Any], Any]] = {
    "EfficientNet": _efficient_net,
    "EfficientNetV2": _efficient_net_v2,
    "RegNetX": _reg_net("X"),
    "RegNetY": _reg_net("Y"),
    "ResNetRS": _res_net_rs,
    "DenseNet": lambda applications: applications.densenet.DenseNet([1, 1, 1, 1], **COMMON),
    "NASNet": _nas_net,
    "InceptionResNet": _inception_res_net,
    "MobileNetV3": _mobile_net_v3,
    "ConvNeXt": _conv_next,
}
IN_FLOAT = {"ConvNeXt": {"LayerNorm", "Gelu"}}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_from_keras_to_int8(family):
    import tensorflow as tf
    import tf_keras
    from tf_keras.src import applications

    from qatflow.models.from_keras import translated
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.keras_model import training_model
    from qatflow.training.loss import cross_entropy
    from qatflow.trial.int8_model import lower_on_trial

    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(1)
    keras = FAMILIES[family](applications)
    expected = keras(PICTURES, training=False).numpy()
    graph = translated(keras, 0.9).graph
    np.testing.assert_allclose(Model(convert(graph).content).outputs(PICTURES), expected, rtol=0, atol=1e-4)
    check_float_layers(graph, "auto")
    assert set(float_layers(graph).values()) == IN_FLOAT.get(family, set())
    # its integers are those of the graph, and it runs
    content = lower_on_trial(graph, QuantSettings.default(), PICTURES)
    weighted = [operator for operator in operators(content) if operator.name in WEIGHTED]
    assert {operator.outputs[0].dtype for operator in weighted} == {"INT8"}
    trained = training_model(graph, seed=0, step=tf.constant(0, tf.int64)).keras
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(cross_entropy([0, 1, 2, 3], trained(PICTURES, training=True), 0.0))
    gradients = tape.gradient(loss, trained.trainable_variables)
    assert all(np.isfinite(gradient).all() and np.abs(gradient).max() > 0 for gradient in gradients[-2:])
    assert all(np.isfinite(gradient).all() for gradient in gradients)
