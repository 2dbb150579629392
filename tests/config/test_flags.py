"""Sections of the configuration as command-line flags, and back."""

import argparse
import shlex

import pytest

from qatflow.config.sections.accuracy import AccuracySection
from qatflow.config.sections.base import Section
from qatflow.config.sections.compress import CompressSection
from qatflow.config.sections.device import DeviceSection
from qatflow.config.sections.flags import add_flags, flags, read_flags
from qatflow.config.sections.model import ModelSection
from qatflow.config.sections.pretrained import FloatTrainingSection


@pytest.mark.parametrize(
    "section",
    [
        ModelSection(),
        ModelSection(alpha=0.25, dropout=0.0),
        CompressSection(overrides={"epoch": 3, "weight_quantize_type": "abs_max"}),
        ModelSection(function="own.net:build", keep_in_float=["a layer", "elu"]),
        FloatTrainingSection(epochs=3, augmentation="shift", weight_decay=1e-5),
        CompressSection(freeze_batch_norm=True, config="a folder/with space.yaml"),
        DeviceSection(type="adb", serial="emulator-5556; rm"),
        DeviceSection(type="adb", serial="-s", cpu="--cpu=-x"),
        DeviceSection(),
        DeviceSection(threads=[4]),
        DeviceSection(threads=[2, 1], type="adb", max_latency_ms=1.5),
        AccuracySection(max_drop=None),
        AccuracySection(max_drop=0.25),
    ],
)
def test_flags_bring_the_section_back(section: Section):
    parser = argparse.ArgumentParser()
    add_flags(parser, type(section))
    assert read_flags(parser.parse_args(shlex.split(flags(section))), type(section)) == section


def test_left_out_and_empty_values_give_no_flag():
    assert "--serial" not in flags(DeviceSection())
    assert "--name" not in flags(DeviceSection(), leave_out=("name",))


def test_a_flag_that_a_program_does_not_take_leaves_the_default(capsys: pytest.CaptureFixture[str]):
    parser = argparse.ArgumentParser()
    add_flags(parser, DeviceSection, leave_out=("max_latency_ms",))
    assert read_flags(parser.parse_args(["--threads", "8"]), DeviceSection) == DeviceSection(threads=[8])
    for wrong in (["--max-latency-ms", "3"], ["--threads", "1;2"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)
    assert "'1;2': whole numbers with commas between them" in capsys.readouterr().err


def test_help_shows_each_description(capsys):
    parser = argparse.ArgumentParser()
    for section in (ModelSection, CompressSection, AccuracySection):
        add_flags(parser, section)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Width multiplier" in told and "95 % interval" in told
