"""Loading a configuration: overlays, and one message that lists every problem with file, line and key."""

import gzip
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from helpers.pictures import class_folders
from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.base.picture_size import PictureSize
from qatflow.config.load import load_config, written_by_workflow
from qatflow.config.sections.base import resolved
from qatflow.config.sections.config import Config

DEFAULT = Path("config/config.yaml")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the project's config/."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def problems(folder):
    """Return the lines of the message for an overlay; empty when it is accepted."""

    def problems(text: str, **overrides) -> list[str]:
        Path("my.yaml").write_text(text, encoding="utf-8")
        try:
            load_config([DEFAULT, Path("my.yaml")], overrides)
        except UserError as error:
            head, *lines = str(error).splitlines()
            count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
            assert head == f"the configuration has {count}:"
            return lines
        return []

    return problems


def test_the_embedded_default_is_the_model_s_defaults(folder):
    assert load_config([DEFAULT]) == Config.model_validate({})


def test_a_later_file_extends_mappings_and_replaces_the_rest(folder):
    Path("a.yaml").write_text("seed: 2\ndata: {shards: 8, preprocessing: {mean: [1], std: [2]}}\n")
    Path("b.yaml").write_text("data: {preprocessing: {mean: [1e-3]}}\nmodel:\n  alpha: 1\n")
    config = load_config([DEFAULT, Path("a.yaml"), Path("b.yaml")])
    assert config.seed == 2
    assert config.data.shards == 8
    assert config.data.name == "fashion_mnist"
    assert config.data.preprocessing.mean == [0.001]
    assert config.data.preprocessing.std == [2.0]
    assert config.model.alpha == 1.0
    swapped = load_config([DEFAULT, Path("b.yaml"), Path("a.yaml")])
    assert swapped.data.preprocessing.mean == [1.0]


def test_the_test_overlay_is_valid_and_small(folder):
    config = load_config([DEFAULT, Path("config/test.yaml")])
    assert (config.experiment, config.data.source, config.model.alpha) == ("digits_quant", "digits", 0.25)


def test_command_line_values_win_and_nested_text_is_typed(folder):
    # as Snakemake 9 passes `--config seed=3 "data={shards: 8, path: null}" "device={tolerance: 1e-3}"`
    overrides = {"seed": 3, "data": {"shards": "8", "path": "null"}, "device": {"tolerance": "1e-3"}}
    config = load_config([DEFAULT], overrides)
    assert (config.seed, config.data.shards, config.data.path, config.device.tolerance) == (3, 8, None, 0.001)
    assert config.data.name == "fashion_mnist"


def test_a_wrong_command_line_value_is_named_as_such(problems):
    assert problems("seed: 2\n", sead=3, data={"shards": "many"}) == [
        "--config: data.shards: must be a whole number from 1 to 1,024; got the text 'many'",
        "--config: sead: unknown key; allowed here: experiments, only, experiment, seed, method, data, model, "
        "pretrained, ptq, compress, teacher, quantized_model, accuracy, device, devices, hardware, evaluate, inspect, "
        "report, model_card; did you mean 'seed'?",
    ]


@pytest.mark.parametrize("text", ['"\\ud800": 1', 'data: {"\\ud800": 1}', 'experiments: {a: {"\\ud800": 1}}'])
def test_a_key_with_half_of_a_character_is_refused_by_line_wherever_it_stands(problems, text):
    (line,) = problems(f"seed: 1\n{text}\n")
    assert re.match(r"my\.yaml:2: .*\\ud800: a key cannot have '\\ud800', which is half of a character", line)
    half = "\\ud800: a key cannot have '\\ud800', which is half of a character; remove it"
    assert problems("seed: 1", **{"\ud800": 1}) == [f"--config: {half}"]
    assert problems("seed: 1", data={"shards": 1, "\ud800": 1}) == [f"--config: data.{half}"]
    assert problems("seed: 1", compress={"overrides": {"\ud800": 1}}) == [f"--config: compress.overrides.{half}"]
    Path("half.yaml").write_text(
        Path("config/compress/quantization.yaml").read_text() + text.replace("data", "pruners")
    )
    assert re.match(r"half\.yaml:\d+: .*a key cannot have '\\ud800'", problems("compress: {config: half.yaml}")[0])


def test_a_key_that_is_no_text_is_read_as_the_text_that_stands_there(problems):
    assert problems("1: 2\nnull: 1\ndata: {true: 1}\n'': 1\n")[0].startswith("my.yaml:1: 1: unknown key")
    lines = problems("1: 2\nnull: 1\ndata: {true: 1}\n'': 1\n", data={1: 2, None: 1})
    named = ["my.yaml:1: 1", "my.yaml:2: null", "my.yaml:3: data.true", "my.yaml:4: ''"]
    assert [line.partition(": unknown key")[0] for line in lines] == [*named, "--config: data.1", "--config: data.None"]
    with pytest.raises(UserError, match="--config: 1: unknown key"):
        load_config([DEFAULT], {1: 2})


