"""Empty arguments, folders for files, a working folder that is gone, places without new files."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest
from command_line import called
from PIL import Image

from keras_kd import datasets
from keras_kd._common import files, folders
from keras_kd.errors import DataError, OutputError
from keras_kd.reports.comparison_pictures import tradeoff_picture
from keras_kd.runtimes import litert

MODEL = str(Path(__file__).parents[2] / "exports" / "C")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compare", ""], "An argument"),
        (["export", "", "--format", "int8"], "An argument"),
        (["web", MODEL, "--out="], "--out"),
        (["evaluate", "a.keras", "--data", ""], "An argument"),
    ],
)
def test_an_empty_argument_is_refused(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture
) -> None:
    assert called(*arguments) == 2
    assert f"kerakd: {named} is empty, as a shell's variable" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "analyze a.mp4 --out", "bench a --csv", "bench a --picture", "compare a --out",
        "compare a --csv", "distill --out", "distill --soft-labels", "export a --out",
        "guide a --out", "import a --out", "init a --out", "predict a --csv",
        "predict a --annotate", "report a --out", "rerun a --out", "sweep --out", "teach --out",
        "teach --soft-labels", "web a --out",
    ],
)  # fmt: skip
def test_no_command_makes_a_folder_for_an_address(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for joint, place in ((" ", "gs://bucket/a"), ("=", "http://host/a")):
        assert called(*f"{line}{joint}{place}".split()) == 2
        assert f"kerakd: Can't write {place}: results go to local files" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_home_folder_that_no_shell_put_in_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As `--data=~/photos`, and `data = "~/photos"` in a configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "options.toml").write_text('data = "~/photos"\n')
    for line in (
        "data inspect ~/photos", "evaluate ~/a.keras", "evaluate ~/a.tflite", "export ~/a.keras",
        f"predict ~/a.jpg --model {MODEL} --whole", "distill --config ~/a.toml",
        "distill --config options.toml --alpha 1",
    ):  # fmt: skip
        assert called(*line.split()) == 2
        assert "only a shell takes ~ for the home folder" in capsys.readouterr().err
    assert not (tmp_path / "~").exists()
    for line in ("evaluate https://h/a.keras", "bench gs://h/a.tflite", "export s3://b/a.h5"):
        assert called(*line.split()) == 2
        assert "download it, and give its path on this machine" in capsys.readouterr().err


def test_empty_data_are_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        for number in range(3):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("L", (8, 8), 9 * number).save(tmp_path / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    assert datasets.load(".", "train").class_names == ("a", "b")
    with pytest.raises(DataError, match="The data's path is empty: give a file"):
        datasets.load("", "train")


@pytest.mark.parametrize("line", ["compare .", "export .", "export / --format qat", "rerun /"])
def test_a_folder_without_a_name_is_refused_as_others(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(*line.split()) == 2
    assert capsys.readouterr().err.startswith("kerakd: ") and not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="a folder in use is kept elsewhere")
@pytest.mark.parametrize("line", [f"guide {MODEL} --out a.md", "init ."])
def test_a_working_folder_that_is_gone_is_told(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert called(*line.split()) == 2
    assert "The folder that this command was started in is gone" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no such place here")
def test_a_place_that_takes_no_new_files_is_told() -> None:
    with pytest.raises(OutputError, match="Can't write /proc/a.md: .*takes no new files"):
        files.write_text("/proc/a.md", "x")
    with (
        pytest.raises(OutputError, match="Can't write /proc/page: .*takes no new files"),
        folders.folder_written_whole(Path("/proc/page"), ("index.html",)),
    ):
        pass


@pytest.mark.usefixtures("few_faces")
@pytest.mark.parametrize("line", [f"evaluate {MODEL}/model.tflite --data faces", f"bench {MODEL}"])
def test_a_machine_without_room_for_temporary_files_is_told(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As a container whose whole disk is read-only."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    monkeypatch.setattr(litert, "_SURVIVED", set())
    assert called(*line.split()) == 2
    assert "no folder for temporary files takes any: set TMPDIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "date", "told"),
    [
        ("a.xyz", "0", "give a name that ends in .png"),
        ("a", "0", "give a name that ends in .png"),
        ("a.svg", "today", "SOURCE_DATE_EPOCH is 'today' and no number of seconds"),
        ("a.PDF", "-1", "SOURCE_DATE_EPOCH is '-1' and no number of seconds"),
    ],
)
def test_a_picture_that_can_not_be_written_is_told_before_the_work(
    name: str, date: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
    assert called("bench", MODEL, "--data", "none", "--picture", name) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())
    if date == "0":
        with pytest.raises(OutputError, match=told):
            tradeoff_picture(name, ["B"], [(0.5, 0.4, 0.6)], [1.0], [1.0], "")
