"""Targets beside android.armv8 with gcc: a board with its own glibc, and Android by the NDK's clang.

Where there is no NDK, a stand-in of its layout shows what it is asked for and what is packed; what clang itself thinks
of the sources is seen where Debian's is installed. With ANDROID_NDK_HOME and LITERT_AAR set the real ones build.
"""

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from helpers.device_fixtures import SOURCES, arm_runtime, require  # noqa: F401
from helpers.tiny_model import write_model
from helpers.workflow_helpers import SMALL, copy_project
from qatflow.base.errors import UserError
from qatflow.device.build import elf
from qatflow.device.build.build import STB, build
from qatflow.device.build.bundle import open_bundle
from qatflow.device.build.ndk import TOOLCHAIN, VARIABLE
from qatflow.device.build.targets import TARGETS, find_target
from qatflow.device.interface import DeviceSettings
from qatflow.device.run.registry import check_device, open_device

CROSS = "aarch64-linux-gnu-g++"
ANDROID = find_target("android.armv8", "clang")
VERSION = "litert-9.8.7.aar"


@pytest.mark.device
def test_linux_armv8_starts_by_the_boards_own_loader(arm_runtime: Path, tmp_path: Path) -> None:  # noqa: F811
    require(CROSS, "cmake", "make", "qemu-aarch64-static")
    build(SOURCES, find_target("linux.armv8", "gcc"), arm_runtime, tmp_path / "bundle", jobs=2)
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.loader is None and bundle.libraries == ("libLiteRt.so",)
    model = write_model(tmp_path / "model")
    with open_device(DeviceSettings("emulator", "board", cpu="cortex-a53", target="linux.armv8")) as board:
        for name, file in {**bundle.files, "model/model.tflite": model / "model.tflite"}.items():
            board.push(file, name)
        answer = board.run(bundle.command("--model_dir=model"), timeout=120)
    assert answer.status == 0, answer.stderr
    assert answer.stdout.startswith("Output dim: 10\nOutput[0]: ")


def test_a_board_without_libraries_is_not_imitated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require("qemu-aarch64-static")
    monkeypatch.setattr("qatflow.device.emulator.sysroot.BOARD_LIBRARIES", tmp_path / "nothing")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings = DeviceSettings("emulator", "board", target="linux.armv8")
    with pytest.raises(UserError, match=r"apt-get install libc6-arm64-cross .*, or set device\.target to android"):
        check_device(settings)
    assert not list(tmp_path.iterdir())


def compile_library(output: Path, code: str, *flags: str) -> Path:
    source = output.with_suffix(".c")
    source.write_text(code)
    command = [CROSS, "-x", "c", str(source), "-x", "none", "-shared", "-nostdlib", "-o", str(output), *flags]
    subprocess.run(command, check=True, capture_output=True)
    return output


@pytest.fixture
def aar(tmp_path: Path) -> Path:
    """An .aar whose libLiteRt.so has the calls that the demo makes, and needs what Android's has."""
    require(CROSS, "cmake", "make")
    made = tmp_path / "made"
    made.mkdir()
    libraries = [
        compile_library(made / name, "", f"-Wl,-soname,{name}") for name in ("libc.so", "libc++_shared.so", "libgpu.so")
    ]
    calls = sorted(set(re.findall(r"\b(LiteRt\w+)\(", (SOURCES / "litert_c_api.h").read_text())))
    code = "".join(f"int {name}(void) {{ return 1; }}\n" for name in calls)
    needed = ["-Wl,--no-as-needed", *map(str, libraries[:2]), "-Wl,-soname,libLiteRt.so"]
    libraries.append(compile_library(made / "libLiteRt.so", code, *needed))
    path = tmp_path / VERSION
    with zipfile.ZipFile(path, "w") as archive:
        for library in libraries[1:]:
            archive.write(library, f"jni/arm64-v8a/{library.name}")
        archive.writestr("jni/x86_64/libLiteRt.so", b"of another processor")
        archive.writestr("AndroidManifest.xml", b"")
    return path


