"""The experiments of the compression benchmark: how each row of its table differs from the embedded default."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

VALIDATION = 20_000
"""Pictures set aside, which leaves 40,000 for training: the benchmark has 24 trainings on two cores."""

PRUNING_RATE, SPARSITY_RATE = 0.05, 0.02
"""Learning rates with pruning or sparsity: the remaining weights have much to learn again. The others keep 0.005."""


@dataclass(frozen=True)
class Budget:
    """Epochs of float training, and of the compression that follows; the float row trains all of them in float."""

    float_epochs: int
    compress_epochs: int

    @property
    def all(self) -> int:
        """Number of epochs for which each row's model is trained."""
        return self.float_epochs + self.compress_epochs


def weights_name(epochs: int, seed: int) -> str:
    """Return the name of float weights trained for that many epochs."""
    return f"MobileNetV1_epochs{epochs}_seed{seed}"


def _weights(epochs: int, seed: int) -> dict[str, Any]:
    """Return the `pretrained` section of float weights trained for that many epochs."""
    return {"name": weights_name(epochs, seed), "seed": seed, "train": {"epochs": epochs}}


def _preset(name: str, first: int, budget: Budget, **overrides: Any) -> dict[str, Any]:
    """Return the compress section of a preset, quantised from epoch `first` to the last."""
    last = budget.compress_epochs - 1
    strategy = "strategies.quantization_strategy"
    epochs = {
        "eval_epoch": 0,
        "epoch": budget.compress_epochs,
        f"{strategy}.start_epoch": first,
        f"{strategy}.end_epoch": last,
    }
    return {"config": f"config/compress/{name}.yaml", "overrides": {**epochs, **overrides}}


def _float(budget: Budget, seed: int) -> dict[str, Any]:
    return {"method": "ptq", "pretrained": _weights(budget.all, seed)}


def _qat(budget: Budget, seed: int) -> dict[str, Any]:
    return {"compress": _preset("quantization", 0, budget)}


def _distilled(budget: Budget, seed: int) -> dict[str, Any]:
    end = {"strategies.distillation_strategy.end_epoch": budget.compress_epochs}
    teacher = {"pretrained": _weights(budget.all, seed)}
    return {"compress": _preset("quantization_distillation", 0, budget, **end), "teacher": teacher}


def _pruned(share: float) -> Callable[[Budget, int], dict[str, Any]]:
    def of(budget: Budget, seed: int) -> dict[str, Any]:
        preset = _preset("filter_pruning_uniform", budget.compress_epochs - 1, budget, target_ratio=share)
        return {"compress": {**preset, "learning_rate": PRUNING_RATE}}

    return of


def _sparse(budget: Budget, seed: int) -> dict[str, Any]:
    end = {"strategies.sparsity_strategy.end_epoch": budget.compress_epochs - 2}
    preset = _preset("sparsity", budget.compress_epochs - 1, budget, **end)
    return {"compress": {**preset, "learning_rate": SPARSITY_RATE}}


def _clustered(budget: Budget, seed: int) -> dict[str, Any]:
    end = {"strategies.clustering_strategy.end_epoch": budget.compress_epochs - 2}
    return {"compress": _preset("clustering", budget.compress_epochs - 1, budget, **end)}


FLOAT, QAT, DISTILLED, HALF = "float", "QAT", "distilled QAT", "pruned −50 % QAT"
# Name of a row of the table → how the experiment of a seed differs from the default
VARIANTS: dict[str, Callable[[Budget, int], dict[str, Any]]] = {
    FLOAT: _float,
    QAT: _qat,
    DISTILLED: _distilled,
    "pruned −30 % QAT": _pruned(0.3),
    HALF: _pruned(0.5),
    "sparse QAT": _sparse,
    "clustered QAT": _clustered,
}


def name(variant: str, seed: int) -> str:
    """Return the experiment's name."""
    words = variant.replace("−", "").replace("%", "").split()
    return "_".join([*words, f"seed{seed}"])


def experiments(seeds: Sequence[int], budget: Budget) -> dict[str, Any]:
    """Return the overlay for the embedded default."""
    own = {
        name(variant, seed): {"seed": seed, "pretrained": _weights(budget.float_epochs, seed), **of(budget, seed)}
        for seed in seeds
        for variant, of in VARIANTS.items()
    }
    return {
        "data": {"name": f"fashion_mnist_validation{VALIDATION}", "validation": VALIDATION},
        "accuracy": {"max_drop": 5.0, "worse_than_ptq": "allow"},
        "device": {"threads": [1], "repeats": 3},
        "experiments": own,
    }
