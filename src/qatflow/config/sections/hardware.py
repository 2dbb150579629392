"""The section of the hardware that TensorFlow uses."""

from pydantic import Field

from qatflow.config.sections import bounds
from qatflow.config.sections.base import Section


class HardwareSection(Section):
    """The hardware that TensorFlow uses: GPUs if there are any, otherwise the CPU."""

    gpus: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Number of GPUs on one machine that a training uses together, and requests from a cluster. If "
        "there are fewer, it fails. null: all GPUs that CUDA_VISIBLE_DEVICES shows, and none are requested from a "
        "cluster; 0: the CPU. A training that was interrupted can continue with another number.",
    )
    memory_limit: int | None = Field(
        None,
        ge=256,
        le=bounds.GPU_MIB,
        description="Largest amount of memory that TensorFlow takes on each GPU, in MiB. null: no limit; it takes "
        "memory as it needs it.",
    )
