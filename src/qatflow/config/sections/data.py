"""The sections of pictures and preprocessing."""

from typing import Literal

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Deviation, Mean, Name, Section, Text, TfdsName


class PreprocessingSection(Section):
    """What is done to a decoded picture before the network sees it, in training, on the host and on the device."""

    size: int = Field(32, ge=32, le=512, description="Side of the network's square input, in pixels.")
    resize: Literal["pad", "stretch", "crop"] = Field(
        "pad",
        description="pad: centre the picture on a black square; stretch: bilinear resize of both sides to `size`; "
        "crop: bilinear resize, keeping the proportions, until the short side is `resize_short`, and the "
        "square in the middle.",
    )
    resize_short: int | None = Field(
        None,
        ge=32,
        le=4096,
        description="With crop: the short side in pixels, at least `size`. null: 256 for size 224, others in "
        "proportion.",
    )
    channels: Literal[1, 3] = Field(1, description="1 for grey, 3 for RGB; pictures are converted when decoded.")
    order: Literal["rgb", "bgr"] = Field(
        "rgb", description="Order of the channels; bgr for weights that came from Caffe, as Keras' ResNet50."
    )
    mean: list[Mean] = Field(
        [127.5],
        description="Subtracted from each channel, in their order, in units of 0…255; one value serves all channels.",
    )
    std: list[Deviation] = Field(
        [127.5], description="Divides each channel, in their order, in units of 0…255; one value serves all channels."
    )


class DataSection(Section):
    """The pictures and how they are split."""

    name: Name = Field("fashion_mnist", description="Folder under data/ that holds the prepared pictures.")
    source: Literal["idx", "folder", "imagenet", "lists", "csv", "digits"] | TfdsName = Field(
        "idx",
        description="idx: four MNIST-style idx files (Fashion-MNIST); folder: one folder a class, with or without "
        "train/, val/ and test/ above them; imagenet: ILSVRC2012_img_train/ and ILSVRC2012_img_val/ with "
        "the development kit; lists: train_list.txt and val_list.txt with a path and a label a line; csv: "
        "a list with the columns path, label and perhaps split; digits: the 1,797 handwritten digits "
        "bundled with scikit-learn; tfds:NAME: a data set of TensorFlow Datasets, when that is installed.",
    )
    path: Text | None = Field(
        None,
        description="Folder of the source; folder: or a tar or zip archive of it; csv: the list; tfds: its data_dir, "
        "if it is not the usual one. idx without a path: Debian's Fashion-MNIST folder where it is installed, else the "
        "four files are downloaded from their usual address and checked by sha256. digits needs none.",
    )
    validation: int = Field(
        5000,
        ge=1,
        le=bounds.PICTURES,
        description="Training pictures set aside to choose epochs by, where the source has none of its own.",
    )
    test: int = Field(
        360,
        ge=1,
        le=bounds.PICTURES,
        description="Pictures set aside as test set where the source has none of its own.",
    )
    test_from: Literal["train", "validation"] = Field(
        "train",
        description="Where they are set aside from; validation for a source that has a validation set, when the "
        "weights have seen all of training.",
    )
    calibration: int = Field(
        200, ge=1, le=bounds.PICTURES, description="Training pictures whose activations set the first ranges."
    )
    shards: int = Field(
        4,
        ge=1,
        le=1024,
        description="TFRecord files of the training split; the others get as many in proportion, at least one each. A "
        "run that was killed goes on behind the last whole one.",
    )
    max_rejected: float = Field(
        0.01, ge=0, le=1, description="Share of rejected pictures above which preparation stops."
    )
    convert: bool = Field(
        True,
        description="JPEG and PNG files of 8 bits, grey or RGB and upright, are kept byte for byte. Others (CMYK, "
        "palette, 16 bits, alpha, turned by EXIF, other formats) are kept as lossless PNG of their pixels,"
        " or with false rejected.",
    )
    seed: int | None = Field(
        None, ge=0, lt=bounds.SEEDS, description="Seed of the splits; null: that of the configuration."
    )
    preprocessing: PreprocessingSection = Field(default_factory=PreprocessingSection)
