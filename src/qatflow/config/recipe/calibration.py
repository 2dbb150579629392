"""How the range of an activation is found from the calibration pictures; the names of the compress YAML."""

from typing import Literal

CalibrationMethod = Literal["max", "percentile", "mse", "entropy"]
