"""Several devices in one configuration: what each has from `device`, and how a mistake in one is told."""

import shutil
from pathlib import Path

import pytest

from helpers.workflow_helpers import ROOT
from qatflow.base.errors import UserError
from qatflow.config.load import load_config, load_experiments
from qatflow.config.sections.base import resolved
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.devices import devices
from qatflow.config.written import as_written, compress_yaml, config_yaml

FILES = [Path("config/config.yaml"), Path("config/test.yaml"), Path("my.yaml")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)


def load(text: str, **overrides) -> list[DeviceSection]:
    Path("my.yaml").write_text(text, encoding="utf-8")
    return [device.section for device in devices(load_config(FILES, overrides))]


def problems(text: str, **overrides) -> list[str]:
    with pytest.raises(UserError) as error:
        load(text, **overrides)
    return str(error.value).splitlines()[1:]


TWO = """\
device: {pictures: 7, cpu: cortex-a53}
devices:
  - name: little
  - {name: big, cpu: cortex-a76, threads: [2]}
  - {name: phone, type: adb, serial: "1", max_latency_ms: 5}
"""


def test_one_has_what_it_says_and_of_the_rest_what_device_says():
    little, big, phone = load(TWO)
    assert little == DeviceSection(name="little", pictures=7, cpu="cortex-a53")
    assert big == DeviceSection(name="big", pictures=7, cpu="cortex-a76", threads=[2])
    assert phone == DeviceSection(name="phone", pictures=7, cpu="cortex-a53", type="adb", serial="1", max_latency_ms=5)


def test_without_a_list_it_is_the_one_of_device():
    assert load("device: {name: a}\n") == load("device: {name: a}\ndevices: []\n")
    assert load("device: {name: a}\n") == [DeviceSection(name="a", pictures=20)]  # those of test.yaml


def test_they_may_be_given_on_the_command_line():
    # Snakemake leaves numbers within nested values as text
    assert load("seed: 1\n", devices=[{"name": "a", "pictures": "3"}]) == [DeviceSection(name="a", pictures=3)]


def test_an_experiment_has_devices_of_its_own():
    Path("my.yaml").write_text(
        TWO + "experiments:\n  all_three:\n  one: {devices: [{name: other}]}\n  none: {devices: [], device.name: x}\n"
        "  matrix: {matrix: {device.repeats: [1, 2]}}\n"
    )
    found = {
        name: [(device.section.name, device.section.repeats) for device in devices(experiment.config)]
        for name, experiment in load_experiments(FILES).items()
    }
    assert found == {
        "all_three": [("little", 10), ("big", 10), ("phone", 10)],
        "one": [("other", 10)],
        "none": [("x", 10)],
        "matrix_repeats1": [("little", 1), ("big", 1), ("phone", 1)],
        "matrix_repeats2": [("little", 2), ("big", 2), ("phone", 2)],
    }


def test_what_is_written_beside_the_results_has_them_whole():
    before = load(TWO)
    (experiment,) = load_experiments(FILES).values()
    text = config_yaml(as_written(experiment.config))
    Path("results/digits_quant").mkdir(parents=True)
    Path("results/digits_quant/compress.yaml").write_text(compress_yaml(resolved(experiment.compress)))
    Path("my.yaml").write_text(text)
    again = load_config([Path("config/config.yaml"), Path("my.yaml")])
    assert [device.section for device in devices(again)] == before
    assert config_yaml(as_written(again)) == text


