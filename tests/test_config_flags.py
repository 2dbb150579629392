"""Sections of the configuration as command-line flags, and back."""

import argparse
import shlex

import pytest

from qatflow.config.flags import add_flags, flags, read_flags
from qatflow.config.model import (
    AccuracySection,
    CompressSection,
    DeviceSection,
    FloatTrainingSection,
    ModelSection,
    Section,
)


@pytest.mark.parametrize(
    "section",
    [
        ModelSection(alpha=0.25, dropout=0.0),
        ModelSection(function="own.net:build", keep_in_float=["a layer", "elu"]),
        FloatTrainingSection(epochs=3, augmentation="shift", weight_decay=1e-5),
        CompressSection(freeze_batch_norm=True, config="a folder/with space.yaml"),
        DeviceSection(type="adb", serial="emulator-5556; rm"),
        DeviceSection(type="adb", serial="-s", cpu="--cpu=-x"),
        DeviceSection(),
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


def test_help_shows_each_description(capsys):
    parser = argparse.ArgumentParser()
    for section in (ModelSection, CompressSection, AccuracySection):
        add_flags(parser, section)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "Width multiplier" in told and "95 % interval" in told
