"""The typed configuration: one class a section, each field with its meaning, unit, default and range.

This module is the source of the defaults, of `config/schema.json` (for editors and the workflow catalog) and of the
checks in `qatflow.config.load`. A value that is not written in a YAML file has the default given here.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qatflow.config import bounds

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]  # a file name with _float_opt behind it
Text = Annotated[str, Field(pattern=r"^[^{}\x00-\x1f\x7f]+$")]  # Snakemake reads {x} as a wildcard
SEEDS = bounds.SEEDS
"""Seeds are below this."""
TfdsName = Annotated[str, Field(pattern=r"^tfds:[A-Za-z0-9_./:*-]+$")]
Function = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
Mean = Annotated[float, Field(ge=-bounds.PIXELS, le=bounds.PIXELS)]
Deviation = Annotated[float, Field(ge=bounds.LEAST_STD, le=bounds.LARGEST_STD)]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
BATCH_SIZE = (
    "Pictures a step. null: 128, or where an epoch would have fewer than eight steps 64, 32 or 16: 16 for up to 224 "
    "training pictures, 128 from 897 on."
)
CHECKPOINT_STEPS = "Steps between checkpoints within an epoch."
CHECKPOINT_SECONDS = (
    "Seconds after which the next step ends with a checkpoint, whatever checkpoint_steps says: a kill costs no more "
    "training than this."
)
STATE_KEYS = ("keep_checkpoints", "checkpoint_steps", "checkpoint_seconds")
"""Keys of a training that say how its state is kept, and change no result."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """What all sections share: unknown keys are errors, values are not coerced, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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


class ModelSection(Section):
    """The network: one of those that are known here, or a Keras model of your own."""

    architecture: Literal["MobileNetV1", "MobileNetV2", "ResNet50"] | None = Field(
        None,
        description="Name of the architecture. null: MobileNetV1, where neither file nor function is given.",
        json_schema_extra={
            "x-otherwise": "any other network is given by model.file (saved whole) or model.function (its code)"
        },
    )
    file: Text | None = Field(
        None,
        description="A Keras model of your own, saved whole by tf-keras: .h5, .keras or a SavedModel folder. Only its "
        "description and its arrays are read; no code in it is run.",
    )
    function: Function | None = Field(
        None,
        description="A function of your own, `package.module:name`, which is called as "
        "name(input_shape=(height, width, channels), classes=n) and returns a functional tf-keras model. Its module is "
        "looked for in the folder in which Snakemake is started, then along PYTHONPATH. Naming it lets its code run.",
    )
    alpha: float | None = Field(
        None,
        ge=bounds.LEAST_WIDTH,
        le=2,
        description="Width multiplier of a MobileNet: the share of each layer's channels kept. null: 0.5 for "
        "MobileNetV1, 1 for MobileNetV2.",
    )
    dropout: float = Field(0.001, ge=0, lt=1, description="Dropout before MobileNetV1's classifier, in training.")
    batch_norm_momentum: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of batch-norm's moving statistics a step; Keras' 0.99 is stale in short runs. null: 0.9, or "
        "0.7 where an epoch has fewer than 16 steps.",
    )
    keep_in_float: list[Text] = Field(
        [],
        description="Layers whose name contains one of these texts run in float, on the device too: those that cannot "
        "be quantised, which a run lists before it trains, and any others. Beside the compress YAML's skip_pattern.",
    )

    @property
    def network(self) -> str | None:
        """The architecture's name; None for a model of one's own."""
        own = self.file is not None or self.function is not None
        return None if own else self.architecture or "MobileNetV1"

    @property
    def width(self) -> float:
        """The width multiplier that holds."""
        return self.alpha if self.alpha is not None else 1.0 if self.network == "MobileNetV2" else 0.5


