"""`kerakd analyze` on a camera, for which ffmpeg's test picture stands."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

import pytest
from command_line import called
from drawn_film import colour_model, needs_extra


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(colour_model(tmp_path_factory.mktemp("model")))


@needs_extra
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there")
def test_a_camera_whose_keys_can_not_be_written_has_its_timeline(
    model, tmp_path, monkeypatch, capsys
):
    import pty

    from keras_kd.sessions import _containers

    monkeypatch.setitem(_containers._CAMERAS, sys.platform, ("lavfi", "testsrc=size=64x48:rate=10"))
    (tmp_path / "camera-0" / "keys.csv").mkdir(parents=True)
    outside, inside = pty.openpty()
    rows = tmp_path / "camera-0.csv"

    def press():
        while not rows.is_file():
            time.sleep(0.01)
        os.write(outside, b"a")

    threading.Thread(target=press, daemon=True).start()
    with os.fdopen(inside) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        command = ["analyze", "--camera", "0", "--model", model, "--out", str(tmp_path)]
        assert called(*command, "--seconds", "2") == 2
    os.close(outside)
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("kerakd: Can't write") and "keys.csv: a folder is there" in last
    assert (tmp_path / "camera-0" / "report.html").is_file()


@needs_extra
@pytest.mark.parametrize("stop", ["--seconds", "Ctrl-C"])
def test_a_camera_is_analysed_until_it_is_stopped(model, tmp_path, monkeypatch, capsys, stop):
    from keras_kd.sessions import _containers

    # ffmpeg's test picture in the camera's place.
    monkeypatch.setitem(_containers._CAMERAS, sys.platform, ("lavfi", "testsrc=size=64x48:rate=10"))
    rows = tmp_path / "camera-0.csv"

    def interrupt():
        while not (rows.is_file() and rows.read_bytes().count(b"\n") > 20):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell's background jobs ignore Ctrl-C, and with it all that they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    if stop == "Ctrl-C":
        threading.Thread(target=interrupt, daemon=True).start()
    more = ["--seconds", "2"] if stop == "--seconds" else []
    command = [
        "analyze",
        "--camera",
        "0",
        "--model",
        model,
        "--out",
        str(tmp_path),
        "--json",
    ]
    try:
        assert called(*command, *more) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    told = capsys.readouterr()
    assert "This is an emotion recognition system" in told.err
    result = json.loads(told.out)["camera-0"]
    assert result["session"]["found"] == 0 and (tmp_path / "camera-0" / "report.html").is_file()
    assert result["frames"] == 20 if stop == "--seconds" else result["frames"] > 20
    # Asked again it makes the timeline anew, and records nothing more.
    before = rows.read_bytes()
    assert called(*command, "--resume", "--smooth", "1") == 0
    assert rows.read_bytes() == before
    assert (
        json.loads((tmp_path / "camera-0" / "session.json").read_text())["options"]["smooth"] == 1
    )
