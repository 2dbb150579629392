"""Build the C++ demo for a target, with the libraries it needs on the device."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from qatflow.base import host, provenance
from qatflow.base.errors import UserError
from qatflow.base.files import sha256, whole_folder
from qatflow.base.sums import write_sealed
from qatflow.base.system_packages import how_to_install
from qatflow.device.build import bundle, elf, ndk
from qatflow.device.build.runtime import runtime_version, version_file
from qatflow.device.build.targets import BuildTarget, find_target

SOURCES = ("*.cc", "*.h", "CMakeLists.txt", "Makefile", "cmake/*.cmake")
# The system's package of the picture decoder; its folder holds no other headers, so it can be used for every target.
STB = Path("/usr/include/stb/stb_image.h")
STB_FOLDER = Path("third_party/stb")
BIONIC = "libc.so"  # Android's C library; glibc is libc.so.6
CXX_LIBRARY = "libstdc++.so"
X86_64 = "x86_64"
LOADERS = {"aarch64": "ld-linux-aarch64.so.1", "x86_64": "ld-linux-x86-64.so.2"}
# Variables of the caller's environment that would change the program's bytes or disturb make.
UNWANTED = ("CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CXX", "CC", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")


def build(sources: Path, target: BuildTarget, runtime: Path, output: Path, jobs: int = 1) -> None:
    """Build the demo into `output` (inference_lite_lib.<target>), whole or not at all.

    The sources are copied to `output`/demo/cxx/mobile_light and built there with `make`, so that a user can edit and
    rebuild them there; the libraries go into `output`/cxx/lib. The same sources, compiler and runtime give the same
    bytes wherever they are built.

    Args:
        sources: folder of the demo's sources.
        target: what to build for.
        runtime: libLiteRt.so of the target, or an .aar that holds it.
        output: the folder to make; an existing one is replaced.
        jobs: number of compilers that run at once.

    Raises:
        UserError: a tool is missing, the runtime is for another processor or system, or compiling failed.
    """
    check_tools(target)
    with whole_folder(output) as folder:
        libraries = folder / bundle.LIBRARY_FOLDER
        libraries.mkdir(parents=True)
        litert = _place_runtime(target, runtime, libraries)
        demo = folder / bundle.DEMO_FOLDER
        inputs = _copy_sources(sources, demo)
        (demo / STB_FOLDER).mkdir(parents=True)
        shutil.copyfile(STB, demo / STB_FOLDER / STB.name)
        (demo / "config.mk").write_text(
            f"# Written by build_demo.\nTARGET := {target.name}\nTOOLCHAIN := {target.toolchain}\n"
            f"LITERT_VERSION := {litert or ''}\n",
            encoding="utf-8",
        )
        _make(demo, jobs)
        if target.own_loader:
            _carry_libraries(target, demo / bundle.PROGRAM, libraries)
        _write_manifest(folder, target, litert, [*inputs, STB, runtime])


def check_build(target: str, toolchain: str, aar: str | None = None) -> None:
    """Raise UserError if the demo cannot be built here: a tool (with its package), the NDK or the AAR is missing."""
    wanted = find_target(target, toolchain)
    check_tools(wanted)
    if aar is not None:
        ndk.check_aar(Path(aar), wanted.machine)


def check_tools(target: BuildTarget) -> None:
    """Raise UserError if this machine cannot build for the target: its processor, or a tool that is missing."""
    if host.machine() != X86_64 and (target.ndk or target.machine == X86_64):
        why = "the Android NDK has programs for x86_64 alone" if target.ndk else "no compiler for x86_64 is known there"
        raise UserError(
            f"{target.name} with {target.toolchain} is built on x86_64, and this machine is {host.machine()}: {why}. "
            "For arm64 devices set toolchain to gcc and target to android.armv8 or linux.armv8"
        )
    missing = [tool for tool in target.tools if shutil.which(tool) is None]
    wanted = [*missing, *([] if STB.is_file() else [str(STB)])]
    if wanted:
        names = " ".join(Path(name).name for name in wanted)
        raise UserError(f"building for {target.name} needs {names}: {how_to_install(*wanted)}")
    if target.ndk:
        ndk.ndk_folder()
        return
    try:
        library = _ask([target.compiler, f"-print-file-name={CXX_LIBRARY}"]).strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{target.compiler} does not run: {getattr(error, 'stderr', None) or error}") from None
    if not Path(library).is_absolute():
        raise UserError(
            f"{target.compiler} has no C++ library for {target.machine} ({CXX_LIBRARY}), so it builds no programs: "
            "docs/hosts.md says what to do"
        )


def _place_runtime(target: BuildTarget, runtime: Path, folder: Path) -> str | None:
    """Put the target's LiteRT into `folder`; return its version if known."""
    library = folder / ndk.LITERT
    if runtime.suffix == ".aar":
        ndk.unpack_aar(runtime, target.machine, folder)
        machine = _machine_in(runtime, library)
    else:
        machine = elf.machine(runtime)
        shutil.copyfile(runtime, library)
    if machine != target.machine:
        raise UserError(f"{runtime} is for {machine}, {target.name} needs {target.machine}: fetch it for that machine")
    needed = _needed(library)
    for carried in set(folder.iterdir()) - {library, *(folder / name for name in needed)}:
        carried.unlink()  # from the AAR, not needed by the demo
    if target.ndk != (BIONIC in needed):
        wanted = "Android's: use the .aar of LiteRT" if target.ndk else "glibc: use the library of the Python wheel"
        raise UserError(f"the LiteRT library in {runtime} is built for another C library; {target.name} with "
                        f"{target.toolchain} needs {wanted}")  # fmt: skip
    return ndk.aar_version(runtime) if runtime.suffix == ".aar" else runtime_version(runtime)


