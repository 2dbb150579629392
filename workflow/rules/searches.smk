"""What the compress YAMLs say of searches: their rounds and candidates are known before anything runs."""

# The strategies that search, by experiment.
SEARCHES = {
    name: compress.search
    for name, compress in COMPRESS.items()
    if compress.search is not None
}
ROUND = "results/{experiment}/search/round_{round}"
LATENCY_TABLE = "results/{experiment}/search/latency_table.json"


wildcard_constraints:
    round=r"[1-9]\d*",
    candidate=r"[1-9]\d*",


def candidates_of(wildcards):
    """Return the numbers of the candidates of a job's round."""
    rounds = SEARCHES[wildcards.experiment].rounds
    if int(wildcards.round) > len(rounds):
        raise WorkflowError(
            f"{wildcards.experiment} searches in {len(rounds)} rounds, there is no {wildcards.round}"
        )
    return rounds[int(wildcards.round) - 1]


def round_before(wildcards):
    """Return candidates.json of the round before, and what each of its candidates came to: nothing for the first."""
    before = int(wildcards.round) - 1
    if not before:
        return {}
    folder = ROUND.format(experiment=wildcards.experiment, round=before)
    numbers = SEARCHES[wildcards.experiment].rounds[before - 1]
    return {
        "before": f"{folder}/candidates.json",
        "outcomes": [f"{folder}/candidate_{n}/outcome.json" for n in numbers],
    }


def all_rounds(wildcards):
    """Return candidates.json of each round of a search."""
    rounds = SEARCHES[wildcards.experiment].rounds
    folder = ROUND.format(experiment=wildcards.experiment, round="{round}")
    return expand(f"{folder}/candidates.json", round=range(1, len(rounds) + 1))


def all_candidates(wildcards):
    """Return the files of all candidates of a search."""
    return [
        f"{ROUND.format(experiment=wildcards.experiment, round=place)}/candidate_{number}/{file}"
        for place, numbers in enumerate(SEARCHES[wildcards.experiment].rounds, 1)
        for number in numbers
        for file in ("outcome.json", "model", "weights")
    ]


def best_found(wildcards):
    """Return what a job's search has found, where the compress YAML searches."""
    if wildcards.experiment not in SEARCHES:
        return []
    return [f"results/{wildcards.experiment}/search/best/best.json"]


def best_network(wildcards):
    """Return the files of the network that a job's search has found, where it is that which is trained on."""
    if COMPRESS[wildcards.experiment].light_nas is None:
        return []
    folder = f"results/{wildcards.experiment}/search/best"
    return [f"{folder}/model", f"{folder}/weights"]


def latency_table(wildcards):
    """Return the table of latencies, where a job's search limits the latency."""
    strategy = COMPRESS[wildcards.experiment].light_nas
    if strategy is None or not strategy.target_latency:
        return []
    return [LATENCY_TABLE.format(experiment=wildcards.experiment)]


def first_device(wildcards):
    """Return the device that a search's latencies are measured on: the experiment's first."""
    return next(iter(DEVICES[wildcards.experiment].values()))


def first_demo_file(file):
    """Return an input function for a file of the demo that is built for that device."""

    def path(wildcards):
        device = first_device(wildcards)
        folder = LIBRARY.format(target=device.target, toolchain=device.toolchain)
        return f"{folder}/{file}"

    return path
