"""Where the project and the tests are."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
HELPERS = TESTS / "helpers"
VERIFICATION_DATA = Path(os.environ.get("QATFLOW_VERIFICATION_DATA", ROOT.parent / "shared" / "data"))
"""Real weights and pictures, for the tests marked imagenet; the project does not depend on them."""
