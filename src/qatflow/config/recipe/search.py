"""The sections of a compress YAML for searches: PaddleSlim's controllers, and the strategies that search by them.

Keys and defaults are PaddleSlim's (`controller.py`, `auto_prune_strategy.py`, `light_nas_strategy.py`, 1.x), but for
`pruned_params` and the name of the metric. `seed`, `search_steps` and `parallel` are beyond PaddleSlim, whose searches
end with the epochs.
"""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.recipe.pruning import PruneStrategySection
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section, Text

RATIO_STEP = 0.01
"""Of the ratio that a token of AutoPruneStrategy stands for, as in PaddleSlim."""


class SAControllerSection(Section):
    """A controller: simulated annealing chooses which candidate is tried next."""

    class_: Literal["SAController"] = Field(alias="class", description="The controller's class.")
    reduce_rate: float = Field(
        0.85, ge=bounds.LEAST_SHARE, le=1, description="Factor of the temperature from one candidate to the next."
    )
    init_temperature: float = Field(
        1024.0,
        ge=1 / bounds.ANNEALING,
        le=bounds.ANNEALING,
        description="A candidate whose reward is less by d is gone on from with probability exp(−d / temperature). "
        "Rewards are accuracies, shares of 1: PaddleSlim's 1024 lets through nearly all of the first fifty.",
    )
    max_iter_number: int = Field(
        300,
        ge=1,
        le=bounds.DRAWS,
        description="Draws of a candidate that keeps the limits, by one token changed, then by two, …",
    )
    seed: int | None = Field(
        None, ge=0, lt=bounds.SEEDS, description="Seed of the draws; null: that of the experiment."
    )


class SearchStrategySection(Section):
    """What all strategies that search have."""

    controller: Text = Field(description="Name of a controller under controllers.")
    search_steps: int = Field(20, ge=1, le=bounds.CANDIDATES, description="Candidates that are tried in all.")
    parallel: int = Field(
        1,
        ge=1,
        le=bounds.CANDIDATES,
        description="Candidates of a round: drawn from one state, and evaluated side by side. 1: PaddleSlim's "
        "annealing, each drawn when the one before is known.",
    )
    retrain_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="Epochs that each candidate is trained in float before it is evaluated; 0: only evaluated.",
    )
    metric_name: Literal["acc_top1", "acc_top5"] = Field(
        "acc_top1", description="Accuracy on the validation pictures that is a candidate's reward."
    )
    init_tokens: list[Annotated[int, Field(ge=0, le=bounds.CHANNELS)]] | None = Field(
        None, min_length=1, description="Tokens of the first candidate; null: the search's own."
    )

    @property
    def rounds(self) -> list[list[int]]:
        """The numbers of the candidates, counted from 1, round by round."""
        numbers = list(range(1, self.search_steps + 1))
        return [numbers[first : first + self.parallel] for first in range(0, self.search_steps, self.parallel)]


class AutoPruneStrategySection(SearchStrategySection, PruneStrategySection):
    """One strategy of class AutoPruneStrategy: which layers lose how many channels is searched, by trying."""

    class_: Literal["AutoPruneStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="The best ratios are applied before this epoch, counted from 0; the search is over by then.",
    )
    end_epoch: int = Field(
        10, ge=0, le=bounds.EPOCHS, description="PaddleSlim's key, without effect: the search ends by search_steps."
    )
    min_ratio: float = Field(0.5, ge=0, lt=1, description="Least share of the multiply-adds that goes, of 1.")
    max_ratio: float = Field(
        0.7, ge=bounds.LEAST_SHARE, lt=1, description="Largest share of the multiply-adds that goes, of 1."
    )
    uniform_range: float | None = Field(
        None,
        ge=0.02,
        le=1,
        description="The ratio of each group of layers is below this, in steps of 0.01; null: below 1.",
    )

    @property
    def token_values(self) -> int:
        """How many ratios a group of layers may have: 0, 0.01, … below uniform_range, or below 1."""
        return round((self.uniform_range or 1.0) / RATIO_STEP)


class LightNASStrategySection(SearchStrategySection):
    """One strategy of class LightNASStrategy: networks of other widths and windows are searched, by training them.

    PaddleSlim's `server_ip`, `server_port`, `is_server`, `max_client_num` and `key` have no place: each candidate is a
    job of Snakemake's, on this machine or a cluster.
    """

    class_: Literal["LightNASStrategy"] = Field(alias="class", description="The strategy's class.")
    end_epoch: int = Field(
        1000,
        ge=0,
        le=bounds.EPOCHS,
        description="PaddleSlim's key, without effect: the search ends by search_steps, before the first epoch.",
    )
    target_flops: int = Field(
        629_145_600,
        ge=0,
        le=bounds.OPERATIONS,
        description="Multiply-adds of one picture that a candidate may have, at most; 0: any number.",
    )
    target_latency: float = Field(
        0.0,
        ge=0,
        le=bounds.OPERATIONS,
        description="Latency that a candidate's int8 model may have, at most, by a table of operators measured on the "
        "experiment's first device: instructions of one inference in the emulator, ms with adb; 0: any, and nothing "
        "is measured.",
    )
    retrain_epoch: int = Field(
        1, ge=1, le=bounds.EPOCHS, description="Epochs that each candidate is trained in float, from new weights."
    )
    searched_params: Text = Field(
        ".*",
        description="Regular expression that the beginning of a kernel's name, <layer>/kernel, matches where its "
        "layer's width or window is searched.",
    )
    widths: list[Annotated[float, Field(ge=bounds.LEAST_WIDTH, le=16)]] = Field(
        [0.5, 0.75, 1.0, 1.25],
        min_length=1,
        description="Numbers of channels that a group of tied layers may have, as multiples of those it has, to the "
        "nearest whole number. [1.0]: widths stay.",
    )
    kernel_sizes: list[Annotated[int, Field(ge=3, le=31)]] = Field(
        [3, 5],
        description="Height and width that the kernel of a depthwise convolution may have, odd. []: they stay.",
    )
