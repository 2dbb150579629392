"""Fetching LiteRT and building the demo."""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from helpers.device_fixtures import LOCK, SOURCES, arm_bundle, arm_runtime, require  # noqa: F401
from qatflow.base import host
from qatflow.base.errors import UserError
from qatflow.base.files import sha256
from qatflow.device.build import elf
from qatflow.device.build.build import build, check_tools
from qatflow.device.build.bundle import open_bundle
from qatflow.device.build.runtime import fetch_runtime, pinned, runtime_version
from qatflow.device.build.targets import find_target, is_arm_32

ARM = find_target("android.armv8", "gcc")
HOST = find_target("linux.x86_64", "gcc")


def test_host_runtime_is_that_of_the_installed_package(tmp_path: Path) -> None:
    path = tmp_path / "libLiteRt.so"
    fetch_runtime(LOCK, "x86_64", path)
    assert elf.machine(path) == "x86_64"
    assert runtime_version(path) == pinned(LOCK)[0]


def test_a_library_changed_since_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "libLiteRt.so"
    fetch_runtime(LOCK, "x86_64", path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match=r"libLiteRt\.so has changed since it was written"):
        runtime_version(path)


def test_lock_without_hashes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("ai-edge-litert==2.3.0\n")
    with pytest.raises(UserError, match="does not pin ai-edge-litert with hashes"):
        fetch_runtime(tmp_path / "lock", "aarch64", tmp_path / "libLiteRt.so")


def test_another_version_than_the_installed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"ai-edge-litert==0.0.1 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(UserError, match=r"pins 0\.0\.1"):
        fetch_runtime(tmp_path / "lock", "x86_64", tmp_path / "libLiteRt.so")


def test_no_network_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(UserError, match="is there a network"):
        fetch_runtime(LOCK, "aarch64", tmp_path / "out" / "libLiteRt.so")
    assert not (tmp_path / "out").exists()


def test_altered_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / f"ai_edge_litert-{pinned(LOCK)[0]}-cp311-cp311-manylinux_2_27_aarch64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ai_edge_litert/libLiteRt.so", b"something else")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(UserError, match="does not have the SHA-256 that the lock file gives"):
        fetch_runtime(LOCK, "aarch64", tmp_path / "libLiteRt.so")
    assert not (tmp_path / "libLiteRt.so").exists()


def test_unknown_target_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"known: android\.armv8 with gcc, .*, linux\.x86_64 with gcc"):
        find_target("windows.x86_64", "gcc")
    for name in ("android.armv7", "linux.armv7"):
        with pytest.raises(UserError, match=rf"for {name}: the package ai-edge-litert has no library for 32-bit ARM"):
            find_target(name, "gcc")


@pytest.mark.parametrize(
    ("machine", "arm_32"),
    [
        ("armv7l", True), ("armv6l", True), ("armv8l", True), ("armeabi-v7a,armeabi", True),
        ("aarch64", False), ("x86_64", False), ("riscv64", False),
    ],
)  # fmt: skip
def test_32_bit_arm_is_told_by_its_names(machine: str, arm_32: bool) -> None:
    assert is_arm_32(machine) is arm_32


def test_missing_compiler_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt-get install g\\+\\+-aarch64-linux-gnu cmake make"):
        build(SOURCES, ARM, tmp_path / "libLiteRt.so", tmp_path / "bundle")


def test_runtime_of_another_processor_is_refused(tmp_path: Path) -> None:
    require("aarch64-linux-gnu-g++", "cmake", "make")
    fetch_runtime(LOCK, "x86_64", tmp_path / "libLiteRt.so")
    with pytest.raises(UserError, match=r"is for x86_64, android\.armv8 needs aarch64"):
        build(SOURCES, ARM, tmp_path / "libLiteRt.so", tmp_path / "bundle")