def test_all_problems_of_all_kinds_come_at_once_in_the_order_of_lines(problems, folder):
    lines = problems(
        """\
sead: 1
seed: -1
data:
  source: foldr
  max_rejected: high
  preprocessing: {channels: 3, mean: [1, 2], std: [1, 2]}
alpha: 0.5
model: {alpha: 1e-1, dropout: 1}
pretrained: {source: file}
compress:
  freeze_batch_norm: yes
  config: no.yaml
device: {type: adb, pictures: 1.5}
evaluate:
"""
    )
    assert [line.split(": ")[:2] for line in lines] == [
        ["my.yaml:1", "sead"],
        ["my.yaml:2", "seed"],
        ["my.yaml:4", "data.source"],
        ["my.yaml:5", "data.max_rejected"],
        ["my.yaml:6", "data.preprocessing.mean"],
        ["my.yaml:6", "data.preprocessing.std"],
        ["my.yaml:7", "alpha"],
        ["my.yaml:8", "model.dropout"],
        ["my.yaml:9", "pretrained.path"],
        ["my.yaml:11", "compress.freeze_batch_norm"],
        ["my.yaml:13", "device.pictures"],
        ["my.yaml:13", "device.serial"],
        ["my.yaml:14", "evaluate"],
        ["my.yaml:12", "compress.config"],
    ]
    assert lines[0].endswith("did you mean 'seed'?")
    assert lines[2].endswith("tfds: and the name of a data set; got the text 'foldr'; did you mean 'folder'?")
    assert lines[6].endswith("did you mean 'model.alpha'?")
    assert lines[9].endswith("must be true or false; got the text 'yes'; did you mean 'true'?")


def test_problems_of_the_compress_yaml_are_in_the_same_list(problems):
    Path("config/compress/mine.yaml").write_text("compressor: {epoch: 0, strategies: [q]}\n")
    lines = problems("sead: 1\ncompress: {config: config/compress/mine.yaml}\n")
    assert [line.split(": ")[:2] for line in lines] == [
        ["my.yaml:1", "sead"],
        ["config/compress/mine.yaml:1", "compressor.epoch"],
    ]


