"""Pictures by Matplotlib as SVG; equal figures give equal bytes."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from qatflow.base.files import whole_file

mpl.rcParams["svg.hashsalt"] = "qatflow"


def save(figure: Figure, output: Path) -> None:
    """Write the figure as SVG, whole or not at all; equal figures give equal bytes."""
    with whole_file(output) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
