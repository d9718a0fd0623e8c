"""Memory of a teacher's pass and a training on memory-mapped images: it must not grow with their
number.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import QUICK

RUN = """
import json, sys, threading, time
from pathlib import Path
import keras, numpy as np
import keras_kd
from keras_kd.teachers import soft_label_pass, soft_labels
from keras_kd.training import scores
from keras_kd.training.batches import TrainingBatches
from keras_kd.teachers.views import Views
from small_network import network

peak = [0]

def anonymous():
    # Pages of mapped files are the system's to drop; what the process itself holds is not.
    status = Path("/proc/self/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(own.split()[1]) / 1024

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.01)

def teacher(pixels):
    return np.repeat(pixels[:, 0, 0].astype(np.float32), 7, axis=1)

def run(rows, folder):
    # Megabytes at the peak of a teacher's pass and a training.
    folder.mkdir()
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (rows, 64, 64, 1))
    images[:] = np.arange(64, dtype=np.uint8)[:, None]
    labels = np.arange(rows) % 7
    distiller = keras_kd.Distiller(network(7, (64, 64, 1)))
    distiller.compile(keras.optimizers.SGD(0.01, 0.9), metrics=scores.metrics(None))
    peak[0] = 0
    views = Views("crops,mirror,jitter", rows, 1)
    key = soft_labels.Key("t", soft_labels.image_fingerprint(images), views.names, tuple("abcdefg"))
    store = soft_label_pass.fill(folder / "store", key, images, views, teacher)
    batches = TrainingBatches(images, labels, views, 64, 0, store.logits)
    distiller.fit(batches.from_step(0, 0), steps_per_epoch=10, verbose=0, shuffle=False)
    return peak[0]

threading.Thread(target=watch, daemon=True).start()
rows, folder = int(sys.argv[1]), Path(sys.argv[2])
print(json.dumps([run(rows * times, folder / str(times)) for times in (1, 10)]))
"""


def _peaks(rows: int, folder: Path) -> list[float]:
    """Megabytes with so many images and with ten times as many, one after the other."""
    done = subprocess.run(
        [sys.executable, "-c", QUICK + RUN, str(rows), str(folder)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the memory of a process from /proc"
)
@pytest.mark.parametrize(
    ("rows", "allowed"),
    [
        (2_000, 60),
        pytest.param(28_709, 300, marks=pytest.mark.slow),
    ],  # the second is FER2013's training split
)
def test_ten_times_the_images_take_little_more_memory(
    rows: int, allowed: float, tmp_path: Path
) -> None:
    small, large = _peaks(rows, tmp_path)
    sys.stdout.write(f"{rows:,} images: {small:.0f} MB; ten times as many: {large:.0f} MB\n")
    assert large - small < allowed
    # In memory the images alone would take more than what is allowed.
    assert 9 * rows * 64 * 64 / 2**20 > allowed
