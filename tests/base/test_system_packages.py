"""What messages say about missing programs, by the package manager that is on the machine."""

from pathlib import Path

import pytest

from qatflow.base.system_packages import how_to_install

STB = "/usr/include/stb/stb_image.h"


@pytest.mark.parametrize(
    ("manager", "advice"),
    [
        ("apt-get", "run `apt-get install g++-aarch64-linux-gnu cmake libstb-dev`"),
        ("pacman", "run `pacman -S aarch64-linux-gnu-gcc cmake stb`"),
        (
            "dnf",
            "run `dnf install cmake stb_image-devel`; dnf has no package with aarch64-linux-gnu-g++: "
            "docs/hosts.md says what to do",
        ),
        (
            "brew",
            f"run `brew install cmake`; brew has no package with aarch64-linux-gnu-g++ and {STB}: docs/hosts.md says "
            "what to do",
        ),
        (None, "run `apt-get install g++-aarch64-linux-gnu cmake libstb-dev`"),
    ],
)
def test_packages_have_the_names_of_the_manager_that_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manager: str | None, advice: str
) -> None:
    if manager is not None:
        (tmp_path / manager).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert how_to_install("aarch64-linux-gnu-g++", "cmake", STB) == advice


def test_one_package_is_named_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pacman").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    files = ("aarch64-linux-gnu-g++", "/usr/aarch64-linux-gnu/lib/libstdc++.so.6")
    assert how_to_install(*files) == "run `pacman -S aarch64-linux-gnu-gcc`"
