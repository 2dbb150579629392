"""Keras' official weights: the files, their address and checksums, and their published top-1 accuracy."""

from dataclasses import dataclass

BASE = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclass(frozen=True)
class OfficialWeights:
    """The weight files of one architecture.

    Attributes:
        folder: their folder below `BASE`.
        widths: the width multipliers that exist, each with its text in the file name.
        sizes: the input sizes they were trained with, in pixels.
        pattern: the file name, with {width} and {size}.
        sha256: the SHA-256 of the files whose sum is known, by file name.
        md5: the MD5 of the files whose SHA-256 is not known, by file name.
        top1: published accuracy on ImageNet's validation pictures, in percent, by width and size.
    """

    folder: str
    widths: dict[float, str]
    sizes: tuple[int, ...]
    pattern: str
    sha256: dict[str, str]
    md5: dict[str, str]
    top1: dict[tuple[float, int], float]

    def file(self, width: float, size: int) -> str:
        """Return the name of the file for a width and size."""
        return self.pattern.format(width=self.widths[width], size=size)


OFFICIAL = {
    "MobileNetV1": OfficialWeights(
        folder="mobilenet",
        widths={1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"},
        sizes=(128, 160, 192, 224),
        pattern="mobilenet_{width}_{size}_tf.h5",
        # Keras publishes no sum; this one was computed from a copy that reproduces the published top-1
        sha256={"mobilenet_7_5_224_tf.h5": "910dde22dc87cf3519474f01117284d5217e1885b73fcf8e87c8a5614a06a312"},
        md5={},
        # tf_keras/src/applications/mobilenet.py
        top1={
            (1.0, 224): 70.6,
            (0.75, 224): 68.4,
            (0.5, 224): 63.7,
            (0.25, 224): 50.6,
            (1.0, 192): 69.1,
            (1.0, 160): 67.2,
            (1.0, 128): 64.4,
        },
    ),
    "MobileNetV2": OfficialWeights(
        folder="mobilenet_v2",
        widths={0.35: "0.35", 0.5: "0.5", 0.75: "0.75", 1.0: "1.0", 1.3: "1.3", 1.4: "1.4"},
        sizes=(96, 128, 160, 192, 224),
        pattern="mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{width}_{size}.h5",
        # Keras publishes no sum; three independent projects record this one
        sha256={
            "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5": (
                "3e195a2857356cfc092cbbb460beb2a5bce279015d7792598b8d3d9e451902e3"
            )
        },
        md5={},
        # tf_keras/src/applications/mobilenet_v2.py
        top1={
            (1.4, 224): 75.0,
            (1.3, 224): 74.4,
            (1.0, 224): 71.8,
            (1.0, 192): 70.7,
            (1.0, 160): 68.8,
            (1.0, 128): 65.3,
            (1.0, 96): 60.3,
            (0.75, 224): 69.8,
            (0.5, 224): 65.4,
            (0.35, 224): 60.3,
        },
    ),
    "MobileNetV3Small": OfficialWeights(
        folder="mobilenet_v3",
        widths={0.75: "0.75", 1.0: "1.0"},
        sizes=(224,),
        pattern="weights_mobilenet_v3_small_{size}_{width}_float.h5",
        sha256={},
        # WEIGHTS_HASHES and the table of tf_keras/src/applications/mobilenet_v3.py
        md5={
            "weights_mobilenet_v3_small_224_1.0_float.h5": "8768d4c2e7dee89b9d02b2d03d65d862",
            "weights_mobilenet_v3_small_224_0.75_float.h5": "cb65d4e5be93758266aa0a7f2c6708b7",
        },
        top1={(1.0, 224): 68.1, (0.75, 224): 65.4},
    ),
    "ResNet50": OfficialWeights(
        folder="resnet",
        widths={1.0: ""},
        sizes=(224,),
        pattern="resnet50_weights_tf_dim_ordering_tf_kernels.h5",
        sha256={},
        # WEIGHTS_HASHES of tf_keras/src/applications/resnet.py
        md5={"resnet50_weights_tf_dim_ordering_tf_kernels.h5": "2cb95161c43110f7111970584f804107"},
        top1={(1.0, 224): 74.9},  # keras.io/api/applications
    ),
}