def test_unreadable_files_and_what_the_others_say_wrong_are_all_listed(folder):
    Path("tab.yaml").write_text("seed:\t1\nsead: 1\n")
    Path("half.yaml").write_text("device: {type: adb, warmup: -1}\nmodel: [\n")
    Path("huge.yaml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(UserError) as error:
        load_config([DEFAULT, *map(Path, ("no.yaml", "tab.yaml", "half.yaml", "huge.yaml"))], {"seed": -1})
    # that device.serial is missing is not said: it may stand in a file that could not be read
    assert [line.split("; ")[0] for line in str(error.value).splitlines()[1:]] == [
        "no.yaml: cannot be read: No such file or directory",
        "huge.yaml: larger than 1,000,000 bytes",
        "tab.yaml:1: seed: a tab character",
        "tab.yaml:2: sead: unknown key",
        "half.yaml:1: device.warmup: must be a whole number from 0 to 100,000",
        "half.yaml:3: model: not valid YAML: expected the node content, but found '<stream end>'",
        "--config: seed: must be a whole number from 0, below 2,147,483,648",
    ]


def test_every_kind_of_mistake_in_one_file_comes_at_once_with_its_key(folder):
    Path("q.yaml").write_text(Path("config/compress/quantization.yaml").read_text().replace("epoch: 2", "epoch: 1"))
    Path("my.yaml").write_bytes(
        b"sead: 1\nseed:\t2\ndata:\n  source: foldr\n  validation: &v 10\n  test: *v\n  shards: 1\n  shards: 2000\n"
        b"  path: caf\xe9\nmodel:\n  alpha: !!float 2\n  dropout: 99999999999999999999\nevaluate: {threads: '1e-3'}\n"
        b"device: {type: adb}\ncompress: {config: q.yaml}\n"
    )
    with pytest.raises(UserError) as error:
        load_config([DEFAULT, Path("my.yaml")])
    assert [": ".join(line.split(": ")[:3])[:60] for line in str(error.value).splitlines()[1:]] == [
        "my.yaml:1: sead: unknown key; allowed here",
        "my.yaml:2: seed: a tab character; indent and separate with spaces"[:60],
        'my.yaml:4: data.source: must be "idx", "folder", "imagenet", "lists"'[:60],
        "my.yaml:5: data.validation: the anchor &v; write values out where"[:60],
        "my.yaml:6: data.test: the alias *v; write the value out",
        "my.yaml:8: data.shards: duplicate key; line 7 has it already",
        "my.yaml:8: data.shards: must be a whole number from 1 to 1,024"[:60],
        "my.yaml:9: data.path: the byte 0xe9 is not UTF-8; save the file"[:60],
        "my.yaml:11: model.alpha: the tag tag:yaml.org,2002:float; tags"[:60],
        "my.yaml:12: model.dropout: the number 999999999999999999… is too"[:60],
        "my.yaml:13: evaluate.threads: must be a whole number from 1 to 64"[:60],
        "my.yaml:14: device.serial: is missing",
        "q.yaml:10: strategies.quantization_strategy.end_epoch: epoch 3 is"[:60],
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "model: {architecture: MobileNetV2, keep_in_float: [block_3, nosuchlayer]}",
            "my.yaml:1: model.keep_in_float: no layer's name contains 'nosuchlayer'",
        ),
        (  # block_3 is in the names of some layers, and the name of none
            "model: {architecture: MobileNetV2, keep_in_float: [=block_3_expand, =block_3]}",
            "my.yaml:1: model.keep_in_float: no layer is named 'block_3'",
        ),
        ("data: {source: folder}", "my.yaml:1: data.path: is missing: source 'folder' needs"),
        ("data: {path: nowhere}", "my.yaml:1: data.path: the folder nowhere does not exist"),
        ("data:\n  source: folder\n  path: a.h5", "my.yaml:3: data.path: a.h5 is not a folder"),
        ('data: {source: folder, path: "a\\0b"}', "data.path: must be some text without { and }"),
        ('data: {source: folder, path: "\\ud800"}', "data.path: must be some text"),
        ("data: {path: ''}", "data.path: must be some text without { and } or null; got the text ''"),
        ("data: {source: folder, path: '{dataset}'}", "data.path: must be some text without { and }"),
        ("data: {source: folder, path: " + "x" * 300 + "}", "cannot be read: File name too long"),
        ("data: {source: unlabeled, path: " + "x" * 300 + "}", "cannot be read: File name too long"),
        ("data: {source: folder, path: loop}", "cannot be read: Too many levels of symbolic links"),
        ("data: {source: folder, path: pipe}", "data.path: pipe is not a folder"),
        ("data: {name: a, source: folder, path: data/a}", "data/a and data/a/, which the prepared pictures"),
        ("data: {name: a, source: folder, path: data/a/b}", "data.path: data/a/b and data/a/, which the prepared"),
        ("data: {name: a, source: folder, path: data}", "data.path: data and data/a/, which the prepared"),
        (
            "data: {name: a, source: folder, path: data/a/b.zip}",
            "data.path: data/a/b.zip and data/a/, which the prepared",
        ),
        ("data: {path: pictures.zip}", "data.path: pictures.zip is not a folder"),
        ("data: {path: data}", "data.path: data and data/fashion_mnist/, which the prepared"),
        ("data: {path: small, validation: 3}\ndevice: {pictures: 4}", "must be at most 3, the number of validation p"),
        ("data: {path: small, validation: 10}", "data.validation: takes all 10 training pictures"),
        ("data: {path: small, validation: 5}", "data.calibration: must be at most 5, the number of training pictures"),
        ("data: {path: small}", "data.preprocessing.size: must be at least [40, 30], the size of the pictures"),
        ("data: {path: data/a}", "data/a lacks train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-"),
        ("data: {validation: 60000}", "data.validation: takes all 60,000 training pictures"),
        ("device: {pictures: 5001}", "device.pictures: must be at most 5,000, the number of validation pictures"),
        ("data: {preprocessing: {channels: 3, mean: [1, 2]}}", "data.preprocessing.mean: must have one value for all"),
        (
            "data: {preprocessing: {std: [0]}}",
            "data.preprocessing.std[0]: must be a number from 1e-09 to 1,000,000,000; got 0",
        ),
        ("data: {preprocessing: {size: 7}}", "size: must be from 8 to 1,024 in height and width for pictures"),
        ("data: {preprocessing: {size: [96, 1025]}}", "size: must be from 8 to 1,024 in height and width for pictures"),
        ("data: {preprocessing: {size: [96]}}", "size: must be a whole number from 1 to 65,536 or a list of 2"),
        ("data: {preprocessing: {size: [40, 50, 3]}}", "; got a list of 3 numbers; give one number or [height, width]"),
        ("data: {preprocessing: {size: [96, 20]}}", "data.preprocessing.size: must be at least 28, the size of the"),
        ("data: {preprocessing: {size: [32, 31]}}", "data.preprocessing.size: must be at least 32 in height and width"),
        ("data: {preprocessing: {channels: true}}", "channels: must be a whole number from 1 to 1,000,000; got true"),
        ("data: {source: digits}", "data.validation: validation (5000) and test (360) take all 1797 digits"),
        ("data: {source: digits, validation: 1400}", "data.calibration: must be at most 37, the number of training"),
        ("data: {source: digits, validation: 9, test: 50}", "device.pictures: must be at most 9, the number"),
        ("data: {source: digits, validation: 9, path: x}", "data.path: source 'digits' comes with scikit-learn"),
        ("pretrained: {source: file}", "pretrained.path: is missing: source 'file' needs the file of the weights"),
        ("pretrained: {source: file, path: pipe}", "pretrained.path: pipe is not a file"),
        ("pretrained: {source: file, path: " + "x" * 300 + "}", "pretrained.path: the file xxxxx"),
        ("pretrained: {name: w, source: file, path: pretrain/w_pretrained/a.h5}", "which is replaced: move it"),
        ("pretrained: {source: file, path: b.h5}", "pretrained.path: the file b.h5 does not exist"),
        ("pretrained: {path: a.h5}", "pretrained.path: source 'train' takes no path"),
        ("pretrained: {source: file, path: a.h5, sha256: " + "0" * 64 + "}", "the sha256 of a.h5 is " + "H" * 64),
        ("pretrained: {sha256: " + "0" * 64 + "}", "pretrained.sha256: source 'train' makes the weights here"),
        ("pretrained: {sha256: xyz}", "pretrained.sha256: must be 64 hexadecimal digits"),
        ("pretrained: {source: keras-applications}", "data.preprocessing.channels: must be 3"),
        ("pretrained: {source: keras-applications}\nmodel: {alpha: 0.3}", "model.alpha: must be one of 0.25, 0.5"),
        ("pretrained: {source: keras-applications}", "data.preprocessing.size: must be one of 128, 160, 192, 224"),
        (
            "pretrained: {source: keras-applications}\nmodel: {alpha: 1}\ndata: {preprocessing: {size: 224}}",
            "pretrained.sha256: is missing: qatflow does not know the checksum of",
        ),
        ("model: {architecture: ResNet50, file: a.h5}", "model.file: architecture already names the network"),
        ("model: {file: a.h5, function: 'm:f'}", "model.function: file already names the network"),
        ("model: {file: a.h5, alpha: 0.5}", "model.alpha: your own model has no width multiplier"),
        ("model: {architecture: ResNet50, alpha: 0.5}", "model.alpha: ResNet50 has no width multiplier"),
        ("model: {alpha: 1.4}", "model.alpha: must be at most 1 for MobileNetV1"),
        ("model: {file: a.h5}", "pretrained.source: 'train' would make new weights for the network in a.h5"),
        ("model: {file: a.h5}", "model.file: a.h5 is neither an HDF5 file nor a .keras file"),
        ("model: {file: data}", "model.file: data is a folder without saved_model.pb"),
        ("model: {function: nowhere}", "model.function: must be a function as package.module:name or null"),
        ("model: {function: 'nowhere:f'}", "model.function: no module nowhere in "),
        ("model: {function: 'own:bild'}", "own.py has no function bild; it has build"),
        (
            "model: {function: 'own:build'}\npretrained: {source: keras-applications}",
            "function: is your own model",
        ),
        (
            "pretrained: {source: model}",
            "source: 'model' takes the weights of model.file or model.function",
        ),
        ("pretrained: {source: url}", "pretrained.url: is missing"),
        (
            "pretrained: {source: url, url: 'ftp://x/a.h5'}",
            "url: ftp://x/a.h5 is not an http or https address",
        ),
        ("pretrained: {source: url, url: 'http://x/a.pt'}", "pretrained.url: must end in .h5 or .keras, and ends in"),
        (
            "pretrained: {source: url, url: 'http://x/a.h5'}",
            "sha256: is missing: a download needs a known",
        ),
        ("pretrained: {mirror: 'http://x'}", "pretrained.mirror: source 'train' takes no mirror"),
        ("pretrained: {expected_top1: 70}", "pretrained.expected_top1: source 'train' makes the weights here"),
        (
            "pretrained: {source: file, path: data, sha256: " + "0" * 64 + "}",
            "data is a folder without saved_model",
        ),
        (
            "quantized_model: {file: a.h5, url: 'http://x/a.tflite'}",
            "quantized_model.url: quantized_model.file is set as well",
        ),
        (
            "quantized_model: {url: 'http://x/a.tflite'}",
            "quantized_model.sha256: is missing: a download needs a known",
        ),
        ("quantized_model: {url: 'http://x/a.h5'}", "quantized_model.url: must end in .tflite"),
        ("quantized_model: {file: b.tflite}", "quantized_model.file: the file b.tflite does not exist"),
        ("quantized_model: {file: data}", "quantized_model.file: the folder data lacks model, weights"),
        ("quantized_model: {file: a.h5, sha256: " + "0" * 64 + "}", "quantized_model.sha256: is 000"),
        (
            "pretrained: {train: {epochs: 1, warmup_epochs: 2}}",
            "epochs: must be at most pretrained.train.epochs (1)",
        ),
        ("device: {type: adb}", "device.serial: is missing: type 'adb' needs the serial number"),
        ("device: {serial: x}", "device.serial: is for type 'adb'"),
        (
            "device: {cpu: cortex-a75}",
            "device.cpu: the emulator does not know the CPU 'cortex-a75'; it can be: cortex-a35",
        ),
        ("device: {target: linux.x86_64}", "device.target: the emulator runs arm64 programs"),
        ("device: {target: linux}", 'device.target: must be "android.armv8", "linux.armv8" or "linux.x86_64"; got'),
        (
            "device: {type: adb, serial: x, target: linux.armv8, toolchain: clang, aar: litert-2.aar}",
            "device.toolchain: 'clang' is the compiler of the Android NDK, which builds only for target 'androi",
        ),
        (
            "device: {toolchain: clang, aar: litert-2.aar}",
            "device.toolchain: programs of 'clang' need Android's own libraries, which the emulator does not have",
        ),
        ("device: {type: adb, serial: x, toolchain: clang}", "device.aar: is missing: toolchain 'clang' needs LiteRT"),
        (
            "device: {type: adb, serial: x, toolchain: clang, aar: nowhere.aar}",
            "device.aar: the file nowhere.aar does not exist",
        ),
        (
            "device: {type: adb, serial: x, toolchain: clang, aar: my.yaml}",
            "device.aar: my.yaml is not a .aar file, the archive",
        ),
        ("device: {aar: litert-2.aar}", "device.aar: is for toolchain 'clang': remove it, or set device.toolchain to"),
        ("device: {max_latency_ms: 5}", "device.max_latency_ms: is for types 'adb' and 'ssh': emulated times say"),
        (
            "device: {rules: mlperf_mobile}",
            "device.rules: 'mlperf_mobile' is for types 'adb' and 'ssh': emulated times",
        ),
        ("device: {target: linux.armv7}", "32-bit ARM (armv7, armeabi-v7a) is not among them: the package ai-edge"),
        ("device: {max_memory_bytes: 5}", "device.max_memory_bytes: is for types 'adb' and 'ssh': the memory of an"),
        (
            "device: {type: ssh, host: pi, max_instructions: 5}",
            "device.max_instructions: is for type 'emulator': no program can count its instructions over ssh",
        ),
        (
            "device: {max_instructions: 5, count_instructions: false}",
            "device.max_instructions: counts instructions: remove it, or set device.count_instructions to true",
        ),
        ("device: {type: ssh}", "device.host: is missing: type 'ssh' needs what you type after `ssh`"),
        ("device: {type: ssh, host: '-oProxyCommand=x'}", "device.host: "),
        ("device: {type: adb, serial: x, port: 22}", "device.port: is for type 'ssh': remove it, or set device.type"),
        ("device: {type: ssh, host: pi, identity: /none/key}", "device.identity: the file /none/key does not exist"),
        ("device: {type: ssh, host: pi, identity: ~nobody-here/key}", "the file ~nobody-here/key does not exist"),
        ("device: {type: ssh, host: pi, toolchain: clang}", "which a board with ssh does not have"),
        (
            "device: {max_latency_ms: 0}",
            "device.max_latency_ms: must be a number from 0.001 to 3,600,000 or null; got 0",
        ),
        ("device: {threads: 2}", "device.threads: must be a list of at least one, each item a whole number"),
        (
            "device: {threads: [8, 1]}",
            "device.threads: begins with 8, and the emulator has 4 cores: begin with at most 4",
        ),
        ("device: {threads: []}", "device.threads: must be a list of at least one"),
        ("device: {threads: [1, 65]}", "device.threads[1]: must be a whole number from 1 to 64; got 65"),
        ("device: {threads: [1, 2, 2, 1]}", "device.threads: has 1, 2 more than once"),
        ("method: auto\naccuracy: {max_drop: null}", "accuracy.max_drop: must be a number with method 'auto'"),
        (
            "device: {type: adb, serial: 123}",
            "device.serial: must be some text without { and } or null; got 123; in a",
        ),
        ("experiment: " + "x" * 101, "experiment: must be a name of letters"),
        ("experiment: ../x", "experiment: must be a name of letters, digits, - and _; got the text '../x'"),
        ('experiment: "x\\n"', "experiment: must be a name of letters"),
        ("model: [1]", "my.yaml:1: model: must be a mapping with keys from architecture, file, function, alpha"),
        ("compress: {learning_rate: .inf}", "must be a number from 1e-08 to 100 or null; got the text '.inf'"),
        ("seed: '1'", "seed: must be a whole number from 0, below 2,147,483,648; got the text '1'"),
    ],
)
def test_what_the_types_cannot_say_is_refused_with_its_reason(problems, text, expected):
    Path("a.h5").write_bytes(b"weights")
    Path("own.py").write_text("def build(input_shape, classes): ...\n")
    Path("data/a/b").mkdir(parents=True)
    Path("pretrain/w_pretrained").mkdir(parents=True)
    Path("pretrain/w_pretrained/a.h5").write_bytes(b"weights")
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    idx_files(Path("small"))
    for archive in ("pictures.zip", "data/a/b.zip"):
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("cats/1.png", "")
    lines = problems(text)
    expected = expected.replace("H" * 64, hashlib.sha256(b"weights").hexdigest())
    assert any(expected in line for line in lines), lines
    assert all(line.startswith("my.yaml:") for line in lines)


