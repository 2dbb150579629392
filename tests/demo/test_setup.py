"""The set-up installs the header that the demo's decoder is compiled from."""

from helpers.small_checkout import TABLE, Checkout
from qatflow.base.system_packages import system_packages
from qatflow.device.build.build import STB


def test_the_header_is_installed_where_it_is_missing(checkout: Checkout) -> None:
    table = checkout.folder / TABLE
    header = checkout.folder / "stb_image.h"
    text = table.read_text()
    table.write_text(text.replace(str(STB), str(header)))
    assert table.read_text() != text
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
    (package,) = (package for package in system_packages() if str(STB) in package.what)
    assert (package.when, package.names["apt"]) == ("setup", "libstb-dev")
