"""The sections of a compress YAML for searches: PaddleSlim's controllers and the strategies that use them.

Keys and defaults are PaddleSlim's (`controller.py`, `auto_prune_strategy.py`, `light_nas_strategy.py`, 1.x), except
`pruned_params` and the name of the metric. `seed`, `search_steps` and `parallel` are not in PaddleSlim, whose searches
end with the epochs.
"""

from typing import Annotated, Literal

from pydantic import Field

from qatflow.config.recipe.pruning import PruneStrategySection
from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section, Text

RATIO_STEP = 0.01
"""Step between the ratios that tokens of AutoPruneStrategy stand for, as in PaddleSlim."""


class SAControllerSection(Section):
    """A controller, which chooses the next candidate by simulated annealing."""

    class_: Literal["SAController"] = Field(alias="class", description="The controller's class.")
    reduce_rate: float = Field(
        0.85,
        ge=bounds.LEAST_SHARE,
        le=1,
        description="Factor that the temperature is multiplied by after each candidate.",
    )
    init_temperature: float = Field(
        1024.0,
        ge=1 / bounds.ANNEALING,
        le=bounds.ANNEALING,
        description="Temperature at the start. A candidate whose reward is lower by d is accepted with probability "
        "exp(−d / temperature). Rewards are accuracies from 0 to 1: with PaddleSlim's 1024 nearly all of the first "
        "fifty candidates are accepted.",
    )
    max_iter_number: int = Field(
        300,
        ge=1,
        le=bounds.DRAWS,
        description="Largest number of attempts to draw a candidate within the limits: with one token changed, then "
        "two, and so on.",
    )
    seed: int | None = Field(
        None, ge=0, lt=bounds.SEEDS, description="Seed of the draws. null: the seed of the experiment."
    )


class SearchStrategySection(Section):
    """The keys of all strategies that search."""

    controller: Text = Field(description="Name of a controller, which is defined under controllers.")
    search_steps: int = Field(20, ge=1, le=bounds.CANDIDATES, description="Number of candidates of the whole search.")
    parallel: int = Field(
        1,
        ge=1,
        le=bounds.CANDIDATES,
        description="Number of candidates per round, which are drawn from one state and evaluated in parallel. 1: as "
        "in PaddleSlim, where each candidate is drawn after the previous one was evaluated.",
    )
    retrain_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="Number of float training epochs of each candidate before it is evaluated. 0: none.",
    )
    metric_name: Literal["acc_top1", "acc_top5"] = Field(
        "acc_top1", description="Accuracy on the validation pictures that is used as a candidate's reward."
    )
    init_tokens: list[Annotated[int, Field(ge=0, le=bounds.CHANNELS)]] | None = Field(
        None, min_length=1, description="Tokens of the first candidate. null: the default of the search."
    )

    @property
    def rounds(self) -> list[list[int]]:
        """The numbers of the candidates in each round, counted from 1."""
        numbers = list(range(1, self.search_steps + 1))
        return [numbers[first : first + self.parallel] for first in range(0, self.search_steps, self.parallel)]


class AutoPruneStrategySection(SearchStrategySection, PruneStrategySection):
    """A strategy of class AutoPruneStrategy: a search for the number of channels that each layer loses."""

    class_: Literal["AutoPruneStrategy"] = Field(alias="class", description="The strategy's class.")
    start_epoch: int = Field(
        0,
        ge=0,
        le=bounds.EPOCHS,
        description="The best ratios are applied before this epoch, counted from 0. The search runs before training.",
    )
    end_epoch: int = Field(
        10, ge=0, le=bounds.EPOCHS, description="PaddleSlim's key, without effect: search_steps ends the search."
    )
    min_ratio: float = Field(
        0.5, ge=0, lt=1, description="Smallest removed fraction of the multiply-adds, from 0 to 1."
    )
    max_ratio: float = Field(
        0.7, ge=bounds.LEAST_SHARE, lt=1, description="Largest removed fraction of the multiply-adds, from 0 to 1."
    )
    uniform_range: float | None = Field(
        None,
        ge=0.02,
        le=1,
        description="The ratio of each group of layers is below this value, in steps of 0.01. null: below 1.",
    )

    @property
    def token_values(self) -> int:
        """The number of possible ratios of a group of layers: 0, 0.01, … below uniform_range, or below 1."""
        return round((self.uniform_range or 1.0) / RATIO_STEP)


class LightNASStrategySection(SearchStrategySection):
    """A strategy of class LightNASStrategy: a search for the widths and kernel sizes of a network, by training each.

    PaddleSlim's `server_ip`, `server_port`, `is_server`, `max_client_num` and `key` do not exist here: each candidate
    is a Snakemake job, on this machine or on a cluster.
    """

    class_: Literal["LightNASStrategy"] = Field(alias="class", description="The strategy's class.")
    end_epoch: int = Field(
        1000,
        ge=0,
        le=bounds.EPOCHS,
        description="PaddleSlim's key, without effect: search_steps ends the search, before the first epoch.",
    )
    target_flops: int = Field(
        629_145_600,
        ge=0,
        le=bounds.OPERATIONS,
        description="Largest allowed number of multiply-adds of a candidate for one picture. 0: no limit.",
    )
    target_latency: float = Field(
        0.0,
        ge=0,
        le=bounds.OPERATIONS,
        description="Largest allowed latency of a candidate's int8 model, estimated from a table of operators that "
        "are measured on the experiment's first device: instructions per inference in the emulator, ms on a phone or "
        "board. 0: no limit, and nothing is measured.",
    )
    retrain_epoch: int = Field(
        1, ge=1, le=bounds.EPOCHS, description="Number of float training epochs of each candidate, from new weights."
    )
    searched_params: Text = Field(
        ".*",
        description="Regular expression for the beginning of the names of the kernels (`<layer>/kernel`) whose width "
        "or size is searched.",
    )
    widths: list[Annotated[float, Field(ge=bounds.LEAST_WIDTH, le=16)]] = Field(
        [0.5, 0.75, 1.0, 1.25],
        min_length=1,
        description="Possible numbers of channels of a group of tied layers, as factors of the number it has, rounded "
        "to whole numbers. [1.0]: widths are not searched.",
    )
    kernel_sizes: list[Annotated[int, Field(ge=3, le=31)]] = Field(
        [3, 5],
        description="Possible heights and widths of the kernel of a depthwise convolution, odd numbers. []: kernel "
        "sizes are not searched.",
    )