def idx_files(folder: Path) -> None:
    """Write ten training and three test pictures of 40×30 as idx files: of each header as much as there is."""
    folder.mkdir()
    for prefix, count in (("train", 10), ("t10k", 3)):
        with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">IIII", 0x0803, count, 40, 30) + bytes(count * 1200))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x0801, count) + bytes(count))


@pytest.mark.parametrize(
    "text",
    [
        "data: {source: folder, path: pictures, validation: 2, test: 1, calibration: 1}",
        "data: {source: folder, path: pictures.zip}",
        "data: {path: small, validation: 5, calibration: 5, preprocessing: {size: 40}}\ndevice: {pictures: 3}",
        "data: {path: small, validation: 5, calibration: 5, preprocessing: {resize: stretch}}\ndevice: {pictures: 3}",
        "pretrained: {source: file, path: a.h5, sha256: " + hashlib.sha256(b"weights").hexdigest() + "}",
        "pretrained: {source: keras-applications}\nmodel: {alpha: 0.75}\n"
        "data: {preprocessing: {size: 224, channels: 3, mean: [1, 2, 3], std: [1, 1, 1]}}",
        "method: ptq\naccuracy: {max_drop: null}",
        "device: {type: adb, serial: '0123'}",
        "device: {target: linux.armv8}",
        "device: {type: adb, serial: x, cpu: none of its own}",
        "device: {type: adb, serial: x, target: linux.x86_64}",
        "device: {type: adb, serial: x, toolchain: clang, aar: litert-2.aar}",
        "device: {type: adb, serial: x, max_latency_ms: 4.5, threads: [8]}",
        "device: {threads: [4, 8]}",
    ],
)
def test_what_exists_and_fits_together_is_accepted(problems, text):
    Path("a.h5").write_bytes(b"weights")
    Path("litert-2.aar").write_bytes(b"looked into where it is needed")
    class_folders(Path("pictures"), per_class=2)
    with zipfile.ZipFile("pictures.zip", "w") as archive:
        archive.writestr("cats/1.png", "")
    idx_files(Path("small"))
    assert problems(text) == []


