"""Two writers of one file, and what a killed writer leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keras_kd.errors import OutputError


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


@pytest.mark.parametrize("within", [False, True])
def test_what_a_killed_writer_left_goes_with_the_next_writing(within: bool, tmp_path: Path) -> None:
    """Also of two steps: a file that is converted, and scored before it has its name."""
    code = f"""
import os, signal, sys
from contextlib import ExitStack
from pathlib import Path
from keras_kd._common import files
with ExitStack() as stack:
    path = stack.enter_context(files.written_whole(Path(sys.argv[1])))
    path = stack.enter_context(files.written_whole(path)) if {within} else path
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    from keras_kd._common import files

    path = tmp_path / "a[1].csv"
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGKILL
    neighbour = tmp_path / ".a-partial-1.csv"
    neighbour.touch()
    assert len(list(tmp_path.iterdir())) == 2 + within and not path.exists()
    files.write_text(path, "whole")
    assert path.read_text() == "whole" and sorted(tmp_path.iterdir()) == [neighbour, path]
