"""What lies in a data set's folder and is not read is told."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import click
import numpy as np
import pytest
from command_line import called
from drawn_film import colour_model
from gray_images import write_images, write_splits
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_kd.cli.main import kerakd
from PIL import Image

from keras_kd import config as configuration
from keras_kd import datasets
from keras_kd._common import run_files
from keras_kd._common.files import locked
from keras_kd._common.hosts import Place
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import decoding
from keras_kd.datasets.inspection import inspect
from keras_kd.datasets.splits import Data
from keras_kd.errors import DataError
from keras_kd.pipelines import conversion, joint
from keras_kd.pipelines.export_settings import ExportSettings


def test_what_is_not_read_is_listed_by_kind_and_count(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    for name in ("a.HEIC.txt", "b.txt", "c.psd", "noted"):
        (tmp_path / "cat" / name).write_text("x")
    write_images(tmp_path, 3)
    (tmp_path / "Thumbs.db").touch()
    (tmp_path / ".DS_Store").touch()
    write_images(tmp_path / "__MACOSX" / "cat", 4)
    write_images(tmp_path / "cat" / "@eaDir" / "1.png", 2)  # a disk station's small copies
    (tmp_path / "dog" / "._1.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "dog" / "again").symlink_to(tmp_path)
    lines = (
        f"3 images in {tmp_path}, in no class or split",
        f"{tmp_path / 'dog/again'}, a link to a folder above it",
        "2 .txt files, not read",
        "1 .psd file, not read",
        "1 file without a suffix, not read",
        "5 hidden or system items",
    )
    assert datasets.passed_over(tmp_path) == lines
    assert len(datasets.load(tmp_path, "train")) == 16
    assert called("data", "inspect", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert all(f"note: {line}" in shown for line in lines)


@pytest.mark.skipif("HEIF" in decoding.formats(), reason="this installation reads HEIC")
def test_photos_that_this_installation_can_not_read_are_said_to_be_unread(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    (tmp_path / "cat" / "a.heic").touch()
    (line,) = datasets.passed_over(tmp_path)
    assert line == "1 .heic file, not read: pip install 'keras-kd[heic]' reads HEIC"


def test_what_is_done_with_images_is_counted(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    Image.new("RGBA", (6, 6)).save(tmp_path / "cat" / "hole.png")
    assert inspect(tmp_path)["traits"] == {"transparency, shown on white": 1}


@pytest.mark.parametrize("where", ["run", "runs/1", "cat/run"])
def test_results_of_a_run_are_no_class(where: str, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    write_images(tmp_path / where, 5)
    (tmp_path / where / "metrics.json").write_text("{}")
    assert datasets.load(tmp_path, "train").class_names == ("cat", "dog")
    assert len(datasets.load(tmp_path, "train")) == 16
    assert datasets.passed_over(tmp_path) == (
        f"the folder {tmp_path / where}, which holds results of a run",
    )


def test_a_folder_that_a_command_has_begun_is_no_class(tmp_path: Path) -> None:
    """`kerakd export --bundle --out DATA/bundle` reads the data after it has locked its folder."""
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "progress.json").touch()
    with locked(tmp_path / "bundle"):
        assert datasets.load(tmp_path, "train").class_names == ("cat", "dog")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty is a class without images"):
        datasets.load(tmp_path, "train")


def test_a_run_within_its_own_data_leaves_results_out_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("cat", "dog", "results/first"):
        write_images(tmp_path / name, 10)
    (tmp_path / "results" / "first" / "metrics.json").write_text("{}")
    # Stopped by the teacher that is missing, once the data are read.
    ends = [
        "--teacher",
        str(tmp_path / "none.keras"),
        "--out",
        str(tmp_path / "results" / "second"),
    ]
    assert called("distill", "--student", "C", "--data", str(tmp_path), *ends) == 2
    told = capsys.readouterr().err
    assert "16 train, 2 validation, 2 test images of 2 classes" in told
    first, second = tmp_path / "results" / "first", tmp_path / "results" / "second"
    each = "the folder {}, which holds results of a run"
    assert f"Notes on the data: {each.format(first)}; {each.format(second)}" in told


def test_scored_images_that_are_trained_on_are_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_splits(tmp_path, {"train": "train", "validation": "val", "test": "test"})
    for folder in (tmp_path / "val", tmp_path / "test"):
        for image in folder.glob("*/*.png"):
            Image.new("L", (6, 6), 100 + int(image.stem)).save(image)
    # Another name and size on disk; read as the same pixels as 0.png.
    Image.new("L", (12, 12), 0).save(tmp_path / "test" / "dog" / "x.png")
    # Another size and brightness.
    shapes = Image.fromarray(np.random.default_rng(0).integers(0, 200, (32, 32), np.uint8))
    shapes.resize((64, 64)).save(tmp_path / "train" / "dog" / "y.png")
    shapes.resize((96, 96)).point(lambda level: level + 9).save(tmp_path / "val" / "dog" / "y.png")
    ends = ["--teacher", str(tmp_path / "none.keras"), "--out", str(tmp_path / "out")]
    assert called("distill", "--student", "C", "--data", str(tmp_path), *ends) == 2
    told = capsys.readouterr().err
    assert "Copies: 1 test image with exactly the pixels" in told
    assert "Near copies: 1 validation image almost like" in told and told.count("Near copies") == 1
    (tmp_path / "test" / "dog" / "x.png").unlink()
    (tmp_path / "val" / "dog" / "y.png").unlink()
    assert called("distill", "--student", "C", "--data", str(tmp_path), *ends) == 2
    assert "copies" not in capsys.readouterr().err.lower()


def test_one_of_several_processes_looks_for_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others, which say nothing, go on to the teacher at once."""
    write_images(tmp_path / "data" / "cat", 20, 0)
    write_images(tmp_path / "data" / "dog", 20, 100)
    config = Config(data=str(tmp_path / "data"), student="C", beta=0.0)
    (tmp_path / run_files.OPTIONS).write_text(configuration.dump(vars(config), {}), "utf-8")
    taught = []

    def prepare(plan: object, data: Data, terminal: object) -> None:
        taught.append(len(data.train))
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_kd.pipelines.joint.teacher_setup.prepare", prepare)
    monkeypatch.delattr(Data, "scored_copies")
    monkeypatch.delattr(Data, "scored_near_copies")
    with pytest.raises(KeyboardInterrupt):
        joint.member(tmp_path, Place(0, 1, ""))
    assert taught == [32]