def test_the_headers_say_what_the_source_reads(folder):
    from qatflow.config.checks.data import idx_counts
    from qatflow.data.sources.idx import IdxSource

    idx_files(Path("small"))
    splits = [picture.split for picture in IdxSource(Path("small")).pictures]
    counts = idx_counts(Path("small"))
    assert counts is not None
    assert (counts.train, counts.test, counts.size) == (
        splits.count("train"),
        splits.count("test"),
        PictureSize(40, 30),
    )
    Path("small/t10k-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b")
    assert idx_counts(Path("small")) is None


AS_NOBODY = """
import os
from pathlib import Path
from qatflow.config.load import load_config
from qatflow.base.errors import UserError
files = [Path("config/config.yaml"), Path("my.yaml"), Path("locked.yaml")]
load_config(files[:1])
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for end in (2, 3):
    try:
        load_config(files[:end])
    except UserError as error:
        print(error)
"""


def test_what_one_has_no_right_to_read_is_named(folder):
    folder.chmod(0o755)
    for name in ("locked.yaml", "weights.h5", "q.yaml"):
        Path(name).write_text("seed: 1\n")
        Path(name).chmod(0)
    Path("pictures").mkdir(mode=0)
    Path("my.yaml").write_text(
        "data: {source: folder, path: pictures}\npretrained: {source: file, path: weights.h5}\n"
        "compress: {config: q.yaml}\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    answer = subprocess.run([sys.executable, "-c", AS_NOBODY], env=environment, capture_output=True, text=True)
    one, other = answer.stdout.split("the configuration has ")[1:]
    assert one.splitlines()[1:] == [
        "my.yaml:1: data.path: the folder pictures cannot be read: Permission denied (with data.source)",
        "my.yaml:2: pretrained.path: the file weights.h5 cannot be read: Permission denied (with pretrained.source)",
        "my.yaml:3: compress.config: the file q.yaml cannot be read: Permission denied",
    ], answer.stderr
    assert "locked.yaml: cannot be read: Permission denied" in other.splitlines()


def test_a_wrong_key_does_not_make_others_look_wrong(problems):
    # the path would be needed if `source` were a source, and would be too much if it were another
    assert len(problems("data: {source: foldr, path: nowhere}")) == 1


@pytest.mark.parametrize("name", ["mobilenet_v1_quant_opt", "trained/x", "device", "config.yaml", "compress.yaml"])
def test_save_paths_may_not_take_the_workflow_s_own_folders(problems, name):
    Path("mine.yaml").write_text(
        Path("config/compress/quantization.yaml").read_text().replace("./output/int8", f"./{name}")
    )
    (line,) = problems("compress: {config: mine.yaml}")
    assert f"int8_model_save_path: './{name}' is a folder that the workflow itself writes" in line


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no.yaml", "the file no.yaml does not exist (paths are relative to the folder in which Snakemake is started)"),
        ("/no.yaml", "the file /no.yaml does not exist"),
        ("config", "config is not a file (paths are relative to the folder in which Snakemake is started)"),
        ("pipe", "pipe is not a file (paths are relative to the folder in which Snakemake is started)"),
        ("/dev/zero", "/dev/zero is not a file"),
        ("huge.yaml", "huge.yaml: larger than 1,000,000 bytes; this is not a configuration file"),
        ("x" * 300, f"the file {'x' * 300} cannot be read: File name too long"),
    ],
)
def test_a_compress_yaml_that_cannot_be_read_is_named_with_the_key_that_names_it(problems, name, reason):
    os.mkfifo("pipe")
    with Path("huge.yaml").open("wb") as file:
        file.truncate(10**8)
    assert problems(f"seed: 1\ncompress:\n  config: {name}\n") == [f"my.yaml:3: compress.config: {reason}"]


