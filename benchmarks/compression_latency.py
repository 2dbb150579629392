"""Host latency of a large int8 MobileNetV1, whole and pruned, for the compression benchmark."""

import numpy as np

from qatflow.graph.counts import total
from qatflow.pruning.candidates import candidates
from qatflow.pruning.ratios import PruningTarget, uniform_ratios
from size_and_latency import SEED, latencies, random_graph

SHAPE, PICTURES, SHARE = (96, 96, 3), 8, 0.5
TYPES = ("abs_max", "moving_average_abs_max")


def large(rounds: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Return ms and millions of multiply-adds of int8 MobileNetV1 1.0 at 96 × 96, whole and with half of them."""
    from calibrated import calibrated, tflite
    from qatflow.quantisation.placement import QuantSettings
    from qatflow.training.runtime import start

    start(SEED, threads=2)
    pictures = np.random.default_rng(SEED).uniform(-1, 1, (PICTURES, *SHAPE)).astype(np.float32)
    whole = random_graph(pictures)
    prunable = candidates(whole, ".*", {"*": "l1_norm"})
    halved = prunable.thin(uniform_ratios(prunable, PruningTarget(SHARE, "flops")).by_group)
    graphs = {"int8": whole, "int8, pruned −50 %": halved}
    settings = QuantSettings(8, 8, *TYPES)
    models = {name: tflite(*calibrated(graph, settings, [pictures])) for name, graph in graphs.items()}
    times = latencies(models, rounds, repeats)
    return {name: (times[name], total(graph).multiply_adds / 1e6) for name, graph in graphs.items()}