class FloatTrainingSection(Section):
    """Float training, where the pretrained weights are made here."""

    epochs: int = Field(6, ge=1, le=bounds.EPOCHS, description="Passes over the training pictures.")
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description=BATCH_SIZE)
    learning_rate: float | None = Field(
        None,
        ge=bounds.LEAST_RATE,
        le=bounds.LARGEST_RATE,
        description="Peak learning rate; warm-up, then cosine decay to zero. null: in proportion to the batch, 0.1 at "
        "128 pictures for new weights (without batch-norm whatever the batch); with fine_tune 0.003, or where the last "
        "layer is new 0.01, and 0.1 for that layer.",
    )
    warmup_epochs: float = Field(
        0.5, ge=0, le=bounds.EPOCHS, description="Epochs over which the learning rate rises from zero."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of SGD.")
    weight_decay: float = Field(1.0e-4, ge=0, le=bounds.LARGEST_DECAY, description="L2 factor on the kernels.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Label smoothing of the cross entropy.")
    precision: Precision = Field(
        "float32",
        description="What layers compute in; weights, statistics and the loss stay in float32. mixed_bfloat16: on GPUs "
        "from Ampere on; mixed_float16: on those from Volta on, with a scaled loss. Slower on a CPU.",
    )
    augmentation: Literal["none", "flip", "shift", "shift_flip", "crop_flip"] = Field(
        "flip",
        description="flip: random left-right mirror; shift: random shift by up to a sixteenth of the side; crop_flip: "
        "a random part of the picture (0.08 to 1 of its area, 3/4 to 4/3 as wide as high), and mirror, as "
        "PaddleSlim's ImageNet reader; not with resize pad.",
    )
    checkpoint_steps: int = Field(200, ge=1, le=bounds.STEPS, description=CHECKPOINT_STEPS)
    checkpoint_seconds: float = Field(60.0, ge=0.001, le=bounds.LONGEST_SECONDS, description=CHECKPOINT_SECONDS)


class PretrainedSection(Section):
    """The float weights that compression starts from."""

    name: Name = Field("MobileNetV1", description="The weights are kept in pretrain/<name>_pretrained/.")
    source: Literal["train", "model", "keras-applications", "file", "url"] = Field(
        "train",
        description="train: trained here on the data; model: those that model.file or model.function has; "
        "keras-applications: the official ImageNet weights; file: a file here; url: a file that is downloaded.",
    )
    path: Text | None = Field(
        None,
        description="Weights for source file, as tf-keras writes them, alone or in a whole model: .h5, .keras or a "
        "SavedModel folder. Arrays are all that is read.",
    )
    url: Text | None = Field(None, description="Address of an .h5 or .keras file, for source url. sha256 is required.")
    mirror: Text | None = Field(
        None,
        description="keras-applications: address of a copy of Keras' folder, used in place of "
        "https://storage.googleapis.com/tensorflow/keras-applications.",
    )
    sha256: Sha256 | None = Field(None, description="Expected SHA-256 of the file; checked when given.")
    fine_tune: bool = Field(
        False,
        description="Train the weights on the data, as `train` below says, before they are compressed. Needed where "
        "the data have other classes than the weights, which then get a new last layer. Where no epoch does better on "
        "the validation pictures than the weights as they came, and these have the right classes, they are kept.",
    )
    expected_top1: float | None = Field(
        None,
        ge=0,
        le=100,
        description="Published top-1 of the weights, in percent. The run stops where they are far below it on the "
        "validation pictures, and says which normalisation of the pictures would fit. null: not checked.",
    )
    top1_tolerance: float = Field(
        3.0, ge=0, le=100, description="How far below expected_top1 the weights may be, in percentage points."
    )
    seed: int | None = Field(
        None, ge=0, lt=bounds.SEEDS, description="Seed of the float training; null: that of the configuration."
    )
    train: FloatTrainingSection = Field(default_factory=FloatTrainingSection)


class TeacherSection(Section):
    """A larger network for a student to follow."""

    model: ModelSection = Field(default_factory=ModelSection)
    pretrained: PretrainedSection = Field(default_factory=PretrainedSection)


class QuantizedModelSection(Section):
    """A model that is quantised already: it skips training and goes to optimise, build and run."""

    file: Text | None = Field(
        None, description="A quantised .tflite file, or an exported folder of ours (float/ or int8/)."
    )
    url: Text | None = Field(None, description="Address of a quantised .tflite file. sha256 is required.")
    sha256: Sha256 | None = Field(None, description="Expected SHA-256 of the .tflite file; checked when given.")
    drop_background: bool = Field(
        False,
        description="Cut off the model's first class, the background that TensorFlow's official classifiers have "
        "before the classes of the data.",
    )
    expected_top1: float | None = Field(
        None, ge=0, le=100, description="Published top-1, in percent; the accuracy gate compares with it."
    )
    top1_tolerance: float = Field(
        3.0, ge=0, le=100, description="How far below expected_top1 it may be, in points, to go to the device."
    )

    @property
    def given(self) -> bool:
        """Whether there is such a model."""
        return self.file is not None or self.url is not None


class CompressSection(Section):
    """Training for int8: the page's compress.py arguments. The strategies are in the YAML that `config` names."""

    config: Text = Field(
        "config/compress/quantization.yaml", description="PaddleSlim-style YAML with strategies and compressor."
    )
    overrides: dict[Text, Any] = Field(
        {},
        description="Keys of that YAML with values in place of its own: with dots from its top, or the last part alone "
        "(weight_quantize_type: channel_wise_abs_max), which is that of the compressor or of every strategy that has "
        "it. A key that nothing in the YAML can have is an error.",
    )
    export: Literal["end_epoch", "best"] = Field(
        "end_epoch",
        description="Which epoch's model is exported: the YAML's end_epoch, or of those up to it the one that did best "
        "on the validation pictures.",
    )
    batch_size: int | None = Field(None, ge=1, le=bounds.BATCH, description=BATCH_SIZE)
    learning_rate: float | None = Field(
        None,
        ge=bounds.LEAST_RATE,
        le=bounds.LARGEST_RATE,
        description="Learning rate at the first step; cosine decay to zero. null: in proportion to the batch, 0.005 at "
        "128 pictures; with freeze_batch_norm 3e-6 at 25.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Nesterov momentum of SGD.")
    weight_decay: float = Field(1.0e-4, ge=0, le=bounds.LARGEST_DECAY, description="L2 factor on the kernels.")
    equalize_channels: bool = Field(
        True,
        description="With weight_quantize_type abs_max: first bring the channels of each kernel to one range, which "
        "the batch-norm behind it makes up for. The float function stays the same; one scale then fits all channels.",
    )
    freeze_batch_norm: bool = Field(
        False, description="Keep batch-norm's statistics and use them in training; right for short fine-tuning."
    )
    augmentation: Literal["none", "flip", "shift", "shift_flip", "crop_flip"] = Field(
        "flip", description="As in pretrained.train.augmentation."
    )
    precision: Precision = Field(
        "float32",
        description="As in pretrained.train.precision, of the epochs before quantisation begins (start_epoch); "
        "fake-quantised layers and their quantisers are in float32.",
    )
    keep_checkpoints: int = Field(2, ge=1, le=bounds.CHECKPOINTS, description="Checkpoints kept in the work folder.")
    checkpoint_steps: int = Field(200, ge=1, le=bounds.STEPS, description=CHECKPOINT_STEPS)
    checkpoint_seconds: float = Field(60.0, ge=0.001, le=bounds.LONGEST_SECONDS, description=CHECKPOINT_SECONDS)


class DeviceSection(Section):
    """Where the optimised model is run."""

    type: Literal["emulator", "adb"] = Field(
        "emulator", description="emulator: qemu user mode; adb: a phone or board on the desk."
    )
    name: Name = Field("emulator", description="The results are kept in results/<experiment>/device/<name>/.")
    serial: Text | None = Field(None, description="adb: the serial number that `adb devices` prints. Required there.")
    cpu: Text = Field("cortex-a76", description="emulator: the CPU that qemu imitates.")
    target: Literal["android.armv8", "linux.armv8", "linux.x86_64"] = Field(
        "android.armv8",
        description="What the demo is built for. android.armv8: Android; by gcc also all else that runs arm64, "
        "since it carries loader and libraries; linux.armv8: a board with glibc; linux.x86_64: a PC with adbd.",
    )
    toolchain: Literal["gcc", "clang"] = Field(
        "gcc",
        description="What builds the demo. gcc: Debian's compilers; clang: the Android NDK in the folder that the "
        "environment variable ANDROID_NDK_HOME names, for target android.armv8.",
    )
    aar: Text | None = Field(
        None, description="clang: the archive of LiteRT for Android, litert-<version>.aar. Required there."
    )
    pictures: int = Field(
        200,
        ge=1,
        le=bounds.PICTURES,
        description="Validation pictures that run on the device and are compared with the host.",
    )
    tolerance: float | None = Field(
        None,
        ge=0,
        le=bounds.DIFFERENCE,
        description="Largest difference of an output from the host's; in steps, where the output is an integer tensor. "
        "0: all that is computed in integers has equal bits, and a float softmax behind it is within 1e-6. null: 16 "
        "steps for a model that computes in uint8, whose kernels round differently on ARM and x86; 0 for any other.",
    )
    threads: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1, 2, 4],
        min_length=1,
        description="Numbers of threads of the run-time to time with. The pictures, the times of the operators and the "
        "latency gate have the first; what the device has no cores for is left out, and said.",
    )
    warmup: int = Field(1, ge=0, le=bounds.RUNS, description="Runs before timing starts.")
    repeats: int = Field(10, ge=1, le=bounds.RUNS, description="Timed runs.")
    count_instructions: bool = Field(
        True,
        description="emulator: whether the instructions of one inference are counted, which stand for times there. "
        "Takes seconds for a small MobileNet, minutes at 224 × 224 or for a ResNet50. false: null in report.json.",
    )
    max_latency_ms: float | None = Field(
        None,
        ge=bounds.LEAST_MS,
        le=bounds.LARGEST_MS,
        description="adb: longest median time of a picture, in ms, that the int8 model may take at the first number of "
        "threads; more ends the run, with everything kept. null: any. Emulated times say nothing, so not for type "
        "'emulator'.",
    )
    keep: bool = Field(
        False,
        description="Whether the run's folder stays on the device afterwards, to be tried by hand; the next run "
        "sends only what differs from it.",
    )


