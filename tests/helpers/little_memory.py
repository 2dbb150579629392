"""A training whose process may have little more memory than it has before its first step: a program.

python little_memory.py MANIFEST FOLDER BATCH MIB
"""

import resource
from collections.abc import Sequence
from pathlib import Path

from qatflow.base.cli import entry


def main(argv: Sequence[str]) -> None:
    manifest, folder, batch, more = argv
    from qatflow.training.runtime import start

    start(seed=3, threads=1)
    from helpers.small_networks import network
    from qatflow.data.manifest import read_manifest
    from qatflow.training.loop import Trainer
    from qatflow.training.settings import TrainingSettings

    settings = TrainingSettings(
        epochs=1, batch_size=int(batch), learning_rate=0.005, warmup_epochs=0.0, momentum=0.9, weight_decay=1e-4,
        label_smoothing=0.1, augmentation="none", freeze_batch_norm=False, seed=3, section="pretrained.train",
    )  # fmt: skip
    trainer = Trainer(network("small ResNet"), read_manifest(Path(manifest)), settings, Path(folder))
    trainer.evaluate()  # so that what does not belong to a step is there
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + int(more) * 2**20,) * 2)
    trainer.run()


if __name__ == "__main__":
    entry(main)
