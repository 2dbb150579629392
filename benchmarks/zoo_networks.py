"""The convolutional networks of tf_keras.applications, and the smallest pictures that each takes."""

from dataclasses import dataclass, field
from typing import Any

CLASSES = 10


@dataclass(frozen=True)
class Network:
    """A network of the zoo.

    Attributes:
        name: in the table.
        family: its heading in the table.
        function: of tf_keras.applications.
        size: height and width of its pictures, the smallest that the function takes.
        options: further arguments of the function.
    """

    name: str
    family: str
    function: str
    size: int = 32
    options: dict[str, Any] = field(default_factory=dict)

    def build(self) -> Any:
        """Return the Keras model, with random weights."""
        import tf_keras

        make = getattr(tf_keras.applications, self.function)
        return make(input_shape=(self.size, self.size, 3), weights=None, classes=CLASSES, **self.options)


def _family(family: str, functions: str, size: int = 32) -> list[Network]:
    return [Network(name, family, name, size) for name in functions.split()]


SIZES = ["002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320"]
NETWORKS: dict[str, Network] = {
    network.name: network
    for network in [
        *_family("MobileNet", "MobileNet MobileNetV2 MobileNetV3Small MobileNetV3Large"),
        *(
            Network(f"{name} minimalistic", "MobileNet", name, options={"minimalistic": True})
            for name in ("MobileNetV3Small", "MobileNetV3Large")
        ),
        *_family("EfficientNet", " ".join(f"EfficientNetB{number}" for number in range(8))),
        *_family(
            "EfficientNetV2", " ".join(f"EfficientNetV2{name}" for name in ["B0", "B1", "B2", "B3", "S", "M", "L"])
        ),
        *_family("RegNetX", " ".join(f"RegNetX{size}" for size in SIZES)),
        *_family("RegNetY", " ".join(f"RegNetY{size}" for size in SIZES)),
        *_family("ResNet", "ResNet50 ResNet101 ResNet152 ResNet50V2 ResNet101V2 ResNet152V2"),
        *_family("ResNetRS", " ".join(f"ResNetRS{depth}" for depth in (50, 101, 152, 200, 270, 350, 420))),
        *_family("DenseNet", "DenseNet121 DenseNet169 DenseNet201"),
        *_family("Inception", "InceptionV3 InceptionResNetV2", 75),
        *_family("Inception", "Xception", 71),
        *_family("NASNet", "NASNetMobile NASNetLarge"),
        *_family("VGG", "VGG16 VGG19"),
        *_family("ConvNeXt", " ".join(f"ConvNeXt{size}" for size in ["Tiny", "Small", "Base", "Large", "XLarge"])),
    ]
}
