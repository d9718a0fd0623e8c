"""Files of models are not mixed into the data that they are made from."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import called
from gray_images import write_images

from keras_kd.errors import OutputError
from keras_kd.pipelines.apart_from_data import require_outside


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes, and a table of the images of one."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "data" / name, 10)
    lines = [f"dog/{number}.png,{number % 2}" for number in range(10)]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *lines]))
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("folder", "data_set", "alone", "mixed"),
    [
        ("data", "data", True, False),
        ("data/cat", "data", False, False),
        ("data/../data/dog", "folder:data", False, False),
        ("data/models", "data", True, True),
        (".", "data", True, True),
        (".", "list.csv", True, False),
        ("data", "faces", True, True),
        ("s", "s-{0..9}.tar", True, True),
    ],
)
def test_a_folder_of_the_data_takes_no_models(
    data: Path, folder: str, data_set: str, alone: bool, mixed: bool, monkeypatch
) -> None:
    monkeypatch.chdir(data.parent)
    for mixes, passes in ((False, alone), (True, mixed)):
        if passes:
            require_outside(Path(folder), data_set.replace("{0..9}", "*"), mixes)
        else:
            with pytest.raises(OutputError, match="must not be mixed: choose another place"):
                require_outside(Path(folder), data_set, mixes)


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("export m.keras --data data --bundle --out data", "data is a folder of the data data"),
        ("export m.keras --data data --out data/cat/m.tflite", "data/cat is a folder of the data"),
        ("teach --data data --teacher C --out data/cat", "data/cat is a folder of the data"),
        ("sweep --data data --student C --out data/dog", "data/dog is a folder of the data"),
        ("export m.keras --data data --layer-errors data/dog/e.csv", "data/dog is a folder of"),
        ("bench m.keras --data data --picture data/cat/b.png", "data/cat is a folder of the data"),
        ("bench m.keras --data data --csv data/cat/b.csv", "data/cat is a folder of the data"),
        ("distill --data data --teacher C --soft-labels data/cat", "data/cat is a folder of"),
        ("teach --data data --teacher C --soft-labels data/dog", "data/dog is a folder of"),
        ("sweep --data data --teacher C --soft-labels data/dog --out new", "data/dog is a folder"),
        ("predict p.png --calibrate data --csv data/cat/p.csv", "data/cat is a folder of the data"),
        ("predict p.png --calibrate data --annotate data/cat", "data/cat is a folder of the data"),
        ("analyze p.mp4 --calibrate data --out data/dog", "data/dog is a folder of the data"),
        ("teach --data data --start-from ./teacher.keras --out .", "this command reads that file"),
        ("teach --data data --teacher teacher.keras --out .", "this command reads that file"),
        ("sweep --data none --out new/sweep", "No data at none"),
        ("sweep --data data --student none --out new", "No architecture is called"),
        ("sweep --data data --teacher none.keras --out new", "No teacher at none.keras"),
        ("sweep --data data --student C --start-from m.keras --out new/x", "m.keras"),
        ("distill --data none", "No data at none"),
        ("teach --data none --teacher C --out new/teacher", "No data at none"),
        ("export m.keras --data none --bundle --out new/bundle", "No data at none"),
    ],
)
def test_commands_leave_nothing_where_they_are_refused(
    data: Path, line: str, refusal: str, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(data.parent)
    for name in ("m.keras", "teacher.keras", "p.png", "p.mp4"):
        Path(name).touch()
    before = sorted(Path().rglob("*"))
    assert called(*line.split()) == 2
    assert refusal in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before
