"""Keys that are typed while a camera records: each is an event at its time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")


def test_keys_that_are_typed_become_events(tmp_path):
    import pty

    from keras_kd.sessions import _keys, _options

    outside, inside = pty.openpty()
    with _keys.typed(tmp_path / "keys.csv", lambda: 12.5, inside):
        os.write(outside, b"a\n7")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if (tmp_path / "keys.csv").is_file():
                events = _options.read_events(tmp_path / "keys.csv")
                if len(events) == 2:
                    break
            time.sleep(0.01)
    assert [(event.time, event.name) for event in events] == [(12.5, "key a"), (12.5, "key 7")]
    os.close(outside)
    os.close(inside)


def test_keys_that_can_not_be_written_and_a_terminal_that_hangs_up(tmp_path):
    import pty

    from keras_kd.sessions import _keys

    def reads() -> bool:
        return any(thread.name == "keys.csv" for thread in threading.enumerate())

    (tmp_path / "keys.csv").mkdir()
    for text in (b"a", b""):
        outside, inside = pty.openpty()
        with _keys.typed(tmp_path / "keys.csv", lambda: 1.0, inside) as refused:
            assert reads()
            if text:
                os.write(outside, text)
            else:
                os.close(outside)
            deadline = time.monotonic() + 20
            while reads() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not reads()
        told = [str(error) for error in refused]
        assert len(told) == bool(text) and all("a folder is there" in one for one in told)
        os.close(inside)


def test_a_camera_in_the_background_is_not_stopped_for_its_keys(tmp_path):
    script = tmp_path / "background.py"
    script.write_text(
        "import os, pathlib, pty, sys\n"
        "child, terminal = pty.fork()\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "if job := os.fork():\n"
        "    state = os.waitpid(job, os.WUNTRACED)[1]\n"
        "    os._exit(9 if os.WIFSTOPPED(state) else os.waitstatus_to_exitcode(state))\n"
        "os.setpgid(0, 0)\n"
        "from keras_kd.sessions import _keys\n"
        "with _keys.typed(pathlib.Path('keys.csv'), lambda: 0.0):\n"
        "    pass\n"
    )
    assert subprocess.run([sys.executable, str(script)], cwd=tmp_path, timeout=60).returncode == 0
