"""`qatflow init`: the file that it writes for pictures and models passes the configuration's checks."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from helpers.places import ROOT
from qatflow.base.errors import UserError
from qatflow.commands.init import main
from qatflow.config.load import load_experiments


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 12 grey pictures of 40 × 52 pixels, and a file that is none."""
    folder = tmp_path_factory.mktemp("pictures") / "my flowers"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 52), dtype=np.uint8)
    for name in ("daisy", "rose", "tulip"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    (folder / "rose/notes.txt").write_text("no picture")
    return folder


def initial(tmp_path: Path, *arguments: str) -> tuple[str, dict]:
    target = tmp_path / "my first.yaml"
    main([str(target), *arguments])
    text = target.read_text(encoding="utf-8")
    load_experiments([ROOT / "config/config.yaml", target])
    return text, yaml.safe_load(text)


def test_pictures_are_counted_and_measured(flowers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    text, values = initial(tmp_path, "--pictures", str(flowers))
    data = values["data"]
    assert (data["name"], data["path"], data["source"]) == ("my_flowers", str(flowers), "folder")
    assert data["validation"] + data["test"] + data["calibration"] <= 37
    assert data["preprocessing"] == {"size": 32, "channels": 1, "resize": "crop"}
    assert "# 3 classes: daisy, rose, tulip" in text and "notes.txt" in text
    assert values["experiment"] == "my_first"
    assert "3 classes; pictures: 37, grey, shorter sides about 40 pixels" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"my first\.yaml exists: remove it, or give another name"):
        initial(tmp_path, "--pictures", str(flowers))


def test_coloured_pictures_that_are_few_get_official_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in "ab":
        for part in ("train", "val", "test"):
            (tmp_path / "p" / part / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (200, 200)).save(tmp_path / "p" / part / name / f"{number}.jpg")
    text, values = initial(tmp_path, "--pictures", str(tmp_path / "p"))
    assert values["pretrained"]["source"] == "keras-applications" and values["pretrained"]["fine_tune"]
    assert "8 in train, 8 in validation, 8 in test" in text and "validation" not in values["data"]


@pytest.mark.tensorflow
def test_of_a_model_its_input_classes_and_float_layers_are_seen(flowers, tmp_path, monkeypatch):
    import tf_keras as keras

    monkeypatch.chdir(ROOT)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((24, 20, 1)), layers.Conv2D(4, 3), layers.LayerNormalization(name="norm"),
            layers.GlobalAveragePooling2D(), layers.Dense(3),
        ]
    )  # fmt: skip
    model.save(tmp_path / "own.keras")
    text, values = initial(tmp_path, "--model", str(tmp_path / "own.keras"), "--pictures", str(flowers))
    assert values["data"]["preprocessing"]["size"] == [24, 20] and values["data"]["preprocessing"]["channels"] == 1
    assert values["model"] == {"file": str(tmp_path / "own.keras"), "keep_in_float": "auto"}
    assert "#   norm (LayerNorm)" in text and "# 4 layers: " in text
    assert values["pretrained"] == {"name": "own", "source": "model", "fine_tune": False}
    (tmp_path / "my first.yaml").unlink()
    _, alone = initial(tmp_path, "--model", str(tmp_path / "own.keras"))
    assert alone["pretrained"]["fine_tune"] is True


def test_what_cannot_be_used_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    for arguments, said in {
        (): "nothing to look at",
        ("--pictures", str(tmp_path / "none")): "is not a folder",
        ("--pictures", str(tmp_path / "empty")): "no class folders",
        ("--model", str(tmp_path / "none.h5")): "does not exist",
        ("--model", str(tmp_path / "bad.onnx")): "bad.onnx",
    }.items():
        with pytest.raises(UserError, match=said):
            initial(tmp_path, *arguments)
        assert not (tmp_path / "my first.yaml").exists()
