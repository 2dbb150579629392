"""ILSVRC2012 as its archives unpack, on small pictures: above all, that no label is another's."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from helpers.pictures import noise, save, write
from helpers.places import ROOT, VERIFICATION_DATA
from helpers.section_options import option
from helpers.workflow_helpers import copy_project
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.data.reader import open_manifest, records
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.table import SOURCES

# In the order of ILSVRC2012_ID, which the real ones have at places 1, 2, 3 and 1000: another than the sorted one.
BY_NUMBER = ("n02119789", "n02100735", "n02110185", "n03255030")
SORTED = ("n02100735", "n02110185", "n02119789", "n03255030")
VALIDATION = (1, 4, 2, 3, 3, 1, 2, 4)  # the ground truth
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def train_name(wordnet_id: str, number: int) -> str:
    return f"ILSVRC2012_img_train/{wordnet_id}/{wordnet_id}_{number}.JPEG"


def val_name(number: int) -> str:
    return f"ILSVRC2012_img_val/ILSVRC2012_val_{number:08d}.JPEG"


def meta() -> dict[str, np.ndarray]:
    """The table of the development kit: the classes by number, and behind them what they are kinds of."""
    fields = (
        "ILSVRC2012_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    )
    rows: list[tuple[Any, ...]] = [
        (i, name, f"word {i}, other {i}", "a gloss", 0, [], 0, 1300) for i, name in enumerate(BY_NUMBER, start=1)
    ]
    rows += [(1001, "n02083346", "canine", "a gloss", 2, [1, 2], 1, 0)]
    table = np.empty((len(rows), 1), [(field, object) for field in fields])
    for place, row in enumerate(rows):
        table[place, 0] = tuple(np.array(value, np.float64) if not isinstance(value, str) else value for value in row)
    return {"synsets": table}


def made(root: Path, *, kit: str | None = "ILSVRC2012_devkit_t12/data", per_class: int = 5) -> Path:
    """The original layout: training in folders, validation flat, the kit beside them; each picture is its own."""
    for label, wordnet_id in enumerate(BY_NUMBER):
        for i in range(per_class):
            save(root / train_name(wordnet_id, 10 * label + i), noise(100 * label + i, 40, 50, 3), quality=90)
    for number in range(1, len(VALIDATION) + 1):
        save(root / val_name(number), noise(9000 + number, 50, 40, 3), quality=90)
    if kit is not None:
        write(root / kit / GROUND_TRUTH, "".join(f"{number}\n" for number in VALIDATION).encode())
        savemat(root / kit / "meta.mat", meta())
    return root


def opened(path: Path) -> FileSource:
    return SOURCES["imagenet"](path, path)  # type: ignore[return-value]


def validation_ids(source: FileSource) -> dict[str, str]:
    """The WordNet id that each validation picture got."""
    return {p.key: source.labels[p.label] for p in source.pictures if p.split == "validation"}


EXPECTED = {val_name(i): BY_NUMBER[number - 1] for i, number in enumerate(VALIDATION, start=1)}


@pytest.mark.parametrize("kit", ["ILSVRC2012_devkit_t12/data", "devkit/data", "."])
def test_labels_are_in_the_order_of_the_wordnet_ids_and_numbers_in_that_of_the_kit(tmp_path: Path, kit: str):
    source = opened(made(tmp_path, kit=kit))
    assert source.labels == SORTED
    assert validation_ids(source) == EXPECTED
    for picture in (p for p in source.pictures if p.split == "train"):
        assert picture.key.split("/")[1] == SORTED[picture.label]
    assert [p.split for p in source.pictures].count("train") == 20 and source.rejected == []
    assert "not commercial" in source.licence
    for i, picture in enumerate(source.pictures):
        assert source.encoded(i).content == (tmp_path / picture.key).read_bytes()


def test_the_kits_from_2014_on_say_it_in_map_clsloc(tmp_path: Path):
    made(tmp_path, kit=None)
    write(tmp_path / "devkit" / "data" / GROUND_TRUTH, "".join(f"{n}\n" for n in VALIDATION).encode())
    lines = "".join(f"{name} {number} some_name\n" for number, name in enumerate(BY_NUMBER, start=1))
    write(tmp_path / "devkit" / "data" / "map_clsloc.txt", lines.encode())
    assert validation_ids(opened(tmp_path)) == EXPECTED


def test_wordnet_ids_instead_of_numbers_need_no_kit(tmp_path: Path):
    made(tmp_path, kit=None)
    lines = "".join(f"{BY_NUMBER[number - 1]}\n" for number in VALIDATION)
    write(tmp_path / "imagenet_2012_validation_synset_labels.txt", lines.encode())
    source = opened(tmp_path)
    assert source.labels == SORTED and validation_ids(source) == EXPECTED


def test_validation_pictures_in_folders_by_wordnet_id_need_nothing(tmp_path: Path):
    made(tmp_path, kit=None)
    for number, name in EXPECTED.items():
        target = tmp_path / "ILSVRC2012_img_val" / name / Path(number).name
        target.parent.mkdir(exist_ok=True)
        (tmp_path / number).rename(target)
    found = validation_ids(opened(tmp_path))
    assert {Path(key).name: name for key, name in found.items()} == {Path(k).name: v for k, v in EXPECTED.items()}


def test_a_missing_validation_picture_shifts_no_other(tmp_path: Path):
    made(tmp_path)
    (tmp_path / val_name(3)).unlink()
    save(tmp_path / "ILSVRC2012_img_val" / "more.JPEG", noise(1, 8, 8, 3))
    save(tmp_path / val_name(9), noise(2, 8, 8, 3))
    source = opened(tmp_path)
    assert validation_ids(source) == {key: name for key, name in EXPECTED.items() if key != val_name(3)}
    reason = "no number in its name that the ground truth has"
    assert {r.key: r.reason for r in source.rejected} == {"ILSVRC2012_img_val/more.JPEG": reason, val_name(9): reason}


def test_numbers_without_the_kit_are_never_guessed(tmp_path: Path):
    made(tmp_path)
    (tmp_path / "ILSVRC2012_devkit_t12/data/meta.mat").unlink()
    with pytest.raises(
        UserError, match=r"order of ILSVRC2012_ID, which is not that of the WordNet ids.*meta\.mat or map"
    ):
        opened(tmp_path)
    (tmp_path / "ILSVRC2012_devkit_t12/data" / GROUND_TRUTH).unlink()
    with pytest.raises(UserError, match=r"neither ILSVRC2012_validation_ground_truth\.txt nor imagenet_2012"):
        opened(tmp_path)
    shutil.rmtree(tmp_path / "ILSVRC2012_img_val")
    source = opened(tmp_path)
    assert source.labels == SORTED and len(source.pictures) == 20


@pytest.mark.parametrize("line", ["0", "5", "1001", "n02119789", ""])
def test_a_number_that_no_class_has_stops_with_its_line(tmp_path: Path, line: str):
    made(tmp_path)
    write(tmp_path / "ILSVRC2012_devkit_t12/data" / GROUND_TRUTH, f"1\n2\n{line}\n4\n".encode())
    with pytest.raises(UserError, match=rf"{GROUND_TRUTH}:3: '{line}' is not one of the 4 class numbers"):
        opened(tmp_path)


def test_a_damaged_kit_is_told(tmp_path: Path):
    made(tmp_path)
    table = tmp_path / "ILSVRC2012_devkit_t12/data/meta.mat"
    content = table.read_bytes()
    for damaged in (b"", b"no table", content[:200]):
        table.write_bytes(damaged)
        with pytest.raises(UserError, match=r"meta\.mat is not the meta\.mat of the development kit"):
            opened(tmp_path)
    table.unlink()
    write(table.with_name("map_clsloc.txt"), b"n02119789 1 kit_fox\nkit_fox 2\n")
    with pytest.raises(UserError, match=r"map_clsloc\.txt:2: 'kit_fox' is not a WordNet id"):
        opened(tmp_path)


def test_what_lies_elsewhere_is_listed(tmp_path: Path):
    made(tmp_path)
    save(tmp_path / "ILSVRC2012_img_train" / "loose.JPEG", noise(1, 8, 8, 3))
    save(tmp_path / "ILSVRC2012_img_train" / "dogs" / "1.JPEG", noise(2, 8, 8, 3))
    save(tmp_path / "ILSVRC2012_img_train" / "n99999999" / "1.JPEG", noise(3, 8, 8, 3))
    (tmp_path / "ILSVRC2012_img_train" / "n02119789.tar").write_bytes(b"what it was unpacked from")
    assert {r.key: r.reason for r in opened(tmp_path).rejected} == {
        "ILSVRC2012_img_train/n99999999/1.JPEG": "its class n99999999 is none of the classes",
        "ILSVRC2012_img_train/dogs": "a folder not named by a WordNet id",
        "ILSVRC2012_img_train/loose.JPEG": "lies in no folder named by a WordNet id",
    }


def test_a_folder_that_is_not_unpacked_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="holds no ILSVRC2012_img_train/"):
        opened(tmp_path)
    (tmp_path / "ILSVRC2012_img_train").mkdir()
    (tmp_path / "ILSVRC2012_img_train" / "n02119789.tar").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds 0 folders named by WordNet ids: unpack each n….tar there"):
        opened(tmp_path)


@pytest.mark.workflow
def test_the_overlay_prepares_a_tree_of_the_real_layout(tmp_path: Path):
    root, project = made(tmp_path / "a folder"), copy_project(tmp_path / "project")
    small = f"data: {{path: '{root}', test: 4, calibration: 4, shards: 2}}\ndevice: {{pictures: 4}}\n"
    (project.folder / "mine.yaml").write_text(small)
    configured = ("--cores", "2", "--configfile", "config/imagenet.yaml", "mine.yaml")
    ran = project.run("snakemake", "data", *configured)
    assert ran.returncode == 0, ran.stderr
    manifest = open_manifest(project.folder / "data" / "imagenet")
    assert manifest.labels == SORTED and manifest.converted == 0 and manifest.rejected == 0
    assert {name: split.count for name, split in manifest.splits.items()} == {"train": 20, "validation": 4, "test": 4}
    spec = manifest.preprocessing
    assert (spec.size, spec.resize, spec.resize_short, spec.channels) == (square(224), "crop", 256, 3)
    for split in manifest.splits:
        for record in records(manifest, split):
            assert record.content == (root / record.key).read_bytes()
            expected = record.key.split("/")[1] if split == "train" else EXPECTED[record.key]
            assert manifest.labels[record.label] == expected
    planned = project.run("snakemake", "-n", "--verbose", "all", *configured)
    assert planned.returncode == 0 and "rule make_pretrained" in planned.stdout, planned.stdout + planned.stderr
    assert "rule prepare_data" not in planned.stdout


@pytest.mark.imagenet
def test_genuine_photographs_are_prepared_byte_for_byte(tmp_path: Path):
    sample = VERIFICATION_DATA / "imagenet_sample"
    if not sample.is_dir():
        pytest.skip(
            f"the verification data is not in {VERIFICATION_DATA} (QATFLOW_VERIFICATION_DATA names another folder)"
        )
    lines = (sample / "labels.txt").read_text().splitlines()[:200]
    for name in [line.split()[0] for line in lines]:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).symlink_to(sample / name)
    labels = sorted({int(line.split()[1]) for line in lines})
    train = "".join(f"{line.split()[0]} {labels.index(int(line.split()[1])) % 20}\n" for line in lines)
    (tmp_path / "set" / "train_list.txt").write_text(train)
    script, output = str(ROOT / "workflow/scripts/prepare_data.py"), str(tmp_path / "out")
    program = [sys.executable, script, "--cores", "2", "--output", output]
    spec = {"size": 224, "resize": "crop", "channels": 3, "mean": [127.5], "std": [127.5]}
    section = {"name": "sample", "source": "lists", "path": tmp_path / "set", "preprocessing": spec}
    options = option("data", **section, validation=20, test=20, calibration=20)
    subprocess.run([*program, *options], check=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")})
    manifest = open_manifest(tmp_path / "out")
    kept = [record for split in manifest.splits for record in records(manifest, split)]
    assert len(kept) + manifest.rejected == 200 and manifest.converted < 10
    same = sum(record.content == (sample / record.key).read_bytes() for record in kept)
    assert same == len(kept) - manifest.converted
