"""What pyproject.toml cannot say: the workflow's files go into the wheel, and its program `snakemake` does not."""

import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

PROJECT_FILES = ("Snakefile", "requirements.lock", "workflow", "config", "profiles", "demo", "envs")
"""What `qatflow run` puts into a folder."""
PACKAGED = "qatflow_project"
"""The folder of these in the wheel, as qatflow.base.places has it."""


class BuildWithWorkflow(build_py):
    """Copies the workflow beside the packages; an editable installation uses the checkout's own files."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, PACKAGED)
        shutil.rmtree(target, ignore_errors=True)
        for name in PROJECT_FILES:
            for source in [Path(name)] if Path(name).is_file() else sorted(Path(name).rglob("*")):
                if source.is_file() and "__pycache__" not in source.parts:
                    (target / source).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target / source)


class WheelWithoutSnakemake(bdist_wheel):
    """Leaves the program `snakemake` to Snakemake: ours stands in its place in a checkout's .venv alone."""

    makes_wheel = False

    def run(self) -> None:
        """Make the wheel; an editable one is made without this call."""
        self.makes_wheel = True
        super().run()

    def write_wheelfile(self, wheelfile_base: str, *arguments: object, **options: object) -> None:
        """Write the wheel's metadata, then take the program out."""
        super().write_wheelfile(wheelfile_base, *arguments, **options)
        if self.makes_wheel:
            path = Path(wheelfile_base, "entry_points.txt")
            points = ConfigParser()
            points.read_string(path.read_text())
            points.remove_option("console_scripts", "snakemake")
            with path.open("w") as file:
                points.write(file)


setup(cmdclass={"build_py": BuildWithWorkflow, "bdist_wheel": WheelWithoutSnakemake})
