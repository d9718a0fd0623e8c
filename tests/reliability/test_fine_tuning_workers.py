"""The process in which fine-tuning for int8 runs: its death, and its parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from keras_kd.errors import ExportError


def _worker_of(parent: int) -> int:
    """Process id of the quantization worker of a process, as soon as there is one."""
    while True:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                of = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                if of == parent and b"_quantization.worker" in (path / "cmdline").read_bytes():
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
    code = (
        "import sys, test_fine_tuning_workers; from keras_kd.cli import stopping; stopping.heed(); "
    )
    code += "test_fine_tuning_workers.fine_tune(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "model.tflite")]
    parent = subprocess.Popen(command, cwd=Path(__file__).parent)
    worker = Path("/proc", str(_worker_of(parent.pid)))
    parent.send_signal(number)
    parent.wait(60)
    deadline = time.monotonic() + 120
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not worker.exists() and not list(tmp_path.iterdir()) * (number == signal.SIGTERM)