@pytest.mark.parametrize(
    ("settings", "eval_epoch", "fits"),
    [
        ("end_epoch: 3", 0, False),
        ("end_epoch: 3", 1, True),
        ("end_epoch: 1", 3, False),  # of epochs 0 and 1 none is evaluated: the third and the last are
        ("end_epoch: 2", 3, True),
        ("start_epoch: 3, end_epoch: 3", 3, True),  # the last is evaluated in any case
        ("start_epoch: 1, end_epoch: 2", 4, False),
    ],
)
def test_the_best_epoch_can_only_be_had_where_one_is_evaluated(problems, settings, eval_epoch, fits):
    Path("mine.yaml").write_text(
        "include: [config/compress/quantization.yaml]\nstrategies:\n  quantization_strategy: {" + settings + "}\n"
        f"compressor: {{epoch: 4, eval_epoch: {eval_epoch}}}\n"
    )
    assert problems("compress: {config: mine.yaml}") == []
    told = [line.split(" an ")[0] for line in problems("compress: {config: mine.yaml, export: best}")]
    assert told == ([] if fits else ["my.yaml:1: compress.export: 'best' needs"])


@pytest.mark.parametrize(
    ("ptq", "bits", "message"),
    [
        ("{rounding: adaround}", "weight_bits: 8", "ptq.rounding: has no effect with ptq.tool 'ai_edge_quantizer'"),
        ("{tool: qatflow, rounding_steps: 9}", "weight_bits: 4", "ptq.rounding_steps: has no effect with rounding"),
        (
            "{tool: qatflow}",
            "mobile_model_save_path: null, int8_model_save_path: null, activation_bits: 4",
            "activation_bits must be another: activations have 8 bits after training",
        ),
        (
            "{tool: qatflow}",
            "mobile_model_save_path: null, int8_model_save_path: null, weight_bits: 9",
            "weight_bits must be another: the device's kernels read int8 weights",
        ),
        (
            "{tool: qatflow}",
            "mobile_model_save_path: null, int8_model_save_path: null, activation_quantize_type: abs_max",
            "activation_quantize_type must be another",
        ),
        ("{tool: qatflow}", "weight_bits: {default: 3, conv1: 5}", None),
    ],
)
def test_our_own_graph_takes_the_widths_and_types_that_need_no_training(problems, ptq, bits, message):
    strategy = f"compress: {{overrides: {{{bits}}}}}"
    text = f"method: ptq\nptq: {ptq}\n{strategy}\n"
    found = problems(text)
    assert not found if message is None else any(message in line for line in found)


