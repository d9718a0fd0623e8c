"""What machines do to long commands: full and read-only disks, signals, clocks, lost memory, a
neighbour, kill -9.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import numpy as np
import pandas as pd
import pytest
from command_line import called
from small_commands import (
    COMMANDS,
    analyze_command,
    data_options,
    distil_command,
    export_command,
    teach_command,
)
from small_network import WIDE

from keras_kd.errors import OutputError

IMAGES = {"Training": 16, "PublicTest": 4, "PrivateTest": 4}
KILOBYTE = 1024


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with noise as fer2013.csv, a trained teacher.keras and the cache that it came
    from.
    """
    folder = tmp_path_factory.mktemp("given")
    random = np.random.default_rng(0)
    rows = [
        (random.integers(7), random.bytes(2304), usage)
        for usage, count in IMAGES.items()
        for _ in range(count)
    ]
    lines = [f"{label},{' '.join(map(str, pixels))},{usage}" for label, pixels, usage in rows]
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KERAKD_CACHE", str(folder / "cache"))
        assert called(*teach_command(folder, folder)) == 0
    return folder


@pytest.fixture
def command(request: pytest.FixtureRequest) -> Callable[[Path], list[str]]:
    """The command of a test's parameter `name`, by the folder that it writes to."""
    name = request.getfixturevalue("name")
    if name == "sweep":
        pytest.importorskip("optuna", reason="needs the extra sweep")
    start = request.getfixturevalue("film" if name == "analyze" else "given")
    return lambda place: COMMANDS[name](start, place)


@pytest.fixture
def disk(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 32 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", place], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    monkeypatch.setenv("KERAKD_CACHE", str(given / "cache"))
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def on_disk(
    name: str, command: Callable[[Path], list[str]], disk: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The command of a test's parameter `name`, all of whose files go to the small file system."""
    if name == "teach":
        monkeypatch.setenv("KERAKD_CACHE", str(disk / "cache"))
    return command(disk)


def _refused(capsys: pytest.CaptureFixture, arguments: list[str]) -> str:
    """The one sentence with which a command is refused."""
    capsys.readouterr()
    assert called(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    message = captured.err.strip().splitlines()[-1]
    assert message.startswith("kerakd: ")
    return message


@pytest.mark.parametrize(
    ("name", "room"),
    [
        pytest.param("teach", 1000, marks=pytest.mark.slow),
        pytest.param("soft labels", 0, marks=pytest.mark.slow),
        ("distil", 1000),  # not enough for the state of a training
        pytest.param("sweep", 20, marks=pytest.mark.slow),  # not enough for the study
        pytest.param("sweep", 1000, marks=pytest.mark.slow),
        pytest.param("export", 100, marks=pytest.mark.slow),
        pytest.param("bundle", 4, marks=pytest.mark.slow),
        ("analyze", 8),  # some rows, not all
    ],
)
def test_a_full_disk(
    name: str, room: int, on_disk: list[str], disk: Path, capsys: pytest.CaptureFixture
) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - room * KILOBYTE))
    message = _refused(capsys, on_disk)
    assert "full" in message and str(disk) in message
    left = [path for path in disk.rglob("*") if path.is_file() and path != ballast]
    assert not [
        path.name
        for path in left
        if "-partial-" in path.name or path.suffix in (".keras", ".tflite")
    ]
    for path in left:
        if path.suffix == ".npz":
            np.load(path).close()
        elif path.suffix == ".json":
            json.loads(path.read_text())
    ballast.unlink()
    going_on = (disk / "out" / "config.toml").exists() or name == "analyze"
    assert called(*on_disk, *["--resume"] * going_on) == 0


def test_no_room_for_temporary_files(
    given: Path,
    disk: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 1000 * KILOBYTE))
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    message = _refused(capsys, export_command(given, tmp_path))
    assert (
        f"Can't write {disk}: the disk is full" in message
        and not (tmp_path / "model.tflite").exists()
    )


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_read_only_folder(on_disk: list[str], disk: Path, capsys: pytest.CaptureFixture) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    message = _refused(capsys, on_disk)
    assert str(disk) in message and "ead-only" in message


# Where the lock lies. A single file needs none, and of a sweep, a store and a cache the second
# process waits.
LOCKS = {"bundle": "out", "analyze": "out/film"}


@pytest.mark.parametrize("name", list(LOCKS))
def test_two_runs_in_one_folder(
    name: str,
    command: Callable[[Path], list[str]],
    given: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(given / "cache"))
    folder = tmp_path / LOCKS[name]
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / ".lock"):
        message = _refused(capsys, command(tmp_path))
        assert "Another run is at work in" in message and str(folder) in message
        assert [path.name for path in folder.iterdir()] == [".lock"]


