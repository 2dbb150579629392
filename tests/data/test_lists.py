"""Lists of pictures: PaddleSlim's train_list.txt and val_list.txt, and CSV."""

import csv
from pathlib import Path

import pytest

from helpers.pictures import noise, save
from qatflow.base.errors import UserError
from qatflow.base.picture_size import square
from qatflow.config.checks.config import check_config
from qatflow.config.sections.config import Config
from qatflow.data.picture import RejectedError
from qatflow.data.preparation.prepare import Settings, prepare
from qatflow.data.preprocess import Preprocessing
from qatflow.data.reader import open_manifest, records
from qatflow.data.sources.file_source import FileSource
from qatflow.data.sources.source_files import named_files
from qatflow.data.sources.table import SOURCES


def pictures(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        save(root / name, noise(number, 8, 9, 3))


def write_lists(root: Path, **lists: str | bytes) -> None:
    root.mkdir(exist_ok=True)
    for name, text in lists.items():
        (root / f"{name}_list.txt").write_bytes(text if isinstance(text, bytes) else text.encode())


def opened(kind: str, path: Path) -> FileSource:
    return SOURCES[kind](path, path)  # type: ignore[return-value]


def listed(source: FileSource) -> list[tuple[str, int, str]]:
    return [(p.key, p.label, p.split) for p in source.pictures]


def reasons(source: FileSource) -> dict[str, str]:
    return {r.key: r.reason for r in source.rejected}


def test_lists_as_paddleslims_reader_has_them(tmp_path: Path):
    pictures(tmp_path, "train/n01/a 1.JPEG", "train/n02/b.jpeg", "val/c.png")
    write_lists(tmp_path, train="train/n01/a 1.JPEG 0\ntrain/n02/b.jpeg\t1\r\n", val="\nval/c.png  1")
    source = opened("lists", tmp_path)
    assert listed(source) == [
        ("train/n01/a 1.JPEG", 0, "train"),
        ("train/n02/b.jpeg", 1, "train"),
        ("val/c.png", 1, "validation"),
    ]
    assert source.labels == ("0", "1") and source.rejected == []
    for i, picture in enumerate(source.pictures):
        assert source.encoded(i).content == (tmp_path / picture.key).read_bytes()


def test_lists_may_name_files_in_any_bytes_and_anywhere_and_one_twice(tmp_path: Path):
    pictures(tmp_path / "elsewhere", "a.png")
    pictures(tmp_path, "Käse.png")
    (tmp_path / "Käse.png").rename(tmp_path / "K\udce4se.png")
    far = str(tmp_path / "elsewhere" / "a.png").encode()
    write_lists(tmp_path / "lists", train=b"\xef\xbb\xbf../K\xe4se.png 0\n" + far + b" 1\n" + far + b" 1\n")
    source = opened("lists", tmp_path / "lists")
    assert [p.key for p in source.pictures] == ["../K\\xe4se.png", far.decode(), far.decode()]
    assert [source.encoded(i).width for i in range(3)] == [9, 9, 9]


def test_every_line_that_cannot_be_used_is_listed_with_its_place(tmp_path: Path):
    pictures(tmp_path, "a.png", "b.png")
    write_lists(
        tmp_path,
        train="a.png 0\nb.png 1\nb.png\nb.png one\nb.png -1\n7\ngone.png 1\n",
        val="a.png 2\nb.png 99999999999999999999\nb.png 1\n",
        test="a.png 0 0.5\n",
    )
    source = opened("lists", tmp_path)
    form = "no line of the form `path label` with a whole number from 0 as label"
    assert reasons(source) == {
        "train_list.txt:3": form,
        "train_list.txt:4": form,
        "train_list.txt:5": "the label -1 is below 0",
        "train_list.txt:6": form,
        "val_list.txt:1: a.png": "its label 2 is out of range: there are 2 classes, from 0",
        "val_list.txt:2: b.png": "its label 99999999999999999999 is out of range: there are 2 classes, from 0",
        "test_list.txt:1": form,
    }
    assert [p.key for p in source.pictures] == ["a.png", "b.png", "gone.png", "b.png"]
    with pytest.raises(RejectedError, match="cannot be read: No such file"):
        source.encoded(2)


def test_several_labels_of_a_picture_are_refused_in_words(tmp_path: Path):
    pictures(tmp_path, "a.png", "b.png", "c.png", "d 1.png", "e.png")
    (tmp_path / "e.png").rename(tmp_path / "e 1")
    write_lists(
        tmp_path,
        train="a.png 0\nb.png 1\nc.png 0 1\nc.png 0,1\nd 1.png 1\ne 1 0\na.png 1\nb.png 1\n",
        val="c.png 1\nd 1.png 1\n",
    )
    source = opened("lists", tmp_path)
    several = "a picture has one class here: several at once (multi-label) are not supported"
    assert reasons(source) == {
        "train_list.txt:3": f"several labels: {several}",
        "train_list.txt:4": f"several labels: {several}",
        "train_list.txt:1: a.png": f"it is also listed with another label: {several}",
        "train_list.txt:7: a.png": f"it is also listed with another label: {several}",
    }
    assert [(p.key, p.label) for p in source.pictures] == [
        ("b.png", 1), ("d 1.png", 1), ("e 1", 0), ("b.png", 1), ("c.png", 1), ("d 1.png", 1),
    ]  # fmt: skip
    rows = ("path,label", "a.png,cat", "b.png,dog", 'c.png,"cat;dog"')
    with pytest.raises(UserError, match=r"list\.csv:4: the label 'cat;dog' consists of cat and dog.*multi-label"):
        opened("csv", write_csv(tmp_path / "list.csv", *rows))
    commas = ("path,label", "a.png,cat", 'b.png,"cat, tabby"')
    assert opened("csv", write_csv(tmp_path / "list.csv", *commas)).labels == ("cat", "cat, tabby")


def test_a_label_that_leaves_others_out_stops_with_its_line(tmp_path: Path):
    write_lists(tmp_path, train="a.png 0\nb.png 1\nc.png 30\n")
    with pytest.raises(
        UserError, match=r"train_list\.txt:3: the label 30, but no training picture has the label 2: .*labels\.txt"
    ):
        opened("lists", tmp_path)
    (tmp_path / "labels.txt").write_text("".join(f"class {i}\n" for i in range(31)))
    source = opened("lists", tmp_path)
    assert len(source.labels) == 31 and [p.label for p in source.pictures] == [0, 1, 30]
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    assert reasons(opened("lists", tmp_path)) == {
        "train_list.txt:3: c.png": "its label 30 is out of range: there are 2 classes, from 0"
    }
    (tmp_path / "labels.txt").write_text("one\n\nthree\n")
    with pytest.raises(UserError, match=r"labels\.txt:2: the class name is empty"):
        opened("lists", tmp_path)


def test_two_classes_may_have_one_name_where_labels_are_numbers(tmp_path: Path):
    """ImageNet's usual list of classes has two cranes, a bird and a machine."""
    (tmp_path / "labels.txt").write_text("crane\ntench\ncrane\n")
    write_lists(tmp_path, train="a.png 0\nb.png 1\nc.png 2\n")
    source = opened("lists", tmp_path)
    assert source.labels == ("crane", "tench", "crane") and [p.label for p in source.pictures] == [0, 1, 2]
    rows = ("path,label,split", "a.png,0,train", "b.png,2,train", "c.png,crane,val", "d.png,tench,val")
    source = opened("csv", write_csv(tmp_path / "list.csv", *rows))
    assert [p.label for p in source.pictures] == [0, 2, 1]  # a name of two classes is none's
    assert list(reasons(source)) == ["list.csv:4: c.png"]
    with pytest.raises(UserError, match=r"labels\.txt:3: the class name 'crane' is also in line 1: "):
        opened("csv", write_csv(tmp_path / "list.csv", "path,label", "a.png,crane", "b.png,tench"))


def test_paths_of_windows_are_read_or_refused_with_the_line_to_write(tmp_path: Path):
    pictures(tmp_path, "cat/a.png", "dog/b 1.png", "odd\\name.png")
    write_lists(tmp_path, train="cat\\a.png 0\r\ndog\\b 1.png 1\r\nodd\\name.png 1\ngone\\c.png 1\n")
    source = opened("lists", tmp_path)
    assert [p.key for p in source.pictures] == ["cat/a.png", "dog/b 1.png", "odd\\name.png", "gone\\c.png"]
    assert [source.encoded(i).width for i in range(3)] == [9, 9, 9]
    assert source.warnings == ["2 paths are written with \\ as on Windows; \\ is read as /"]
    write_lists(tmp_path, train="cat/a.png 0\nC:\\Users\\me\\set\\dog\\b 1.png 1\n")
    with pytest.raises(UserError, match=r"train_list\.txt:2: C:.* a Windows path with a drive: write dog/b 1\.png$"):
        opened("lists", tmp_path)
    write_csv(tmp_path / "list.csv", "path,label", "D:/set/x.png,cat", "cat/a.png,dog")
    with pytest.raises(UserError, match=r"list\.csv:2: D:/set/x\.png is a Windows path.* write it relative to "):
        opened("csv", tmp_path / "list.csv")


def test_lists_that_are_missing_or_hold_one_class_are_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"data\.path is missing"):
        SOURCES["lists"](None, tmp_path)
    with pytest.raises(UserError, match=r"holds no train_list\.txt"):
        opened("lists", tmp_path)
    write_lists(tmp_path, train="a.png 0\nb.png 0\n")
    with pytest.raises(UserError, match=r"has 1 class: at least two are needed$"):
        opened("lists", tmp_path)
    write_lists(tmp_path, train="a.png 0\nb.png -1\nc.png -1\n")
    with pytest.raises(UserError, match=r"1 class: at least two are needed; train_list\.txt:2: the label -1 is below"):
        opened("lists", tmp_path)