def test_all_that_is_wrong_is_told_with_its_line():
    assert problems(
        """\
device:
  threads: [1, 1]
  max_latency_ms: 5
devices:
  - {name: one, cpuu: x, cpu: cortex-a5}
  - name: two
    type: adb
  - pictures: 9999
    max_latency_ms: null
  - {name: One, pictures: many, target: linux.x86_64}
  - {name: one, serial: x, toolchain: clang, aar: none.aar}
"""
    ) == [
        "my.yaml:2: device.threads: has 1 more than once",
        *(
            "my.yaml:3: device.max_latency_ms: is for types 'adb' and 'ssh': emulated times say nothing about a real "
            f"device. Remove it, or set devices[{index}].type to one of them"
            for index in (0, 3, 4)
        ),
        *UNKNOWN_CPU,
        "my.yaml:7: devices[1].serial: is missing: type 'adb' needs the serial number that `adb devices` prints (with "
        "devices[1].type)",
        "my.yaml:8: devices[2].name: is missing: each device of a list needs a name of its own, for its results' "
        "folder",
        "my.yaml:8: devices[2].pictures: must be at most 180, the number of validation pictures (with data.validation, "
        "data.source)",
        "my.yaml:10: devices[3].name: 'One' is also the name of devices[0], but for upper and lower case: each device "
        "needs its own",
        "my.yaml:10: devices[3].pictures: must be a whole number from 1 to 100,000,000; got the text 'many'",
        "my.yaml:10: devices[3].target: the emulator runs arm64 programs: choose another target, or set "
        "devices[3].type to 'adb' or 'ssh'",
        "my.yaml:11: devices[4].aar: the file none.aar does not exist (paths are relative to the folder in which "
        "Snakemake is started)",
        "my.yaml:11: devices[4].name: 'one' is also the name of devices[0]: each device needs its own",
        "my.yaml:11: devices[4].serial: is for type 'adb': remove it, or set devices[4].type to 'adb'",
        "my.yaml:11: devices[4].toolchain: programs of 'clang' need Android's own libraries, which the emulator does "
        "not have: set it to 'gcc', or devices[4].type to 'adb'",
    ]


UNKNOWN_CPU = [
    "my.yaml:5: devices[0].cpu: the emulator does not know the CPU 'cortex-a5'; it can be: cortex-a35, cortex-a53, "
    "cortex-a57, cortex-a72, cortex-a76, neoverse-n1 (with devices[0].type)",
    "my.yaml:5: devices[0].cpuu: unknown key; allowed here: "
    + ", ".join(DeviceSection.model_fields)
    + "; did you mean 'cpu'?",
]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("devices: {name: a}\n", "my.yaml:1: devices: must be a list, each item a mapping with keys from type, name"),
        ("devices: [3]\n", "my.yaml:1: devices[0]: must be a mapping with keys from type, name"),
        (
            "experiments: {a: {devices.0.cpu: x}}\n",
            "my.yaml:1: devices: must be a list, each item a mapping with keys from type, name",
        ),
        (
            "experiments: {a: {matrix: {devices: [[], []]}}}\n",
            "my.yaml:1: experiments.a.matrix.devices: a list cannot be part of a name",
        ),
    ],
)
def test_what_is_no_list_of_devices_is_told_so(text, told):
    (found,) = problems(text)
    assert found.startswith(told)


@pytest.mark.parametrize("own", ["name: my_phone", "serial: x, type: adb"])
def test_a_device_beside_the_list_is_not_forgotten_in_silence(own):
    (found,) = problems(f"devices:\n  - {{name: a, type: emulator}}\ndevice: {{{own}}}\n")
    assert found == (
        f"my.yaml:3: device.{own.split(':')[0]}: is for a single device, and `devices` replaces it: list the device "
        "there, or set devices to []"
    )


def test_one_demo_is_linked_with_one_library():
    for name in ("one.aar", "two.aar"):
        Path(name).touch()
    text = """\
device: {type: adb, toolchain: clang, aar: one.aar}
devices:
  - {name: a, serial: x}
  - {name: b, serial: y}
"""
    assert [device.aar for device in load(text)] == ["one.aar", "one.aar"]
    assert problems(text + "  - {name: c, serial: z, aar: two.aar}\n") == [
        "my.yaml:5: devices[2].toolchain: 'build.lite.android.armv8.clang' is also that of another of its devices, "
        "with another device.aar: give one of the two another name, or both the same settings (with devices[2].aar)"
    ]