@pytest.mark.parametrize(
    ("bits", "asks"),
    [
        ("weight_bits: 4", "weight_bits in config/compress/quantization.yaml asks for 4"),
        ("weight_bits: {default: 8, conv1: 4}", "weight_bits in config/compress/quantization.yaml asks for 4, 8"),
        ("weight_bits: {conv1: 8}", None),
        ("mobile_model_save_path: null, activation_bits: 4", "activation_bits in config/compress/quantization.yaml"),
        ("activation_bits: {conv1: 16}", "activation_bits in config/compress/quantization.yaml asks for 8, 16"),
    ],
)
def test_quantisation_after_training_has_8_bits_alone(problems, bits, asks):
    text = f"compress: {{overrides: {{{bits}}}}}\n"
    assert problems(text) == []
    for method in ("ptq", "auto"):
        lines = problems(f"method: {method}\n{text}")
        assert len(lines) == (asks is not None)
        assert all(f"method: must be 'qat': '{method}' quantises" in line and asks in line for line in lines)


def test_a_limited_latency_is_not_that_of_kernels_stored_as_int4(problems):
    text = "compress: {overrides: {auto_bits: {max_latency: 1e9, widths: [4, 2], float_layers: true}}}\n"
    assert problems(text) == []
    (line,) = problems(text.replace("{auto", "{int4_storage: true, auto"))
    assert "compress.config: max_latency of auto_bits in " in line and "int4_storage stores some as INT4" in line