BUILD_KEYS = ("toolchain", "aar")
"""Keys of DeviceSection that say how the demo is built, and nothing of the device."""
LATENCY_KEYS = ("type", "name", "serial", "cpu", "target", "threads", "warmup", "repeats", "keep")
"""Keys of DeviceSection that the measured latency of an operator depends on."""


class HardwareSection(Section):
    """What TensorFlow computes on: GPUs where there are any, else the CPU."""

    gpus: int | None = Field(
        None,
        ge=0,
        le=64,
        description="GPUs of one machine that a training uses together, and asks a cluster for; where fewer are there "
        "it ends. null: those that are there, as CUDA_VISIBLE_DEVICES says, and a cluster is asked for none; 0: the "
        "CPU. A kept training goes on with any number.",
    )
    memory_limit: int | None = Field(
        None,
        ge=256,
        le=bounds.GPU_MIB,
        description="Most memory of each GPU that TensorFlow takes, in MiB. null: what it needs, when it needs it.",
    )


class EvaluateSection(Section):
    """Figures on the host."""

    threads: int = Field(1, ge=1, le=64, description="Threads of LiteRT when latency is measured.")
    repeats: int = Field(100, ge=1, le=bounds.RUNS, description="Timed runs of one picture.")


class AccuracySection(Section):
    """What int8 may cost."""

    max_drop: float | None = Field(
        1.0,
        ge=0,
        le=100,
        description="Largest loss of top-1 against float, in percentage points on the validation pictures, with which "
        "the model may go to the device, and with which method auto does without training. The gate closes where the "
        "loss is surely above it: where the lower end of its 95 % interval is. null: any.",
    )
    worse_than_ptq: Literal["refuse", "allow"] = Field(
        "refuse",
        description="Whether a trained model may go to the device that is surely worse than the one quantised after "
        "training: by the rule of max_drop, with the limit 0.",
    )
    undecided: Literal["pass", "refuse"] = Field(
        "pass",
        description="Whether the model may go to the device where the validation pictures are too few to decide: where "
        "the limit lies within the 95 % interval of the loss. pass: yes, and the gate says how many more pictures "
        "would decide, as a warning where the measured loss is above the limit. With method auto: pass ships "
        "quantisation after training, refuse trains.",
    )


