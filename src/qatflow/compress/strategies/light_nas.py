"""LightNASStrategy: training goes on with the network that a search has found best, as it was evaluated."""

from qatflow.training.loop import Trainer
from qatflow.training.strategy import Strategy


class LightNASStrategy(Strategy):
    """PaddleSlim's strategy of the name; the search is over when training begins (`qatflow.search`).

    The network takes the place of the float model before there is a trainer (`compress/run.py`), so that whatever the
    other strategies look at is that of the network; nothing is left to do here but to say so.
    """

    def on_compression_begin(self, trainer: Trainer) -> None:
        """Say what is trained."""
        if trainer.epoch == trainer.step == 0:
            print("LightNASStrategy: training goes on with the best network of the search", flush=True)
