"""The rules by which a device is timed, by their name in `device.rules`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TimingRules:
    """Rules of a timing that is long enough to show heat.

    Attributes:
        name: what they are called.
        source: where they are from.
        min_runs: least number of timed runs in a try.
        min_seconds: least time of these runs together, in whole seconds.
        tries: number of tries.
        pause_seconds: wait between two tries.
        max_spread_percent: the tries are stable if the slowest is at most this much above the fastest.
    """

    name: str
    source: str
    min_runs: int
    min_seconds: int
    tries: int
    pause_seconds: float
    max_spread_percent: float


SHORT = "short"
RULES = {
    "mlperf_mobile": TimingRules(
        "mlperf_mobile",
        "MLPerf Mobile Inference Rules 4.0 (8 May 2025): single stream, and replicability within 5 % in 5 tries with 5 "
        "minutes between",
        min_runs=1024,
        min_seconds=60,
        tries=5,
        pause_seconds=300.0,
        max_spread_percent=5.0,
    ),
}
"""Each takes the 90th percentile of a try; `short` has no entry: it takes the median of `device.repeats` runs."""
