"""The sections of the pictures and their preprocessing."""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.base.picture_size import PictureSize
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Deviation, Mean, Name, Section, Text, TfdsName

Side = Annotated[int, Field(ge=1, le=bounds.LARGEST_AXIS)]


class PreprocessingSection(Section):
    """How a decoded picture becomes the network's input, the same in training, on the host and on the device."""

    size: Side | Annotated[list[Side], Field(min_length=2, max_length=2)] = Field(
        32,
        description="Height and width of the network's input, in pixels, as a list: [96, 128] is wider than high. One "
        "number means a square. For pictures from 8 to 1024; with source arrays the size of the inputs.",
        json_schema_extra={"x-otherwise": "give one number or [height, width]"},
    )
    resize: Literal["pad", "stretch", "crop", "none"] = Field(
        "pad",
        description="How a picture is brought to `size`. pad: it is centred on black; stretch: both sides are "
        "resized to `size` (bilinear); crop: it is resized in proportion (bilinear), for a square until its short side "
        "is `resize_short`, and the middle is cut out; none: for source arrays, whose inputs keep their size.",
    )
    resize_short: int | None = Field(
        None,
        ge=bounds.LEAST_SIDE,
        le=4096,
        description="With resize crop: the short side in pixels, at least the shorter side of `size`. null: 256 for "
        "size 224, and in the same proportion for other sizes. If `size` is not square, the picture covers a rectangle "
        "with this short side and the proportions of `size`.",
    )
    channels: int = Field(
        1,
        ge=1,
        le=bounds.CHANNELS,
        description="1 for grey, 3 for RGB; pictures are converted when they are decoded. For arrays any number.",
    )
    order: Literal["rgb", "bgr"] = Field(
        "rgb", description="Order of the channels. bgr is for weights that came from Caffe, like Keras' ResNet50."
    )
    mean: list[Mean] | None = Field(
        None,
        description="Mean that is subtracted from each channel, in the order of the channels, for pixels from 0 to "
        "255 or in the unit of the arrays. One value is used for all channels. null: 127.5, and 0 for arrays.",
    )
    std: list[Deviation] | None = Field(
        None,
        description="Standard deviation that each channel is then divided by, in the order of the channels, in the "
        "same unit. One value is used for all channels. null: 127.5, and 1 for arrays.",
    )

    @property
    def normalisation(self) -> tuple[list[float], list[float]]:
        """Mean and std, with their defaults."""
        mean, std = (0.0, 1.0) if self.resize == "none" else (127.5, 127.5)
        return [mean] if self.mean is None else self.mean, [std] if self.std is None else self.std

    @property
    def picture_size(self) -> PictureSize:
        """Height and width of the network's input."""
        return PictureSize.from_json(self.size)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return self.picture_size.height, self.picture_size.width, self.channels


class UnlabeledSection(Section):
    """Pictures without labels beside the labelled ones, for calibration and distillation."""

    path: Text | None = Field(
        None,
        description="Folder of pictures without labels, at any depth, or a tar or zip archive of them; with source "
        "arrays, a folder with inputs.npy or a .npz file with `inputs`. null: there are none.",
    )
    calibration: bool = Field(
        True,
        description="Whether the calibration pictures are taken from them instead of from the training pictures.",
    )


class DataSection(Section):
    """The pictures, and how they are split."""

    name: Name = Field("fashion_mnist", description="Name of the folder in data/ for the prepared pictures.")
    source: Literal["idx", "folder", "imagenet", "lists", "csv", "digits", "arrays", "unlabeled"] | TfdsName = Field(
        "idx",
        description="Where the pictures come from. idx: four idx files as of MNIST (Fashion-MNIST); folder: one "
        "folder per class, with or without train/, val/ and test/ above them; imagenet: ILSVRC2012_img_train/ and "
        "ILSVRC2012_img_val/ with the development kit; lists: train_list.txt and val_list.txt with a path and a label "
        "per line; csv: a file with the columns path, label and optionally split; digits: the 1,797 handwritten "
        "digits in scikit-learn; arrays: .npy or .npz files of inputs that are not pictures; unlabeled: a folder of "
        "pictures without classes, for a trained float model, whose answers serve as labels; tfds:NAME: a "
        "data set of TensorFlow Datasets, which must be installed.",
    )
    path: Text | None = Field(
        None,
        description="Folder of the source. For folder and unlabeled it may also be a tar or zip archive, for arrays a "
        ".npz file; "
        "for csv it is the file, and for tfds the data_dir if it is not the usual one. For idx, null is "
        "Debian's Fashion-MNIST folder if it is installed; otherwise the four files are downloaded and checked by "
        "SHA-256. digits needs no path.",
    )
    validation: int = Field(
        5000,
        ge=1,
        le=bounds.PICTURES,
        description="Number of training pictures that are set aside for validation, by which epochs are compared, if "
        "the source has no validation pictures.",
    )
    test: int = Field(
        360,
        ge=1,
        le=bounds.PICTURES,
        description="Number of pictures for the test set, if the source has no test pictures.",
    )
    test_from: Literal["train", "validation"] = Field(
        "train",
        description="Which pictures the test set is taken from. Use validation, for a source that has validation "
        "pictures, if the weights were trained on all training pictures.",
    )
    calibration: int = Field(
        200,
        ge=1,
        le=bounds.PICTURES,
        description="Number of training pictures, or of pictures without labels, whose activations set the initial "
        "quantisation ranges.",
    )
    unlabeled: UnlabeledSection = Field(default_factory=UnlabeledSection)
    shards: int = Field(
        4,
        ge=1,
        le=1024,
        description="Number of TFRecord files of the training split. The other splits get files in proportion, at "
        "least one each. A killed run continues after the last complete file.",
    )
    max_rejected: float = Field(
        0.01, ge=0, le=1, description="Preparation stops if more than this fraction of the pictures is rejected."
    )
    convert: bool = Field(
        True,
        description="What happens to pictures other than upright 8-bit JPEG and PNG files in grey or RGB, which are "
        "kept byte for byte. true: the others (CMYK, palette, 16 bits, alpha, rotated by EXIF, other formats) are "
        "converted to lossless PNG; false: they are rejected.",
    )
    seed: int | None = Field(
        None, ge=0, lt=bounds.SEEDS, description="Seed of the splits. null: the seed of the configuration."
    )
    preprocessing: PreprocessingSection = Field(default_factory=PreprocessingSection)

    @property
    def has_labels(self) -> bool:
        """Whether the pictures come with labels; otherwise the float model's answers serve as labels."""
        return self.source != "unlabeled"
