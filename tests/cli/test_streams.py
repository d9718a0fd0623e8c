"""Standard streams that are closed, full, of another encoding, or read by nobody."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_stop_during_the_first_imports_is_told(tmp_path: Path) -> None:
    # The module that is imported first says that it is time.
    (tmp_path / "click.py").write_text(
        "import sys, time\nprint('now', flush=True)\ntime.sleep(60)\n"
    )
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from keras_kd.cli.start import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1].strip() == "Stopped."
    assert process.returncode == 130


def test_a_pipe_for_a_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    done = _shell(f"timeout 60 {KERAKD} distill --config {tmp_path}/pipe.toml")
    assert done.returncode == 2 and "no regular file" in done.stderr
