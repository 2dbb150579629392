"""This machine's processor, as far as the bytes of a training depend on it."""

import os
import re
from pathlib import Path
from typing import Any

from qatflow.base import host

CPUINFO = Path("/proc/cpuinfo")
FEATURES = (
    *("sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
"""Those for which TensorFlow, oneDNN, NumPy and LiteRT have kernels of their own, as Linux names them."""
LIMITS = (
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_CORETYPE"),
    *("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES"),
)
"""Environment variables that make these libraries take other kernels."""


def processor() -> dict[str, Any]:
    """Return the processor's architecture, name and features, and the limits that the environment sets.

    `machine` is what `uname -m` prints on Linux. `model` is the processor's name; on ARM, where Linux knows none, the
    numbers of its maker and part; None where /proc/cpuinfo does not say. `features` is empty there.
    """
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    # of the first core: Linux lists what all of them have in common there, but for the names of big and little cores
    first = dict(re.findall(r"^([^\t:\n]+?)\s*: *(.*)$", text.split("\n\n")[0], re.MULTILINE))
    known = (first.get("flags") or first.get("Features") or "").split()
    model = first.get("model name")
    if model is None and "CPU part" in first:
        model = f"implementer {first.get('CPU implementer', '?')}, part {first['CPU part']}"
    return {
        "machine": host.machine(),
        "model": model,
        "features": [name for name in FEATURES if name in known],
        "limits": {name: os.environ[name] for name in LIMITS if name in os.environ},
    }
