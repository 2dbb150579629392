"""Loading a configuration: overlays, and one message that lists every problem with file, line and key."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from qatflow.config.load import load_config, resolved, written_by_workflow
from qatflow.config.model import Config
from qatflow.errors import UserError

ROOT = Path(__file__).parent.parent
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
        "--config: sead: unknown key; allowed here: experiment, seed, method, data, model, pretrained, compress, "
        "accuracy, device, evaluate; did you mean 'seed'?",
    ]


def test_all_problems_of_all_kinds_come_at_once_in_the_order_of_lines(problems, folder):
    lines = problems(
        """\
sead: 1
seed: -1
data:
  source: foldr
  max_rejected: high
  preprocessing: {channels: 3}
alpha: 0.5
model: {alpha: 1e-3, dropout: 1}
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
    assert lines[2].endswith('must be "idx", "folder" or "digits"; got the text \'foldr\'; did you mean \'folder\'?')
    assert lines[6].endswith("did you mean 'model.alpha'?")
    assert lines[9].endswith("must be true or false; got the text 'yes'; did you mean 'true'?")


def test_problems_of_the_compress_yaml_are_in_the_same_list(problems):
    Path("config/compress/mine.yaml").write_text("compressor: {epoch: 0, strategies: [q]}\n")
    lines = problems("sead: 1\ncompress: {config: config/compress/mine.yaml}\n")
    assert [line.split(": ")[:2] for line in lines] == [
        ["my.yaml:1", "sead"],
        ["config/compress/mine.yaml:1", "compressor.epoch"],
    ]


def test_unreadable_files_are_all_listed(folder):
    Path("tab.yaml").write_text("seed:\t1\n")
    with pytest.raises(UserError) as error:
        load_config([DEFAULT, Path("no.yaml"), Path("tab.yaml")])
    assert str(error.value).splitlines()[1:] == [
        "no.yaml: cannot be read: No such file or directory",
        "tab.yaml:1: not valid YAML: a tab character; indent and separate with spaces",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: {source: folder}", "my.yaml:1: data.path: is missing: source 'folder' needs"),
        ("data: {path: nowhere}", "my.yaml:1: data.path: the folder nowhere does not exist"),
        ("data:\n  source: folder\n  path: a.h5", "my.yaml:3: data.path: the folder a.h5 does not exist"),
        ("data: {preprocessing: {channels: 3}}", "data.preprocessing.mean: must have one value a channel"),
        ("data: {preprocessing: {std: [0]}}", "data.preprocessing.std: divides the pixels: each value must be above 0"),
        ("data: {preprocessing: {size: 31}}", "size: must be a whole number from 32 to 512; got 31"),
        ("data: {preprocessing: {channels: true}}", "channels: must be 1 or 3; got true"),
        ("data: {source: digits}", "data.validation: validation (5000) and test (360) take all of the 1797 digits"),
        ("data: {source: digits, validation: 1400}", "data.calibration: must be at most the 37 training pictures"),
        ("data: {source: digits, validation: 9, test: 50}", "device.pictures: must be at most data.test (50)"),
        ("data: {source: digits, validation: 9, path: x}", "data.path: source 'digits' is bundled with scikit-learn"),
        ("pretrained: {source: file}", "pretrained.path: is missing: source 'file' needs the .h5 file"),
        ("pretrained: {source: file, path: b.h5}", "pretrained.path: the file b.h5 does not exist"),
        ("pretrained: {path: a.h5}", "pretrained.path: source 'train' takes no path"),
        ("pretrained: {source: file, path: a.h5, sha256: " + "0" * 64 + "}", "the sha256 of a.h5 is " + "H" * 64),
        ("pretrained: {sha256: " + "0" * 64 + "}", "pretrained.sha256: source 'train' makes the weights here"),
        ("pretrained: {sha256: xyz}", "pretrained.sha256: must be 64 hexadecimal digits"),
        ("pretrained: {source: keras-applications}", "data.preprocessing.channels: must be 3"),
        ("pretrained: {source: keras-applications}\nmodel: {alpha: 0.3}", "model.alpha: must be one of 0.25, 0.5"),
        (
            "pretrained: {train: {epochs: 1, warmup_epochs: 2}}",
            "epochs: must be at most pretrained.train.epochs (1)",
        ),
        ("device: {type: adb}", "device.serial: is missing: type 'adb' needs the serial number"),
        ("device: {serial: x}", "device.serial: is for type 'adb'"),
        ("experiment: ../x", "experiment: must be a name of letters, digits, - and _; got the text '../x'"),
        ('experiment: "x\\n"', "experiment: must be a name of letters"),
        ("model: [1]", "my.yaml:1: model: must be a mapping with keys from architecture, alpha"),
        ("compress: {learning_rate: .inf}", "must be a number above 0 or null; got the text '.inf'"),
        ("seed: '1'", "seed: must be a whole number from 0, below 2,147,483,648; got the text '1'"),
    ],
)
def test_what_the_types_cannot_say_is_refused_with_its_reason(problems, text, expected):
    Path("a.h5").write_bytes(b"weights")
    lines = problems(text)
    expected = expected.replace("H" * 64, hashlib.sha256(b"weights").hexdigest())
    assert any(expected in line for line in lines), lines
    assert all(line.startswith("my.yaml:") for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "data: {source: folder, path: pictures}",
        "data: {path: pictures}",
        "pretrained: {source: file, path: a.h5, sha256: " + hashlib.sha256(b"weights").hexdigest() + "}",
        "pretrained: {source: keras-applications}\n"
        "data: {preprocessing: {channels: 3, mean: [1, 2, 3], std: [1, 1, 1]}}",
        "device: {type: adb, serial: '0123'}",
    ],
)
def test_what_exists_and_fits_together_is_accepted(problems, text):
    Path("a.h5").write_bytes(b"weights")
    Path("pictures").mkdir()
    assert problems(text) == []


def test_a_wrong_key_does_not_make_others_look_wrong(problems):
    # the path would be needed if `source` were a source, and would be too much if it were another
    assert len(problems("data: {source: foldr, path: nowhere}")) == 1


def test_save_paths_may_not_take_the_workflow_s_own_folders(problems):
    Path("mine.yaml").write_text(
        Path("config/compress/quantization.yaml").read_text().replace("./output/int8", "./mobilenet_v1_quant_opt")
    )
    lines = problems("compress: {config: mine.yaml}")
    assert len(lines) == 1
    assert "int8_model_save_path: './mobilenet_v1_quant_opt' is a folder that the workflow itself writes" in lines[0]


def test_all_names_that_rules_write_in_the_experiment_s_folder_are_known():
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    written = {name.format(experiment="x") for name in re.findall(r'results/\{experiment\}/([^/"]+)', rules)}
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
