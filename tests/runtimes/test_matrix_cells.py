"""The cells of `make runtimes`: what is kept under which name, and that nothing is left running."""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import runtime_cells
import runtime_files
import runtimes
from runtime_cells import Job, kept, outputs, stored
from runtime_files import File
from runtime_list import Missing, Runtime

from keras_kd.errors import ExportError

IMAGES = np.arange(12, dtype=np.uint8)
# Begins its job, starts a program of its own as browser.py does, and hangs.
HANGS = """
import json, pathlib, subprocess, sys, time
[[_, _, _, outputs]] = json.loads(pathlib.Path(sys.argv[1]).read_text())
child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
pathlib.Path(sys.argv[3]).write_text(str(child.pid))
pathlib.Path(outputs + ".txt").write_text("")
time.sleep(600)
"""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    return state != "Z"


def _ends(pid: int) -> bool:
    """Whether it ends soon after it was killed."""
    for _ in range(100):
        if not _is_running(pid):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads the states of Linux' processes")
def test_a_driver_that_is_too_late_leaves_no_program_behind(tmp_path, monkeypatch):
    told, job = tmp_path / "pid", Job(tmp_path / "model", stored(IMAGES, tmp_path))
    # An hour passes at each look, once the driver has begun.
    hours = itertools.count(step=3600)
    now = SimpleNamespace(monotonic=lambda: next(hours) if told.exists() else 0)
    monkeypatch.setattr(runtime_cells, "time", now)
    [answer] = outputs([sys.executable, "-c", HANGS], [job], 0, (str(told),))
    assert isinstance(answer, Missing) and str(answer) == runtime_cells.LATE
    assert _ends(int(told.read_text()))


def test_images_of_other_shapes_or_types_have_other_files(tmp_path):
    others = [IMAGES, IMAGES.reshape(3, 4), IMAGES.reshape(4, 3), IMAGES.view(np.int8)]
    paths = [stored(images, tmp_path) for images in others]
    assert len(set(paths)) == len(others)
    for images, path in zip(others, paths, strict=True):
        np.testing.assert_array_equal(np.load(path), images)
        assert np.load(path).dtype == images.dtype
    assert stored(IMAGES, tmp_path) == paths[0]


def test_a_cell_that_was_not_run_has_no_row(tmp_path, monkeypatch):
    model = tmp_path / "model.tflite"
    model.write_bytes(b"never opened")
    usual, images = Runtime("LiteRT here", "tflite"), stored(IMAGES, tmp_path)
    assert kept(usual, ["false"], [Job(model, images)], 0, tmp_path) == [None]
    monkeypatch.setattr(runtimes, "WORK", tmp_path)
    monkeypatch.setattr(runtimes, "RUNTIMES", [usual])
    monkeypatch.setattr(runtimes, "_pixels", lambda *_: IMAGES)
    assert list(runtimes._rows([File("A", "shipped", model, True)], IMAGES, 0)) == [None]


def test_a_row_tells_rounding_from_a_wrong_operator():
    """By how far both kernels are from float32: here 0.1 and 0.2 on average."""
    floats = np.array([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    usual = np.array([[0.4, 0.6], [0.4, 0.6]])
    found = np.array([[0.8, 0.2], [0.6, 0.4]], np.float32)
    file = File("A", "int8, app in RGB", Path("model.tflite"), True)
    row = runtimes.compared(Runtime("other", "tflite"), file, found, usual, floats)
    assert row["from_float32"] == 0.2 and row["usual_from_float32"] == 0.1
    assert row["images"] == 2 and row["largest_difference"] == 0.4 and row["changed_answers"] == 1


def test_a_file_that_the_exporter_refuses_is_a_row_with_the_reason(tmp_path, monkeypatch):
    def refuse(model, file, train):
        raise ExportError(f"{file.kind} is refused.")

    monkeypatch.setattr(runtime_files, "KINDS", ("int8",))
    monkeypatch.setattr(runtime_files, "_student", lambda *_: None)
    monkeypatch.setattr(runtime_files, "_write", refuse)
    [file] = runtime_files.made("A", None, tmp_path)
    monkeypatch.delattr(runtime_files, "_write")  # remembered: it is not tried again
    assert runtime_files.made("A", None, tmp_path) == [file]
    monkeypatch.setattr(runtimes, "WORK", tmp_path)
    monkeypatch.setattr(runtimes, "RUNTIMES", [Runtime("LiteRT here", "tflite")])
    [row] = runtimes._rows([file], IMAGES, 0)
    assert (row["model"], row["kind"], row["reason"]) == ("A", "int8", "int8 is refused.")