def test_lists_are_prepared_with_what_they_reject_and_their_validation_set(tmp_path: Path):
    names = [f"p/{i:02d}.png" for i in range(40)]
    pictures(tmp_path / "set", *names)
    (tmp_path / "set" / "p" / "07.png").unlink()
    train = "".join(f"{name} {i % 2}\n" for i, name in enumerate(names[:30]))
    val = "".join(f"{name} {i % 2}\n" for i, name in enumerate(names[30:])) + names[3] + " 1\nnonsense\n"
    write_lists(tmp_path / "set", train=train, val=val)
    spec = Preprocessing(square(32), "crop", 3, (127.5,), (127.5,))
    settings = Settings("set", "lists", tmp_path / "set", 5, 4, 4, 2, 0.2, 1, spec, test_from="validation")
    manifest = prepare(settings, tmp_path / "out")
    assert {name: split.count for name, split in manifest.splits.items()} == {"train": 28, "validation": 7, "test": 4}
    evaluated = {r.key for split in ("validation", "test") for r in records(open_manifest(tmp_path / "out"), split)}
    assert evaluated == {*names[30:], names[3]}
    with (tmp_path / "out" / "rejected.csv").open(newline="") as file:
        rejected = {row["key"]: row["reason"] for row in csv.DictReader(file)}
    assert rejected["p/07.png"] == "cannot be read: No such file or directory"
    assert rejected["p/03.png"].startswith("the same picture is among those of ")
    assert rejected["val_list.txt:12"].startswith("no line of the form") and len(rejected) == 3


