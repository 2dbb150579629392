"""The searches before training: their rounds and candidates are known before anything runs."""

from dataclasses import dataclass

from snakemake.exceptions import WorkflowError

from qatflow.config.recipe.search import SearchStrategySection
from qatflow.workflow.plan import Plan, Wildcards

ROUND = "results/{experiment}/search/round_{round}"
CANDIDATE = ROUND + "/candidate_{candidate}"
LATENCY_TABLE = "results/{experiment}/search/latency_table.json"


@dataclass(frozen=True)
class Searches:
    """The searches of the experiments.

    Attributes:
        plan: the run's.
    """

    plan: Plan

    def strategy_of(self, wildcards: Wildcards) -> SearchStrategySection:
        """Return the strategy that a job searches for.

        Raises:
            WorkflowError: the experiment does not search.
        """
        strategy = self.plan.recipe_of(wildcards).search
        if strategy is None:
            raise WorkflowError(f"{wildcards['experiment']} does not search")
        return strategy

    def candidates_of(self, wildcards: Wildcards) -> list[int]:
        """Return the numbers of the candidates of a job's round.

        Raises:
            WorkflowError: the search has no such round.
        """
        return self._candidates(wildcards, int(wildcards["round"]))

    def round_before(self, wildcards: Wildcards) -> dict[str, str | list[str]]:
        """Return candidates.json of the round before and the outcomes of its candidates; nothing for the first."""
        before = int(wildcards["round"]) - 1
        if not before:
            return {}
        folder = ROUND.format(experiment=wildcards["experiment"], round=before)
        numbers = self._candidates(wildcards, before)
        return {
            "before": f"{folder}/candidates.json",
            "outcomes": [f"{folder}/candidate_{number}/outcome.json" for number in numbers],
        }

    def all_rounds(self, wildcards: Wildcards) -> list[str]:
        """Return candidates.json of each round of a search."""
        count = len(self.strategy_of(wildcards).rounds)
        folders = [ROUND.format(experiment=wildcards["experiment"], round=number) for number in range(1, count + 1)]
        return [f"{folder}/candidates.json" for folder in folders]

    def all_candidates(self, wildcards: Wildcards) -> list[str]:
        """Return the files of all candidates of a search."""
        return [
            f"{CANDIDATE.format(experiment=wildcards['experiment'], round=place, candidate=number)}/{file}"
            for place, numbers in enumerate(self.strategy_of(wildcards).rounds, 1)
            for number in numbers
            for file in ("outcome.json", "model", "weights")
        ]

    def best(self, wildcards: Wildcards) -> list[str]:
        """Return the file with a search's best candidate, where the recipe searches."""
        if self.plan.recipe_of(wildcards).search is None:
            return []
        return [f"results/{wildcards['experiment']}/search/best/best.json"]

    def best_network(self, wildcards: Wildcards) -> list[str]:
        """Return the files of the best network, where training goes on from that."""
        if self.plan.recipe_of(wildcards).light_nas is None:
            return []
        folder = f"results/{wildcards['experiment']}/search/best"
        return [f"{folder}/model", f"{folder}/weights"]

    def widths(self, wildcards: Wildcards) -> list[str]:
        """Return the file with the chosen widths, where the recipe has them chosen."""
        if self.plan.recipe_of(wildcards).quantization.auto_bits is None:
            return []
        return [f"results/{wildcards['experiment']}/widths.json"]

    def latency_table(self, wildcards: Wildcards) -> list[str]:
        """Return the table of latencies, where a job's search or its choice of widths limits the latency."""
        if not self.plan.recipe_of(wildcards).limits_latency:
            return []
        return [LATENCY_TABLE.format(experiment=wildcards["experiment"])]

    def _candidates(self, wildcards: Wildcards, number: int) -> list[int]:
        rounds = self.strategy_of(wildcards).rounds
        if number > len(rounds):
            raise WorkflowError(
                f"{wildcards['experiment']} searches in {len(rounds)} rounds, there is no {wildcards['round']}"
            )
        return rounds[number - 1]
