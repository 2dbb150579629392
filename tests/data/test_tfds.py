"""TensorFlow Datasets by name: a small data set built here by its own builder, in the package's own files."""

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.places import ROOT
from helpers.section_options import option
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.config.checks.config import check_config
from qatflow.config.sections.config import Config
from qatflow.data.picture import decode
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import open_manifest, records
from qatflow.data.sources.table import open_source

INSTALLED = importlib.util.find_spec("tensorflow_datasets") is not None
needed = pytest.mark.skipif(not INSTALLED, reason="tensorflow-datasets is not installed (it is no dependency)")
# Builds tiny:1.0.0 with JPEG files' own bytes, and others that are no classes of pictures.
BUILDER = """
import io, sys
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

def jpeg(seed):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)).save(buffer, "JPEG", quality=80)
    buffer.seek(0)
    return buffer

class Tiny(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    def _info(self):
        return self._about(tfds.features.Image(encoding_format="jpeg"), tfds.features.ClassLabel(names=["cat", "ant"]))
    def _about(self, image, label):
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))
    def _split_generators(self, manager):
        return {"train": self._pictures(0, 12), "test": self._pictures(100, 6), "extra": self._pictures(200, 2)}
    def _generate_examples(self): ...
    def _pictures(self, first, count):
        for i in range(first, first + count):
            yield i, {"image": jpeg(i), "label": i % 2}

class Numbers(Tiny):
    def _info(self):
        return self._about(tfds.features.Tensor(shape=(), dtype=np.int64), tfds.features.ClassLabel(num_classes=2))
    def _pictures(self, first, count):
        for i in range(first, first + count):
            yield i, {"image": i, "label": i % 2}

for builder in (Tiny, Numbers):
    builder(data_dir=sys.argv[1]).download_and_prepare()
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    (folder / "build.py").write_text(BUILDER)
    subprocess.run([sys.executable, folder / "build.py", folder / "data"], check=True, capture_output=True)
    return folder / "data"


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11, 3), np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


@needed
def test_records_have_the_files_own_bytes_and_the_labels_of_the_data_set(data_dir: Path, tmp_path: Path):
    source = open_source("tfds:tiny:1.0.0", data_dir, tmp_path)
    assert source.labels == ("cat", "ant") and source.origin == "TensorFlow Datasets, tiny/1.0.0"
    assert [p.split for p in source.pictures] == ["train"] * 12 + ["test"] * 6
    expected = {jpeg(seed): seed % 2 for seed in (*range(12), *range(100, 106))}
    assert {source.encoded(i).content: picture.label for i, picture in enumerate(source.pictures)} == expected
    assert [(r.key, r.reason) for r in source.rejected] == [
        ("extra/", "a split that is none of train, validation, test")
    ]


@needed
def test_it_is_prepared_without_tensorflow_in_this_process(data_dir: Path, tmp_path: Path):
    spec = {"size": 32, "resize": "crop", "channels": 3, "mean": [127.5], "std": [127.5]}
    program = [sys.executable, "-X", "importtime", str(ROOT / "workflow/scripts/prepare_data.py"), "--cores", "2"]
    section = {"name": "tiny", "source": "tfds:tiny", "path": data_dir, "preprocessing": spec}
    options = option("data", **section, validation=4, calibration=4, max_rejected=0.1)
    more = ["--output", str(tmp_path / "tiny")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run([*program, *options, *more], capture_output=True, text=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert not [line for line in ran.stderr.splitlines() if line.rstrip().endswith(" tensorflow")]
    manifest = open_manifest(tmp_path / "tiny")
    assert {name: split.count for name, split in manifest.splits.items()} == {"train": 8, "validation": 4, "test": 6}
    pictures = {jpeg(seed) for seed in (*range(12), *range(100, 106))}
    assert {record.content for split in manifest.splits for record in records(manifest, split)} == pictures
    assert decode(next(records(manifest, "test")).content, 3).shape == (9, 11, 3)


@needed
@pytest.mark.parametrize(
    ("name", "message"), [("numbers", "must be a picture and one class"), ("no_such_set", "no_such_set")]
)
def test_what_cannot_be_used_is_told(data_dir: Path, tmp_path: Path, name: str, message: str):
    with pytest.raises(UserError, match=f"tfds:{name}: .*{message}"):
        open_source(f"tfds:{name}", data_dir, tmp_path)


@pytest.mark.skipif(INSTALLED, reason="tensorflow-datasets is installed")
def test_without_it_the_way_out_is_told_before_anything_starts(tmp_path: Path):
    expected = "needs TensorFlow Datasets, which is not installed: `.venv/bin/pip install tensorflow-datasets`"
    config = Config.model_validate({"data": {"source": "tfds:cifar10"}})
    (problem,) = check_config(config)
    assert expected in problem.message
    spec = Preprocessing(square(32), "stretch", 3, (0.0,), (1.0,))
    settings = Settings("cifar10", "tfds:cifar10", None, 5, 5, 5, 1, 0.01, 1, spec)
    with pytest.raises(UserError, match="tfds:cifar10 needs TensorFlow Datasets, which is not installed"):
        prepare(settings, tmp_path / "out")
