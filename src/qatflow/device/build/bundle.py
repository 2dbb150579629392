"""The built demo with its libraries, as `build` leaves it: program, cxx/lib, manifest.json."""

import json
from dataclasses import dataclass
from pathlib import Path

from qatflow.base.errors import UserError
from qatflow.base.files import sha256
from qatflow.base.sums import compare, read_sealed

FORMAT = 1
FILE = "manifest.json"
DEMO_FOLDER = Path("demo/cxx/mobile_light")
LIBRARY_FOLDER = Path("cxx/lib")
PROGRAM = "mobilenetv1_light_api"
CHANGED = "build it again with `snakemake --cores all build_demo --forcerun build_mobile_light`"
AGAIN = "build it with `snakemake --cores all build_demo`"


@dataclass(frozen=True)
class Bundle:
    """A folder inference_lite_lib.<target>.

    Attributes:
        folder: where it is.
        target: what it was built for, as in its name.
        machine: processor, as `uname -m` prints it.
        loader: file name of the loader it carries; None if the system's loader starts the program.
        libraries: file names in cxx/lib.
        litert_version: version of libLiteRt.so; None when unknown.
    """

    folder: Path
    target: str
    machine: str
    loader: str | None
    libraries: tuple[str, ...]
    litert_version: str | None

    @property
    def manifest(self) -> Path:
        """The file that describes its contents."""
        return self.folder / FILE

    @property
    def files(self) -> dict[str, Path]:
        """Files to put on the device: name there, relative to the run's folder → file here."""
        libraries = {f"lib/{name}": self.folder / LIBRARY_FOLDER / name for name in self.libraries}
        return {PROGRAM: self.folder / DEMO_FOLDER / PROGRAM, **libraries}

    def command(self, *flags: str) -> list[str]:
        """Return the command line that starts the program in the run's folder."""
        start = [f"./lib/{self.loader}", "--library-path", "lib"] if self.loader else []
        return [*start, f"./{PROGRAM}", *flags]


def open_bundle(folder: Path) -> Bundle:
    """Read a built bundle; raises UserError if it is missing, incomplete, or changed since it was built."""
    path = folder / FILE
    try:
        value = read_sealed(path, AGAIN)
        if value["format_version"] != FORMAT:
            raise UserError(f"{path} has format {value['format_version']}, expected {FORMAT}: {AGAIN}")
        bundle = Bundle(
            folder=folder,
            target=value["target"],
            machine=value["machine"],
            loader=value["loader"],
            libraries=tuple(value["libraries"]),
            litert_version=value["litert_version"],
        )
        sums = {name: about["sha256"] for name, about in value.get("files", {}).items()}
    except FileNotFoundError:
        raise UserError(f"there is no built demo in {folder}: {AGAIN}") from None
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}): {AGAIN}") from error
    for file in bundle.files.values():
        if not file.is_file():
            raise UserError(f"{file} is missing, though the demo was built: {AGAIN}")
    for name, expected in sums.items():
        if (folder / name).is_file():
            compare(folder / name, sha256(folder / name), expected, path, CHANGED)
    return bundle
