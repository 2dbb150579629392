"""A stand-in for the command `conda`: the calls that Snakemake makes, answered by py-rattler on a local channel.

Solver and installer are real (rattler is what pixi uses). The channel has Python, which is this machine's interpreter
under the version that is asked for, and pip, the real one of that version; what the pip section names comes from the
package index. So an environment is built as its file says, but for what conda-forge would have to solve.
"""

import argparse
import asyncio
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ACTIVATE = 'export CONDA_PREFIX="$1" CONDA_DEFAULT_ENV="$1" PATH="$1/bin:$PATH"\n'
SUBDIRS = ("linux-64", "noarch")


def install_standin(folder: Path, python: Path, versions: Mapping[str, str]) -> Path:
    """Make a folder that is conda's to Snakemake, with its channel; return the folder to put in PATH.

    Args:
        folder: a new folder.
        python: the interpreter that Python's package stands for.
        versions: of the packages `python` and `pip`.
    """
    programs = folder / "bin"
    programs.mkdir(parents=True)
    (programs / "conda").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{folder}" "$@"\n')
    (programs / "conda").chmod(0o755)
    (programs / "activate").write_text(ACTIVATE)
    channel = folder / "conda-forge"
    minor = versions["python"].rsplit(".", 1)[0]
    configuration = f"home = {python.parent}\ninclude-system-site-packages = false\nversion = {versions['python']}\n"
    links = {f"bin/python{minor}": str(python), "bin/python3": f"python{minor}", "bin/python": f"python{minor}"}
    files = {"pyvenv.cfg": configuration.encode()}
    packages = {
        "linux-64": _package(channel / "linux-64", "python", versions["python"], files, links),
        "noarch": _package(channel / "noarch", "pip", versions["pip"], _pip(versions["pip"]), {}),
    }
    for name in ("conda-forge", "nodefaults"):
        for subdir in SUBDIRS:
            found = packages[subdir] if name == "conda-forge" else {}
            (folder / name / subdir).mkdir(parents=True, exist_ok=True)
            data = {"info": {"subdir": subdir}, "packages": found, "packages.conda": {}, "repodata_version": 1}
            (folder / name / subdir / "repodata.json").write_text(json.dumps(data))
    return programs


def _pip(version: str) -> dict[str, bytes]:
    """Return the files of pip's wheel, below site-packages."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, f"pip=={version}"],
            check=True,
        )
        (wheel,) = Path(folder).glob("pip-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return {f"site-packages/{each}": archive.read(each) for each in archive.namelist() if each[-1] != "/"}


def _package(
    folder: Path, name: str, version: str, files: Mapping[str, bytes], links: Mapping[str, str]
) -> dict[str, Any]:
    """Write a conda package; return its entry of repodata.json."""
    noarch = folder.name == "noarch"
    depends = ["python"] if noarch else []
    index = {
        "name": name, "version": version, "build": "0", "build_number": 0, "depends": depends, "subdir": folder.name,
        **({"noarch": "python"} if noarch else {}),
    }  # fmt: skip
    paths = [
        *({"_path": path, "path_type": "hardlink", **_digest(data)} for path, data in files.items()),
        *({"_path": path, "path_type": "softlink", **_digest(b"")} for path in links),
    ]
    about = {
        "info/index.json": json.dumps(index).encode(),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
        "info/link.json": json.dumps({"noarch": {"type": "python"}, "package_metadata_version": 1}).encode(),
    }
    if not noarch:
        del about["info/link.json"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:bz2", compresslevel=1) as archive:
        for path, data in {**files, **about}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    file = folder / f"{name}-{version}-0.tar.bz2"
    folder.mkdir(parents=True)
    file.write_bytes(out.getvalue())
    whole = _digest(out.getvalue())
    return {file.name: {**index, "sha256": whole["sha256"], "size": whole["size_in_bytes"]}}


def _digest(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_in_bytes": len(data)}


async def create(base: Path, environment: Mapping[str, Any], prefix: str) -> None:
    """Solve and install the conda packages of an environment file."""
    from rattler import Channel, MatchSpec, Platform, install, solve

    specs = [MatchSpec(each) for each in environment["dependencies"] if isinstance(each, str)]
    records = await solve(
        [Channel((base / channel).as_uri()) for channel in environment["channels"]],
        specs,
        platforms=[Platform(subdir) for subdir in SUBDIRS],
    )
    await install(records, target_prefix=prefix, show_progress=False)


def main(base: Path, argv: list[str]) -> None:
    """Answer one call."""
    match argv:
        case ["--version"]:
            print("conda 24.7.1")
        case ["info", *_]:
            print(json.dumps({"conda_prefix": str(base), "platform": "linux-64"}))
        case ["config", *_]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["clean", *_]:
            pass
        case ["env", "create", *rest]:
            parser = argparse.ArgumentParser()
            parser.add_argument("--file", type=Path)
            parser.add_argument("--prefix")
            options, _ = parser.parse_known_args(rest)
            environment = yaml.safe_load(options.file.read_text(encoding="utf-8"))
            asyncio.run(create(base, environment, options.prefix))
            (pip,) = (each["pip"] for each in environment["dependencies"] if isinstance(each, dict))
            command = (f"{options.prefix}/bin/python", "-m", "pip", "install", "--quiet", "--no-compile")
            subprocess.run([*command, *pip], check=True)
        case _:
            sys.exit(f"conda's stand-in does not know {argv}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
