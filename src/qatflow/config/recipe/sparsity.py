"""The sections of a compress YAML for sparsity and weight clustering, which PaddleSlim 1.x does not have.

Keys and defaults are those of tfmot's `prune_low_magnitude` and `cluster_weights`. Keys that PaddleSlim's strategies
also have (`start_epoch`, `end_epoch`, a pattern of kernels) are named as there.
"""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.recipe.pruning import Expression
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section

KERNELS = ".*/kernel"
"""The kernels of convolutions and dense layers. As in tfmot, depthwise kernels, with few weights, are not included."""


class SparsityStrategySection(Section):
    """A strategy of class SparsityStrategy: the weights of smallest magnitude become zero, and stay zero in int8."""

    class_: Literal["SparsityStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="First epoch in which weights become zero, counted from 0."
    )
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="Epoch, inclusive, by whose end target_sparsity is reached. The zeros do not change after it.",
    )
    target_sparsity: float = Field(
        0.5, ge=bounds.LEAST_SHARE, lt=1, description="Fraction of each kernel that is zero at the end, from 0 to 1."
    )
    m_by_n: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="[m, n]: m weights of every n consecutive input channels are zero, from the first step of "
        "start_epoch on; [2, 4] is 2:4 sparsity. null: zeros may be anywhere.",
    )
    schedule: Literal["constant", "polynomial"] = Field(
        "constant",
        description="How sparsity grows. constant: target_sparsity from the start, with the zeros chosen again and "
        "again up to end_epoch; polynomial: from initial_sparsity to target_sparsity along a cubic curve, first fast, "
        "then slowly (Zhu & Gupta 2017, arXiv:1710.01878).",
    )
    initial_sparsity: float = Field(0.0, ge=0, lt=1, description="Sparsity that the polynomial schedule starts with.")
    frequency: int = Field(
        100,
        ge=1,
        le=bounds.STEPS,
        description="Number of steps between two choices of the zeros, or a tenth of all steps if that is less.",
    )
    pruned_params: Expression = Field(
        KERNELS, description="Regular expression for the beginning of the names of the kernels (`<layer>/kernel`)."
    )


class ClusteringStrategySection(Section):
    """A strategy of class ClusteringStrategy: each kernel has only a few different values, also in int8."""

    class_: Literal["ClusteringStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="First epoch in which kernels are clustered, counted from 0."
    )
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="Last epoch in which weights may change to another cluster. The values of the clusters are "
        "trained up to the last epoch of the training.",
    )
    number_of_clusters: int = Field(
        16, ge=3, le=255, description="Largest number of different values in a kernel; one of them is zero."
    )
    initialization: Literal["linear", "density_based", "kmeans_plus_plus"] = Field(
        "kmeans_plus_plus", description="How the first values are chosen, as tfmot's CentroidInitialization."
    )
    cluster_gradient_aggregation: Literal["sum", "avg"] = Field(
        "avg",
        description="Gradient of a cluster's value. sum: the sum of the gradients of its weights, tfmot's default, "
        "for optimisers that divide by the size of the gradient; avg: their average.",
    )
    clustered_params: Expression = Field(
        KERNELS, description="Regular expression for the beginning of the names of the kernels (`<layer>/kernel`)."
    )