class Config(Section):
    """The whole configuration of a run."""

    experiments: dict[str, Any] = Field(
        {},
        description="Several experiments instead of one: by name, what each has in place of the rest of this "
        "configuration. See config/README.md.",
    )
    only: Name | list[Name] | None = Field(None, description="Of several experiments, those that are run; null: all.")
    experiment: Name = Field(
        "mobilenet_v1_quant",
        description="Results are kept in results/<experiment>/; the optimised model in <experiment>_opt/ there.",
    )
    seed: int = Field(1, ge=0, lt=bounds.SEEDS, description="Seed of everything random.")
    method: Literal["ptq", "qat", "auto"] = Field(
        "qat",
        description="What makes the int8 model that goes to the device. qat: training for int8, as the compress "
        "section says; ptq: quantisation after training, by ai-edge-quantizer; auto: ptq, and training only where ptq "
        "surely loses more than accuracy.max_drop on the validation pictures.",
    )
    data: DataSection = Field(default_factory=DataSection)
    model: ModelSection = Field(default_factory=ModelSection)
    pretrained: PretrainedSection = Field(default_factory=PretrainedSection)
    compress: CompressSection = Field(default_factory=CompressSection)
    teacher: TeacherSection | None = Field(
        None,
        description="The network that a DistillationStrategy of the compress YAML follows: sections `model` and "
        "`pretrained`, as those of the configuration, on the same data. null: the float model itself.",
    )
    quantized_model: QuantizedModelSection = Field(default_factory=QuantizedModelSection)
    accuracy: AccuracySection = Field(default_factory=AccuracySection)
    device: DeviceSection = Field(default_factory=DeviceSection)
    devices: list[DeviceSection] = Field(
        [],
        description="Several devices instead of one, each with the keys of `device` and a name of its own; what one "
        "does not say is as `device` says, but for name and serial.",
    )
    hardware: HardwareSection = Field(default_factory=HardwareSection)
    evaluate: EvaluateSection = Field(default_factory=EvaluateSection)

    def float_models(self) -> "list[Config]":
        """Return the configurations of the float models that are made: this one, and that of the teacher."""
        if self.teacher is None:
            return [self]
        own = {"model": self.teacher.model, "pretrained": self.teacher.pretrained, "teacher": None}
        return [self, self.model_copy(update=own)]

    def seed_of(self, section: Literal["data", "pretrained"]) -> int:
        """Return the seed of a section: its own, or that of the configuration."""
        own: int | None = getattr(self, section).seed
        return self.seed if own is None else own