def test_a_model_that_came_quantised_is_not_stored_as_int4(problems):
    text = "compress: {overrides: {weight_bits: 4, int4_storage: true}}\n"
    assert problems(text) == []
    lines = problems("quantized_model: {file: a.tflite}\n" + text)
    assert any("quantized_model: goes to the device as it came, and int4_storage in " in line for line in lines)
    assert (
        problems("method: ptq\nptq: {tool: qatflow}\n" + text.replace("{w", "{weight_quantize_type: abs_max, w")) == []
    )


def test_hard_swishes_have_no_activations_of_16_bits(problems):
    """Known before any job where all layers have them; where a pattern names some, before training."""
    network = "model: {architecture: MobileNetV3Small}\n"
    text = "compress: {overrides: {activation_bits: 16}}\n"
    assert problems(text) == []
    (line,) = problems(network + text)
    assert "model.architecture: has hard-swishes, which have no int16 kernel" in line and "asks for 16 bits" in line
    assert problems(network + "compress: {overrides: {activation_bits: {conv: 16}}}\n") == []
    assert problems("model: {architecture: MobileNetV3Small, keep_in_float: [expanded]}\n" + text) == []


def test_a_message_is_one_line_whatever_characters_a_value_has(problems):
    lines = problems('"a\\nb": 1\n"\\e[31m": 1\nmodel: {architecture: "x\\ny\\u2028z"}\n? ' + "k" * 5000 + "\n: 1\n")
    assert [line.split(": ")[1] for line in lines[:3]] == [r"a\nb", r"\x1b[31m", "model.architecture"]
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= 1001


def test_all_names_that_rules_write_in_the_experiment_s_folder_are_known():
    files = [*(ROOT / "workflow/rules").glob("*.smk"), *(ROOT / "src/qatflow/workflow").glob("*.py")]
    rules = "".join(path.read_text(encoding="utf-8") for path in files)
    written = {
        name.format(experiment="x", kind="opt") for name in re.findall(r'results/\{experiment\}/([^/"]+)', rules)
    }
    assert "x_opt" in written
    assert written <= set(written_by_workflow("x"))


def test_the_message_stays_readable_when_everything_is_wrong(folder):
    Path("my.yaml").write_text("".join(f"wrong{i}: {i}\n" for i in range(1500)))
    with pytest.raises(UserError) as error:
        load_config([Path("my.yaml")])
    lines = str(error.value).splitlines()
    assert lines[0] == "the configuration has 1500 problems:"
    assert len(lines) == 52
    assert lines[-1] == "… and 1450 more"


def test_the_resolved_form_is_plain_json_and_loads_to_the_same(folder):
    config = load_config([DEFAULT, Path("config/test.yaml")])
    text = json.dumps(resolved(config))
    Path("resolved.yaml").write_text(yaml.safe_dump(json.loads(text)))
    assert load_config([Path("resolved.yaml")]) == config


@pytest.mark.parametrize("name", ["EfficientNetB3", "VGG16", "my_net"])
def test_another_architecture_is_pointed_to_the_ways_of_giving_one(folder, name):
    Path("my.yaml").write_text(f"model: {{architecture: {name}}}\n")
    with pytest.raises(UserError, match=rf"'{name}'; for any other network set model\.file .* or model\.function"):
        load_config([DEFAULT, Path("my.yaml")])