def _machine_in(aar: Path, library: Path) -> str:
    try:
        return elf.machine(library)
    except UserError:
        raise UserError(f"{library.name} in {aar} is not a program or library: is the AAR damaged?") from None


def _compiler(target: BuildTarget) -> str:
    return str(ndk.ndk_folder() / target.compiler) if target.ndk else target.compiler


def _copy_sources(sources: Path, demo: Path) -> list[Path]:
    files = sorted(file for pattern in SOURCES for file in sources.glob(pattern))
    if not files:
        raise UserError(f"{sources} contains no sources of the demo")
    for file in files:
        copy = demo / file.relative_to(sources)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    return files


def _make(demo: Path, jobs: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}
    if ndk.VARIABLE in environment:  # make runs in another folder, so the path must be absolute
        environment[ndk.VARIABLE] = os.path.abspath(environment[ndk.VARIABLE])  # noqa: PTH100 - links stay as they are
    answer = subprocess.run(
        ["make", "-C", str(demo), f"-j{jobs}"],
        env=environment | {"LC_ALL": "C", "SOURCE_DATE_EPOCH": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        lines = answer.stdout.splitlines()
        first = next((i for i, line in enumerate(lines) if re.search(r"error|Error", line)), max(0, len(lines) - 20))
        text = "\n".join(lines[first : first + 20]).replace(str(demo), "demo/cxx/mobile_light")
        raise UserError(f"the demo does not compile:\n{text}")
    shutil.rmtree(demo / "build")  # holds this machine's paths


def _carry_libraries(target: BuildTarget, program: Path, folder: Path) -> None:
    """Copy the loader and all libraries that the program needs, directly or not, from the compiler's."""
    done = {"libLiteRt.so"}
    waiting = [program, folder / "libLiteRt.so"]
    while waiting:
        for name in sorted({LOADERS[target.machine], *_needed(waiting.pop())} - done):
            answer = _ask([target.compiler, f"-print-file-name={name}"]).strip()
            if not Path(answer).is_absolute():
                raise UserError(f"{target.compiler} has no {name} for {target.machine}: reinstall its C/C++ libraries")
            shutil.copyfile(answer, folder / name)
            done.add(name)
            waiting.append(folder / name)
    (folder / LOADERS[target.machine]).chmod(0o755)


def _needed(library: Path) -> list[str]:
    # GNU readelf reads the ELF files of all machines.
    return re.findall(r"\(NEEDED\).*\[(.+)\]", _ask(["readelf", "--dynamic", str(library)]))


def _ask(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"LC_ALL": "C"}).stdout


def _write_manifest(folder: Path, target: BuildTarget, litert: str | None, inputs: list[Path]) -> None:
    libraries = sorted(file.name for file in (folder / bundle.LIBRARY_FOLDER).iterdir())
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    runtime = inputs[-1]
    record = [version_file(runtime)] if version_file(runtime).is_file() else []
    write_sealed(
        folder / bundle.FILE,
        {
            "format_version": bundle.FORMAT,
            "target": target.name,
            "toolchain": target.toolchain,
            "machine": target.machine,
            "compiler": _ask([_compiler(target), "--version"]).splitlines()[0],
            "litert_version": litert,
            "loader": LOADERS[target.machine] if target.own_loader else None,
            "libraries": libraries,
            "files": {
                str(file.relative_to(folder)): {"sha256": sha256(file), "bytes": file.stat().st_size} for file in files
            },
            "provenance": provenance.record([*inputs, *record], {"target": target.name, "toolchain": target.toolchain}),
        },
    )