def write_csv(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def test_csv_with_names_numbers_them_in_their_order(tmp_path: Path):
    pictures(tmp_path, "a, b.png", "c.png")
    rows = (
        "id,Path,label,split",
        '1,"a, b.png",zebra,train',
        "2,c.png, ant ,",
        "3,c.png,zebra,val",
        "4,c.png,ant,test",
    )
    source = opened("csv", write_csv(tmp_path / "list.csv", *rows))
    assert source.labels == ("ant", "zebra")
    assert listed(source) == [
        ("a, b.png", 1, "train"), ("c.png", 0, "train"), ("c.png", 1, "validation"), ("c.png", 0, "test"),
    ]  # fmt: skip
    assert source.encoded(0).content == (tmp_path / "a, b.png").read_bytes()


def test_csv_with_numbers_takes_them_as_they_are(tmp_path: Path):
    rows = ("path,label", "a.png,1", "b.png,0", "c.png,10", *(f"{i}.png,{i}" for i in range(2, 10)))
    source = opened("csv", write_csv(tmp_path / "list.csv", *rows))
    assert source.labels == tuple(map(str, range(11))) and [p.label for p in source.pictures][:3] == [1, 0, 10]
    with pytest.raises(UserError, match=r"list\.csv:3: the label 5, but no training picture has the label 1"):
        opened("csv", write_csv(tmp_path / "list.csv", "path,label", "a.png,0", "b.png,5"))


def test_labels_txt_orders_the_names_of_a_csv(tmp_path: Path):
    (tmp_path / "labels.txt").write_text("zebra\nant\nbear\n")
    rows = ("path,label", "a.png,ant", "b.png,zebra", "c.png,cat")
    source = opened("csv", write_csv(tmp_path / "list.csv", *rows))
    assert source.labels == ("zebra", "ant", "bear") and [p.label for p in source.pictures] == [1, 0]
    assert reasons(source) == {
        "list.csv:4: c.png": "its label 'cat' is none of the classes: labels.txt does not name it"
    }


def test_rows_that_cannot_be_used_are_listed_with_their_place(tmp_path: Path):
    rows = (
        "path,label,split", "a.png,ant,train", "b.png,bee,train", "c.png,ant,holdout", ",ant,train", "d.png,,train",
        "e.png,ant", "f.png,ant,train,more", "", "g.png,cow,val",
    )  # fmt: skip
    source = opened("csv", write_csv(tmp_path / "list.csv", *rows))
    assert reasons(source) == {
        "list.csv:4": "its split 'holdout' is none of train, val, validation, test",
        "list.csv:5": "a row without a path or a label",
        "list.csv:6": "a row without a path or a label",
        "list.csv:7": "a row of more or fewer columns than the first",
        "list.csv:8": "a row of more or fewer columns than the first",
        "list.csv:10: g.png": "its label 'cow' is none of the classes: no training picture has it",
    }
    assert [p.key for p in source.pictures] == ["a.png", "b.png"]


def test_a_csv_that_is_none_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"list\.csv:1: no column label"):
        opened("csv", write_csv(tmp_path / "list.csv", "path,class", "a.png,1"))
    (tmp_path / "list.csv").write_bytes(b"path,label\nK\xe4se.png,0\n")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        opened("csv", tmp_path / "list.csv")
    with pytest.raises(UserError, match=r"gone\.csv cannot be read: No such file"):
        opened("csv", tmp_path / "gone.csv")


