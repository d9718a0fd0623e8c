"""Names from outside that lead out of a folder, or that no line can hold."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from drawn_timeline import write
from keras_kd.cli import output
from PIL import Image

from keras_kd import datasets, errors
from keras_kd.errors import ConfigError, DataError, ExportError, KerasKDError, ModelError
from keras_kd.sessions import (
    _timeline,
    analysis,
    web,
)
from keras_kd.sessions._timeline import Options


@pytest.mark.parametrize("video", ["...mp4", "..mp4"])
def test_a_video_cannot_be_called_so_that_its_results_leave_the_folder(
    video: str, tmp_path: Path
) -> None:
    (tmp_path / video).write_bytes(b"")
    with pytest.raises(
        ConfigError, match="can't be the name of a folder in .*out: rename the recording"
    ):
        analysis.analyze(
            [str(tmp_path / video)], tmp_path / "out", None, None, analysis.Recipe(), Options()
        )
    with pytest.raises(ConfigError, match="can't be the name of a folder"):
        analysis.analyze(
            ["../../x"], tmp_path / "out", None, None, analysis.Recipe(), Options(), camera=True
        )
    assert [file.name for file in tmp_path.iterdir()] == [video]


@pytest.mark.parametrize(
    "name", ["../../../out/1.jpg", "/etc/1.jpg", "x/../../../../1.jpg", "a\0.jpg"]
)
def test_a_list_cannot_name_images_outside_of_its_folder(name: str, tmp_path: Path) -> None:
    for folder in (tmp_path / "out", tmp_path / "data" / "Image" / "aligned"):
        folder.mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "out" / "1_aligned.jpg")
    (tmp_path / "data" / "list_patition_label.txt").write_text(f"{name} 1\n")
    told = "there is no image" if "\0" in name else "lies outside"
    with pytest.raises(DataError, match=f"label.txt, line 1: .*{told}"):
        datasets.load(f"rafdb:{tmp_path / 'data'}", "train")


UNPRINTABLE = ("line\nbreak", "\x1b[2J", "\u202egnp.exe", "\x7f", "a" * 300)


@pytest.mark.parametrize("name", UNPRINTABLE)
def test_class_names_that_no_line_can_hold_are_refused_where_they_come_in(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="class name .* is not 1 to 200 printable characters"):
        _timeline.load(write(tmp_path / "p1.csv", np.eye(3), names=(name, "b", "c")), Options())
    if len(name) < 200:
        for folder in (name, "b"):
            (tmp_path / "data" / folder).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / "data" / folder / "1.png")
        with pytest.raises(
            DataError, match="class name .* is not 1 to 200 printable characters: rename the folder"
        ):
            datasets.load(f"folder:{tmp_path / 'data'}", "train")


@pytest.mark.parametrize("content", [b"a\n\x1b[2J\n", b"a\n\nb\n", b"\xff\n", b"a" * 300])
def test_so_are_those_of_labels_txt(content: bytes, tmp_path: Path) -> None:
    from keras_kd.runtimes import predictors

    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ModelError, match="labels.txt can't be read as a list of class names"):
        predictors.load(tmp_path / "model.tflite")


def test_so_are_those_given_to_an_export(tmp_path: Path) -> None:
    from keras_kd import export, models

    with pytest.raises(ExportError, match="class name 'a.nb' is not"):
        export(
            models.build("C", 2), tmp_path / "m.tflite", format="float32", class_names=("a\nb", "c")
        )


@pytest.mark.parametrize("name", UNPRINTABLE[:4])
def test_nothing_from_outside_drives_the_terminal(name: str, capsys: pytest.CaptureFixture) -> None:
    assert str(KerasKDError(f"{name} is no image")).isprintable()
    assert len(str(DataError("x" * 10**6))) == errors.LONGEST
    output.show_table([("class", name), (name, "1")])
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    "asked",
    [
        "/../secret",
        "/%2e%2e/secret",
        "//../secret",
        "/..%2fsecret",
        "/x/../../secret",
        "/..\\secret",
    ],
)
def test_the_browser_pages_server_gives_nothing_from_outside(asked: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("a page")
    (tmp_path / "secret").write_text("a secret")
    with web.server(tmp_path / "site", 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        answers = []
        for path in ("/index.html", asked):
            connection = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
            connection.request("GET", path)
            answers.append(connection.getresponse().status)
            connection.close()
        server.shutdown()
    assert answers == [200, 404]
