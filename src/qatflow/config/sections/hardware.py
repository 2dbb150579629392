"""The section of what TensorFlow computes on."""

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class HardwareSection(Section):
    """What TensorFlow computes on: GPUs where there are any, else the CPU."""

    gpus: int | None = Field(
        None,
        ge=0,
        le=64,
        description="GPUs of one machine that a training uses together, and asks a cluster for; where fewer are there "
        "it ends. null: those that are there, as CUDA_VISIBLE_DEVICES says, and a cluster is asked for none; 0: the "
        "CPU. A kept training goes on with any number.",
    )
    memory_limit: int | None = Field(
        None,
        ge=256,
        le=bounds.GPU_MIB,
        description="Most memory of each GPU that TensorFlow takes, in MiB. null: what it needs, when it needs it.",
    )