def test_a_path_that_is_no_file_is_rejected_when_it_is_read(tmp_path: Path):
    rows = ("path,label", ".,ant", "a\x00b.png,bee")
    source = opened("csv", write_csv(tmp_path / "list.csv", *rows))
    with pytest.raises(RejectedError, match="a folder, not a file"):
        source.encoded(0)
    with pytest.raises(RejectedError, match=r"cannot be read: .*embedded null"):
        source.encoded(1)
    assert source.version(0) != () and source.version(1) == ()


def test_the_configuration_is_told_of_lists_that_are_not_there(tmp_path: Path):
    def problems(source: str, path: Path | None) -> list[str]:
        data = {"source": source, "path": None if path is None else str(path)}
        return [problem.message for problem in check_config(Config.model_validate({"data": data}))]

    assert "needs the folder with train_list.txt" in problems("lists", None)[0]
    assert "needs the CSV file" in problems("csv", None)[0]
    assert "does not contain train_list.txt" in problems("lists", tmp_path)[0]
    assert "does not contain ILSVRC2012_img_train" in problems("imagenet", tmp_path)[0]
    assert "is not a file" in problems("csv", tmp_path)[0]
    write_lists(tmp_path, train="a.png 0\n")
    assert problems("lists", tmp_path) == []
    assert problems("csv", write_csv(tmp_path / "list.csv", "path,label")) == []


def test_what_says_which_pictures_there_are_is_an_input(tmp_path: Path):
    write_lists(tmp_path, train="", val="")
    (tmp_path / "labels.txt").write_text("")
    write_csv(tmp_path / "list.csv", "path,label")
    names = {"lists": ["train_list.txt", "val_list.txt", "labels.txt"], "folder": []}
    for source, expected in names.items():
        assert named_files(source, str(tmp_path)) == [str(tmp_path / name) for name in expected]
    assert named_files("csv", str(tmp_path / "list.csv")) == [str(tmp_path / n) for n in ("list.csv", "labels.txt")]
    assert named_files("idx", None) == [] == named_files("tfds:cifar10", str(tmp_path))


def test_of_many_classes_that_are_lost_some_are_named(tmp_path: Path):
    lines = [f"{i}.png {i}\n" for i in range(30)]
    pictures(tmp_path / "set", *(f"{i}.png" for i in range(30)), *(f"v{i}.png" for i in range(8)))
    val = "".join(lines[:25]) + "".join(f"v{i}.png {i}\n" for i in range(8))
    write_lists(tmp_path / "set", train="".join(lines), val=val)
    spec = Preprocessing(square(32), "crop", 3, (127.5,), (127.5,))
    settings = Settings("set", "lists", tmp_path / "set", 5, 1, 4, 2, 1.0, 1, spec, test_from="validation")
    with pytest.raises(UserError, match=r"class '0' was rejected; .* class '19' was rejected; and 5 more: repair"):
        prepare(settings, tmp_path / "out")