@pytest.fixture
def ndk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as the NDK, which builds by the cross compiler and notes what it is asked for."""
    folder = tmp_path / "ndk"
    (folder / TOOLCHAIN).parent.mkdir(parents=True)
    (folder / TOOLCHAIN).write_text(
        "set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\n"
        f"set(CMAKE_CXX_COMPILER {CROSS})\n"
        f'file(WRITE "{tmp_path}/asked" "${{ANDROID_ABI}} ${{ANDROID_STL}} ${{ANDROID_PLATFORM}}")\n'
        'set(CMAKE_CXX_FLAGS_RELEASE_INIT "-O0")\n'  # the program is not run
    )
    compiler = folder / ANDROID.compiler
    compiler.parent.mkdir(parents=True)
    compiler.write_text("#!/bin/sh\necho Android clang version 18.0.0\n")
    compiler.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.mark.workflow
def test_android_by_clang_is_built_by_the_workflow_and_packs_what_the_aar_holds(
    aar: Path, ndk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(tmp_path / "project")
    monkeypatch.setenv(VARIABLE, "../ndk")  # seen from where the workflow is started
    given = tmp_path / "an archive" / aar.name
    given.parent.mkdir()
    aar.rename(given)
    flags = ("--config", f"device={{type: adb, serial: x, toolchain: clang, aar: {given}}}")
    assert project.plan("build_demo", *flags) == {"build_mobile_light": 1, "build_demo": 1}
    answer = project.snakemake("--cores", "2", "build_demo", *flags)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert project.plan("build_demo", *flags) == {}
    bundle = open_bundle(project.folder / "build.lite.android.armv8.clang/inference_lite_lib.android.armv8")
    assert (tmp_path / "asked").read_text() == "arm64-v8a c++_static android-26"
    assert bundle.libraries == ("libLiteRt.so", "libc++_shared.so")  # needed; libgpu.so is not
    assert bundle.loader is None and bundle.litert_version == "9.8.7"
    assert bundle.command("--help") == ["./mobilenetv1_light_api", "--help"]
    assert {elf.machine(file) for file in bundle.files.values()} == {"aarch64"}
    told = json.loads(bundle.manifest.read_text())
    assert told["compiler"] == "Android clang version 18.0.0"
    assert str(given) in told["provenance"]["inputs"]
    dynamic = subprocess.run(
        ["readelf", "-d", str(bundle.files["mobilenetv1_light_api"])], capture_output=True, text=True, check=True
    ).stdout
    assert "[libLiteRt.so]" in dynamic and "$ORIGIN/lib" in dynamic


def test_android_by_clang_needs_the_ndk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(UserError, match=f"set {VARIABLE} to the folder of the NDK"):
        build(SOURCES, ANDROID, tmp_path / VERSION, tmp_path / "bundle")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(UserError, match=r"has no build/cmake/android\.toolchain\.cmake"):
        build(SOURCES, ANDROID, tmp_path / VERSION, tmp_path / "bundle")


def test_wrong_archives_are_refused(ndk: Path, tmp_path: Path) -> None:
    aar = tmp_path / "other.aar"
    with pytest.raises(UserError, match="cannot read"):
        build(SOURCES, ANDROID, aar, tmp_path / "bundle")
    aar.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="is not an AAR"):
        build(SOURCES, ANDROID, aar, tmp_path / "bundle")
    with zipfile.ZipFile(aar, "w") as archive:
        archive.writestr("classes.jar", b"")
        archive.writestr("jni/arm64-v8a/../../libLiteRt.so", b"")
    with pytest.raises(UserError, match=r"contains no jni/arm64-v8a/libLiteRt\.so"):
        build(SOURCES, ANDROID, aar, tmp_path / "bundle")
    with zipfile.ZipFile(aar, "w") as archive:
        archive.writestr("jni/arm64-v8a/libLiteRt.so", b"no library")
    with pytest.raises(UserError, match=r"libLiteRt\.so in .*other\.aar is not a program or library"):
        build(SOURCES, ANDROID, aar, tmp_path / "bundle")
    with zipfile.ZipFile(aar, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("jni/arm64-v8a/libLiteRt.so", bytes(range(256)) * 40)
    whole = aar.read_bytes()
    for place in (100, 120):  # in the compressed content
        aar.write_bytes(whole[:place] + bytes([255 - whole[place]]) * 20 + whole[place + 20 :])
        with pytest.raises(UserError, match="is not an AAR, or is damaged"):
            build(SOURCES, ANDROID, aar, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.device
def test_libraries_of_the_other_c_library_are_refused(
    aar: Path, ndk: Path, arm_runtime: Path, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    with pytest.raises(UserError, match=r"needs Android's: use the \.aar"):
        build(SOURCES, ANDROID, arm_runtime, tmp_path / "bundle")
    with pytest.raises(UserError, match="needs glibc: use the library of the Python wheel"):
        build(SOURCES, find_target("linux.armv8", "gcc"), aar, tmp_path / "bundle")


def test_the_configuration_offers_the_targets_that_there_are() -> None:
    device = json.loads((SOURCES.parents[2] / "config/schema.json").read_text())["properties"]["device"]["properties"]
    assert set(device["target"]["enum"]) == {target.name for target in TARGETS}
    assert set(device["toolchain"]["enum"]) == {target.toolchain for target in TARGETS}


@pytest.mark.workflow
@pytest.mark.parametrize("missing", ["NDK", "LiteRT in the AAR"])
def test_what_the_ndk_build_needs_is_looked_for_before_any_job(
    aar: Path, ndk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    project = copy_project(tmp_path / "project")
    if missing == "NDK":
        monkeypatch.delenv(VARIABLE)
        said = f"error: clang for android.armv8 comes with the Android NDK: set {VARIABLE} to the folder of the NDK"
    else:
        with zipfile.ZipFile(aar, "w") as archive:
            archive.writestr("classes.jar", b"")
        said = f"error: {aar} contains no jni/arm64-v8a/libLiteRt.so: is it the AAR of LiteRT 2?"
    flags = ("--config", f"device={{type: adb, serial: x, toolchain: clang, aar: {aar}}}")
    answer = project.snakemake("--cores", "2", "all", *SMALL, *flags)
    assert answer.returncode == 1
    assert f"\n{said}\n" in answer.stderr and "Traceback" not in answer.stdout + answer.stderr
    assert not (project.folder / "logs").exists()


def test_clang_has_no_warnings_either(tmp_path: Path) -> None:
    require("clang++")
    options = re.findall(r"-W[\w-]+(?:=\d)?", (SOURCES / "CMakeLists.txt").read_text())
    assert "-Werror" in options
    files = [str(path) for path in sorted(SOURCES.glob("*.cc")) if path.name != "stb_image.cc"]
    command = ["clang++", "-std=c++17", "-fsyntax-only", f"-isystem{STB.parent}", *options, *files]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.skipif(VARIABLE not in os.environ or "LITERT_AAR" not in os.environ, reason="needs an NDK and an AAR")
def test_the_real_ndk_builds_it(tmp_path: Path) -> None:
    build(SOURCES, ANDROID, Path(os.environ["LITERT_AAR"]), tmp_path / "bundle", jobs=2)
    program = open_bundle(tmp_path / "bundle").files["mobilenetv1_light_api"]
    assert elf.machine(program) == "aarch64"
    assert b"/system/bin/linker64" in program.read_bytes()
