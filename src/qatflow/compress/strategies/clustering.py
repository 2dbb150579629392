"""ClusteringStrategy: from `start_epoch` on each kernel has few different values, as its int8 integers will have."""

from collections.abc import Callable

from qatflow.compress.quantizers.clustered import Clusters
from qatflow.compress.quantizers.quantised_model import Quantisers
from qatflow.data.answers import measure_of
from qatflow.graph.graph import Graph
from qatflow.graph.kernels import trained_kernels
from qatflow.training.strategy import Strategy, TrainingRun

CLUSTERED = "clustered"
"""The phase in which kernels are clustered, and not yet quantised."""


class ClusteringStrategy(Strategy):
    """Not in PaddleSlim. tfmot finds the clusters and trains them; quantisation, which comes last, keeps them."""

    def __init__(self, quantisers: Quantisers, graph: Graph, prepared: Callable[[Graph], Graph] | None = None):
        """Set up the strategy.

        Args:
            quantisers: the hooks with which the trainer's model was built; they have clusters.
            graph: float graph that training begins with.
            prepared: changes the float graph before clusters are found; None: nothing.

        Raises:
            UserError: no kernel of a layer that is trained matches the pattern.
        """
        assert quantisers.clusters is not None
        self.clusters: Clusters = quantisers.clusters
        self.section = self.clusters.section
        self._quantisers = quantisers
        self._prepared = prepared
        trained_kernels(graph, self.section.clustered_params, "clustered_params", without="clustered")

    def on_compression_begin(self, trainer: TrainingRun) -> None:
        """Cluster at once where the restored state is past the first clustered step."""
        if (trainer.epoch, trainer.step) > (self.section.start_epoch, 0):
            self._enter(trainer, fixed=trainer.epoch > self.section.end_epoch)

    def on_epoch_begin(self, trainer: TrainingRun) -> None:
        """Find the clusters and begin at `start_epoch`."""
        if (trainer.epoch, trainer.step) != (self.section.start_epoch, 0):
            return
        if self._prepared is not None:
            trainer.rebuild(self._prepared(trainer.float_graph()))
        _, top1, _ = trainer.evaluate()
        self._quantisers.begin_clusters(trainer.model)
        self._enter(trainer, fixed=False)
        _, clustered, _ = trainer.evaluate()
        print(
            f"epoch {trainer.epoch}: validation {measure_of(trainer.data).name} {top1:.4f} before clustering, "
            f"{clustered:.4f} with {self.section.number_of_clusters} values per kernel",
            flush=True,
        )

    def on_epoch_end(self, trainer: TrainingRun) -> None:
        """At `end_epoch`, fix which weight is in which cluster."""
        if trainer.epoch == self.section.end_epoch:
            self._quantisers.fix_clusters(trainer.model)
            self.clusters.mode = "fixed"
            trainer.retrace()
            print(f"epoch {trainer.epoch}: from here on no weight moves to another cluster", flush=True)

    def _enter(self, trainer: TrainingRun, fixed: bool) -> None:
        self.clusters.mode = "fixed" if fixed else "nearest"
        trainer.enter(CLUSTERED)
