"""The sections of a compress YAML for sparsity and weight clustering: beyond PaddleSlim 1.x, with tfmot's terms.

Keys and defaults are those of tfmot's `prune_low_magnitude` and `cluster_weights`; what PaddleSlim's other strategies
have too (`start_epoch`, `end_epoch`, a pattern of kernels) is called as there.
"""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.recipe.pruning import Expression
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section

KERNELS = ".*/kernel"
"""Those of convolutions and dense layers: like tfmot, not depthwise ones, whose few weights each matter."""


class SparsityStrategySection(Section):
    """One strategy of class SparsityStrategy: the weights of least magnitude become zero, and stay zero in int8."""

    class_: Literal["SparsityStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="Weights are removed from the first step of this epoch on."
    )
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="By the end of this epoch, inclusive, target_sparsity is reached; zeros stay from then on.",
    )
    target_sparsity: float = Field(
        0.5, ge=bounds.LEAST_SHARE, lt=1, description="Share of each kernel that is zero in the end."
    )
    m_by_n: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=2, max_length=2)] | None = Field(
        None,
        description="[2, 4]: of any 4 consecutive input channels 2 are zero, from the first step of start_epoch on. "
        "null: zeros lie anywhere.",
    )
    schedule: Literal["constant", "polynomial"] = Field(
        "constant",
        description="constant: target_sparsity at once, the weights chosen anew up to end_epoch; polynomial: from "
        "initial_sparsity to it by a cubic, fast first (Zhu & Gupta 2017, arXiv:1710.01878).",
    )
    initial_sparsity: float = Field(0.0, ge=0, lt=1, description="Where the schedule polynomial begins.")
    frequency: int = Field(
        100,
        ge=1,
        le=bounds.STEPS,
        description="Steps from one choice of weights to the next; a tenth of the steps there are, if fewer.",
    )
    pruned_params: Expression = Field(
        KERNELS, description="Regular expression that the beginning of a kernel's name (`<layer>/kernel`) matches."
    )


class ClusteringStrategySection(Section):
    """One strategy of class ClusteringStrategy: each kernel has few different values, in int8 too."""

    class_: Literal["ClusteringStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0, ge=0, le=bounds.EPOCHS, description="Kernels are clustered from the first step of this epoch on."
    )
    end_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="Up to the end of this epoch, inclusive, weights may go to another cluster; the clusters' values "
        "are trained to the last.",
    )
    number_of_clusters: int = Field(
        16, ge=3, le=255, description="Different values of a kernel at most; one of them is zero."
    )
    initialization: Literal["linear", "density_based", "kmeans_plus_plus"] = Field(
        "kmeans_plus_plus", description="How the first values are found: tfmot's CentroidInitialization."
    )
    cluster_gradient_aggregation: Literal["sum", "avg"] = Field(
        "avg",
        description="Whether a cluster's value follows the sum of its weights' gradients (tfmot's default, for "
        "optimisers that divide by a gradient's size) or their average.",
    )
    clustered_params: Expression = Field(
        KERNELS, description="Regular expression that the beginning of a kernel's name (`<layer>/kernel`) matches."
    )
