"""What every device must do, whatever its kind: run by the tests of each of them."""

from pathlib import Path

import numpy as np
import pytest

from helpers.tiny_model import write_model
from qatflow.device.build.bundle import open_bundle
from qatflow.device.interface import Device, DeviceError
from qatflow.device.run.cut import expose_integers
from qatflow.device.run.demo import Demo
from qatflow.device.run.parity import compare
from qatflow.tflite.run import Model


def check_files(device: Device, folder: Path) -> None:
    """A file comes back as it went, also from a sub-folder and under a name with a blank."""
    sent = np.random.default_rng(1).bytes(300_000)
    (folder / "sent").write_bytes(sent)
    for name in ("plain", "sub folder/a name"):
        device.push(folder / "sent", name)
        device.pull(name, folder / "received")
        assert (folder / "received").read_bytes() == sent
        (folder / "received").unlink()
    with pytest.raises(DeviceError, match="nowhere"):
        device.pull("nowhere", folder / "received")
    assert not (folder / "received").exists()


def check_demo(device: Device, bundle_folder: Path, folder: Path) -> None:
    """The demo runs there, agrees with the host, and its exit status and message come back."""
    model = write_model(folder / "model")
    demo = Demo(device, open_bundle(bundle_folder))
    demo.push_model({"model.tflite": model / "model.tflite"}, "model")
    text, timing = demo.all_ones("model", threads=1, warmup=1, repeats=5)
    ones = Model(model / "model.tflite").outputs(np.ones((1, 8, 8, 1), np.float32))[0]
    assert text.splitlines() == ["Output dim: 10", *(f"Output[{i}]: {value:f}" for i, value in enumerate(ones))]
    assert timing.runs == 5 and timing.warmup == 1 and timing.median_ms > 0
    assert timing.emulated == demo.description.emulated

    inputs = np.random.default_rng(5).uniform(-1, 1, (20, 8, 8, 1)).astype(np.float32)
    expose_integers(model / "model.tflite", folder / "integers.tflite")
    demo.push_model({"model.tflite": folder / "integers.tflite"}, "integers")
    for name, path, tolerance in (
        ("model", model / "model.tflite", 1e-6),
        ("integers", folder / "integers.tflite", 0),
    ):
        host = Model(path)
        found = demo.outputs(name, inputs, host.output, threads=2)
        assert len(np.unique(found, axis=0)) == 20
        compare(host.outputs(inputs), found, tolerance)

    with pytest.raises(DeviceError, match=r"ended with status 3: .*no model at 'elsewhere/model\.tflite'"):
        demo.all_ones("elsewhere", threads=1, warmup=0, repeats=1)