def test_a_second_training_of_a_teacher_waits_for_the_first(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(given / "cache", tmp_path / "cache")
    (teacher,) = (tmp_path / "cache" / "teachers").iterdir()
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    held, left = threading.Event(), threading.Event()

    def work() -> None:
        with filelock.FileLock(teacher / ".lock"):
            held.set()
            time.sleep(2)
            left.set()

    threading.Thread(target=work, daemon=True).start()
    held.wait()
    assert called(*teach_command(given, tmp_path / "out")) == 0
    assert left.is_set() and "Waiting for another process at work" in capsys.readouterr().err


def test_what_is_cached_belongs_to_its_user_alone_and_results_are_as_the_umask_says(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    shutil.copytree(given / "cache" / "teachers", tmp_path / "cache" / "teachers")
    (tmp_path / "cache").chmod(0o755)
    before = os.umask(0o002)
    try:
        learning = ["--student", WIDE, "--teacher", str(given / "teacher.keras"), "--epochs", "1"]
        formats = ["--formats", "float32", "--out", str(tmp_path / "out")]
        assert called("distill", *data_options(given), *learning, *formats) == 0
    finally:
        os.umask(before)
    kinds = (given / "cache" / "teachers", tmp_path / "cache" / "soft_labels")
    cached = [path for kind in kinds for path in (kind, *kind.rglob("*"))]
    assert {path.stat().st_mode & 0o777 for path in cached if path.is_dir()} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in cached if path.is_file()} == {0o600}
    results = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(cached) > 6 and {path.stat().st_mode & 0o777 for path in results} == {0o664}


def test_what_a_process_left_that_was_killed_as_it_began_or_finished(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras_kd import config
    from keras_kd.pipelines import run_folder

    out, options = tmp_path / "out", config.completed({"data": "faces"})
    out.mkdir()
    (out / ".config-partial-0.toml").touch()
    with run_folder.held(out, options, resume=False):
        assert [path.name for path in out.iterdir() if path.name != ".lock"] == ["config.toml"]
    (out / ".state").mkdir()
    (out / "metrics.json").write_text("{}")
    with (
        pytest.raises(OutputError, match="is complete"),
        run_folder.held(out, options, resume=True),
    ):
        pass
    assert {path.name for path in out.iterdir()} == {"config.toml", "metrics.json"}

    shutil.copytree(given / "cache", tmp_path / "cache")
    (teacher,) = (tmp_path / "cache" / "teachers").iterdir()
    (teacher / "state.npz").touch()
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    assert called(*teach_command(given, tmp_path)) == 0
    assert [path.name for path in teacher.iterdir()] == ["teacher.keras"]


@pytest.fixture
def default_signals() -> Iterator[None]:
    """SIGTERM as a new process has it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def _terminated_when(ready: Callable[[], bool]) -> None:
    """Send this process SIGTERM as soon as something is there."""

    def wait() -> None:
        while not ready():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def test_sigterm_keeps_the_state_and_a_clock_that_goes_back_harms_nothing(
    given: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    default_signals: None,
) -> None:
    real, calls = time.time, iter(range(1, 10**9))
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(calls))
    out, state = tmp_path / "out", tmp_path / "out" / ".state" / "state.npz"
    arguments = distil_command(given, tmp_path, epochs=12)
    _terminated_when(lambda: state.exists() and _epochs(state) >= 1)
    assert called(*arguments) == 143
    message = capsys.readouterr().err.strip().splitlines()[-1]
    trusted = ["--trust-module", WIDE.partition(":wide")[0]]
    assert message == f"Stopped. To go on: kerakd distill --resume --out {out} {' '.join(trusted)}"
    before = _epochs(state)
    assert before >= 1
    for path in out.rglob("*"):
        os.utime(path, (real() + 1e9, real() + 1e9))
    assert called("distill", "--resume", "--out", str(out), *trusted) == 0
    history = pd.read_csv(out / "history.csv")
    assert list(history["epoch"]) == list(range(1, 13)) and (history["seconds"] > 0).all()


def _epochs(state: Path) -> int:
    with np.load(state) as stored:
        return json.loads(str(stored["state"]))["epoch"]


def test_sigterm_before_there_is_anything_to_keep(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture, default_signals: None
) -> None:
    _terminated_when((tmp_path / "out" / "film" / "session.json").exists)
    assert called(*analyze_command(film, tmp_path)) == 143
    assert (
        capsys.readouterr().err.strip().splitlines()[-1]
        == "Stopped. To go on, give the same command with --resume."
    )
    assert called(*analyze_command(film, tmp_path), "--resume") == 0