def test_classes_without_a_readable_training_image_are_told_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for number, name in enumerate(("cat", "dog", "fox")):
        write_images(tmp_path / name, 10, 20 * number)
    for image in (tmp_path / "fox").iterdir():
        image.write_bytes(b"broken")
    ends = ["--teacher", str(tmp_path / "none.keras"), "--out", str(tmp_path / "out")]
    given = ["--data", str(tmp_path), "--skip-bad-rows"]
    assert called("distill", "--student", "C", *given, *ends) == 2
    assert "Classes without a training image, which can't be learnt: fox." in (
        capsys.readouterr().err
    )


def test_images_that_a_score_leaves_out_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "model").mkdir()
    model = colour_model(tmp_path / "model")
    for number, name in enumerate("rgb"):
        write_images(tmp_path / "data" / name, 10, 20 * number)
    for image in (tmp_path / "data" / "r").iterdir():
        image.write_bytes(b"broken")
    (tmp_path / "data" / "readme.txt").touch()
    note = "Notes on the data: 1 .txt file, not read"
    given = [str(model), "--data", str(tmp_path / "data"), "--range", "0,255"]
    assert called("evaluate", *given, "--skip-bad-rows", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["test"]["n"] == 2 and told.err.count("skipped: ") == 1
    assert told.err.count(note) == 1
    assert called("bench", *given, "--seconds", "0.01", "--skip-bad-rows", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out) and told.err.count("skipped: ") == told.err.count(note) == 1
    exported = ExportSettings(data=str(tmp_path / "data"), skip_bad_rows=True)
    terminal = Terminal()
    for split in datasets.SPLITS:
        conversion.loaded(exported, split, None, terminal)
    told = capsys.readouterr()
    assert told.err.count("skipped: ") == 10 and told.err.count(note) == 1
    configuration_file = tmp_path / "begun.toml"
    begun = ["--out", str(configuration_file), "--skip-bad-rows"]
    assert called("init", str(tmp_path / "data"), *begun) == 0
    told = capsys.readouterr()
    assert told.err.count("skipped: ") == 10 and told.err.count(note) == 1
    assert configuration.load(configuration_file)["skip_bad_rows"] is True


def test_every_command_that_reads_data_can_leave_rows_out(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    context = click.Context(kerakd)
    commands = {name: kerakd.get_command(context, name) for name in kerakd.list_commands(context)}
    commands |= commands.pop("data").commands
    options = {name: {one.name for one in command.params} for name, command in commands.items()}
    readers = {name for name, found in options.items() if found & {"data", "calibrate"}}
    assert readers == {
        "analyze", "bench", "distill", "evaluate", "export", "init", "inspect", "predict", "sweep",
        "teach",
    }  # fmt: skip
    assert readers == {name for name, found in options.items() if "skip_bad_rows" in found}
    write_images(tmp_path, 1)
    for command, option in (("bench", "--data"), ("export", "--data"), ("predict", "--calibrate")):
        assert called(command, str(tmp_path / "0.png"), "--skip-bad-rows") == 2
        assert f"rows of {option}: add that, or leave" in capsys.readouterr().err


def test_folders_that_differ_by_a_blank_are_one_class_and_told(tmp_path: Path) -> None:
    for name in ("cat", "cat ", "dog"):
        write_images(tmp_path / name, 10)
    assert datasets.load(tmp_path, "train").class_names == ("cat", "dog")
    assert datasets.passed_over(tmp_path) == ("'cat ' counts as cat",)


def test_folders_of_persons_that_are_split_are_told(tmp_path: Path) -> None:
    for person in range(10):
        for name in ("happy", "sad"):
            write_images(tmp_path / name / f"p{person}", 2, 2 * person)
    (line,) = datasets.passed_over(tmp_path)
    assert line.startswith("40 images in deeper folders") and "several splits" in line
    write_splits(tmp_path / "whole", {"train": "train", "validation": "val", "test": "test"})
    for person in range(2):
        write_images(tmp_path / "whole" / "train" / "cat" / f"p{person}", 2)
    (line,) = datasets.passed_over(tmp_path / "whole")
    assert line.startswith("4 images in deeper folders") and "several splits" not in line


def test_names_cannot_drive_the_terminal(tmp_path: Path) -> None:
    for name in ("cat", "dog", "run\x1b[31m"):
        write_images(tmp_path / name, 10)
    (tmp_path / "run\x1b[31m" / "metrics.json").touch()
    (tmp_path / "cat" / "a.\u202etxt").touch()
    lines = datasets.passed_over(tmp_path)
    assert len(lines) == 2 and all(line.isprintable() for line in lines)
    assert r"run\x1b[31m" in lines[0] and r"1 .\u202etxt file" in lines[1]


_FOLDERS = ("cat", "dog", "owl", "deeper", ".hidden", "__MACOSX", "run", "also")


_FILES = ("a.png", "b.JPG", "c.txt", "d.heic.txt", "Thumbs.db", "config.toml", "e")


_RUNS = st.tuples(st.just(["runs", "1"]), st.sampled_from(["metrics.json", "a.keras", "a.png"]))


_ENTRIES = st.tuples(st.lists(st.sampled_from(_FOLDERS), max_size=4), st.sampled_from(_FILES))


@pytest.mark.parametrize(
    "base", [("cat", "dog"), ("Train/cat", "train/dog", "val/cat", "test/dog")]
)
@given(entries=st.lists(_ENTRIES | _RUNS, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_every_file_is_read_or_told(
    base: tuple[str, ...], entries: list[tuple[list[str], str]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        entries = [([folder.lower()], "0.png") for folder in base] + entries
        for folders, file in entries:
            path = root.joinpath(*folders, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        read = datasets.sources(f"folder:{root}")
        lines = datasets.passed_over(f"folder:{root}")
        told = " ".join(lines)
        for path in root.rglob("*"):
            parts = path.relative_to(root).parts
            above = [root.joinpath(*parts[:depth]) for depth in range(1, len(parts))]
            known = (
                path in read
                or path.is_dir()
                or any(part.startswith((".", "__")) or part == "Thumbs.db" for part in parts)
                and "hidden or system item" in told
                or any(f"the folder {folder}, which holds" in told for folder in above)
                or path.suffix.lower() in (".png", ".jpg")
                and f" in {root / parts[0] if len(parts) > 1 else root}, in no class" in told
                or path.suffix not in (".png", ".JPG")
                and (f"{path.suffix} file" if path.suffix else "without a suffix") in told
            )
            assert known, (path, lines)


def test_what_the_system_refuses_to_notes_is_an_error_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that load does not read may be locked; it was told as one that is written to."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "data" / name, 3)
    source = datasets.DataSet(tmp_path / "data")
    refusal = PermissionError(13, "Permission denied", str(tmp_path / "locked"))
    monkeypatch.setattr(os, "scandir", lambda *_: (_ for _ in ()).throw(refusal))
    with pytest.raises(DataError, match=r"locked can't be read \(Permission denied\): check"):
        list(source.notes)