def test_sources_that_do_not_compile_leave_nothing(tmp_path: Path) -> None:
    require("g++", "cmake", "make")
    for file in [*SOURCES.glob("*.*"), SOURCES / "Makefile", *SOURCES.glob("cmake/*")]:
        copy = tmp_path / "sources" / file.relative_to(SOURCES)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    (tmp_path / "sources" / "stb_image.cc").write_text("")  # it takes longest, and nothing is linked here
    broken = tmp_path / "sources" / "mobilenetv1_light_api.cc"  # the first of the others
    broken.write_text("int unused(int value) { int shadow; return value; }\n")
    fetch_runtime(LOCK, "x86_64", tmp_path / "libLiteRt.so")
    with pytest.raises(UserError, match=r"mobilenetv1_light_api\.cc:1.*error: unused variable"):
        build(tmp_path / "sources", HOST, tmp_path / "libLiteRt.so", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.device
def test_wheel_for_aarch64_holds_the_library(arm_runtime: Path) -> None:  # noqa: F811
    assert elf.machine(arm_runtime) == "aarch64"
    told = json.loads(arm_runtime.with_suffix(".json").read_text())
    assert f"sha256:{told['wheel_sha256']}" in pinned(LOCK)[1]
    assert told["sha256"][arm_runtime.name] == sha256(arm_runtime)


@pytest.mark.device
def test_bundle_carries_all_that_its_programs_need(arm_bundle: Path) -> None:  # noqa: F811
    bundle = open_bundle(arm_bundle)
    carried = {name.removeprefix("lib/") for name in bundle.files}
    for file in bundle.files.values():
        assert elf.machine(file) == "aarch64"
        needed = subprocess.run(["readelf", "-d", str(file)], capture_output=True, text=True, check=True).stdout
        for line in needed.splitlines():
            if "(NEEDED)" in line:
                assert line.split("[")[1].rstrip("]") in carried
    listed = json.loads(bundle.manifest.read_text())["files"]
    for name, told in listed.items():
        assert sha256(arm_bundle / name) == told["sha256"]
    assert bundle.litert_version == pinned(LOCK)[0]


@pytest.mark.device
def test_make_in_the_bundle_builds_the_same_bytes(arm_bundle: Path, tmp_path: Path) -> None:  # noqa: F811
    copy = tmp_path / "a place with a blank" / "bundle"
    copy.parent.mkdir()
    subprocess.run(["cp", "-r", str(arm_bundle), str(copy)], check=True)
    program = open_bundle(copy).files["mobilenetv1_light_api"]
    before = sha256(program)
    for goal in (["clean"], ["-j"]):
        assert program.exists() == (goal == ["clean"])
        really = {**os.environ, "CCACHE_DISABLE": "1"}  # not the object files of the first build
        subprocess.run(["make", *goal], cwd=program.parent, check=True, capture_output=True, env=really)
    assert sha256(program) == before
    assert str(tmp_path).encode() not in program.read_bytes()


def test_an_arm64_machine_builds_by_its_own_compiler_and_not_for_x86(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert (ARM.compiler, HOST.compiler) == ("aarch64-linux-gnu-g++", "g++")
    monkeypatch.setattr(host, "machine", lambda: "aarch64")
    assert ARM.tools == ("g++", "cmake", "make")
    for name, toolchain, why in (
        ("linux.x86_64", "gcc", "no compiler for x86_64 is known there"),
        ("android.armv8", "clang", "the Android NDK has programs for x86_64 alone"),
    ):
        with pytest.raises(UserError, match=rf"is built on x86_64, and this machine is aarch64: {why}"):
            check_tools(find_target(name, toolchain))


def test_a_cross_compiler_without_a_cxx_library_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # as Fedora's answers: what gcc does not find, it prints as it was asked
    for name in ARM.tools:
        (tmp_path / name).write_text('#!/bin/sh\necho "${1#-print-file-name=}"\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"has no C\+\+ library for aarch64 \(libstdc\+\+\.so\), so it builds no pro"):
        check_tools(ARM)
