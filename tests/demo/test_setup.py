"""The set-up installs the header that the demo's decoder is compiled from."""

from helpers.small_checkout import ROOT, Checkout
from qatflow.device.build.build import STB, STB_PACKAGE


def test_the_header_is_installed_where_it_is_missing(checkout: Checkout) -> None:
    script = checkout.folder / "setup.sh"
    header = checkout.folder / "stb_image.h"
    text = (ROOT / "setup.sh").read_text()
    script.write_text(text.replace("stb=/usr/include/stb/stb_image.h", f"stb={header}"))
    assert script.read_text() != text
    log = checkout.folder / "apt"
    checkout.program("apt-get", f'echo "$@" >>{log}\n[[ "$*" != *libstb-dev* ]] || : >{header}')
    checkout.program("apt-cache", "exit 0")
    checkout.program("sudo", '[[ "$1" != -n ]] || shift\nexec "$@"')
    assert checkout.run().stdout == "snakemake 1.0 --cores all all\n"
    assert [line for line in log.read_text().splitlines() if line.endswith("install libstb-dev")]
    before = log.read_text()
    assert checkout.run().stdout == "snakemake 1.0 --cores all all\n"  # with the header there is nothing to do
    assert "libstb-dev" not in log.read_text().removeprefix(before)


def test_setup_and_build_mean_the_same_header() -> None:
    setup = (ROOT / "setup.sh").read_text()
    assert f"stb={STB}\n" in setup and f"printf '{STB_PACKAGE}\\n'" in setup
