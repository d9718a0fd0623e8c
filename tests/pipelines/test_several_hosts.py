"""Two processes that train on halves of each batch, against one process with the joined batch."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets, models
from keras_kd.teachers import soft_label_pass
from keras_kd.teachers.soft_labels import Key, image_fingerprint
from keras_kd.teachers.views import Views

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "several_hosts.py"


def _data(folder: Path) -> Path:
    random = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        for name in ("dark", "bright"):
            (folder / split / name).mkdir(parents=True)
            for number in range(16 if split == "train" else 1):
                pixels = random.integers(0, 256, (16, 16)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


def _store(data: Path, folder: Path) -> Path:
    """What a teacher of brightness in two corners would tell."""
    train = datasets.load(data, "train", size=16)
    views = Views("mirror", len(train))
    key = Key("corners", image_fingerprint(train.images), views.names, train.class_names)
    soft_label_pass.fill(
        folder,
        key,
        train.images,
        views,
        lambda pixels: pixels[:, 0, [0, -1], 0].astype(np.float32) / 32,
    )
    return folder


def _start(data: Path, store: Path, out: Path, **environment: str) -> subprocess.Popen:
    arguments = [
        "--image-size",
        "16",
        "--epochs",
        "2",
        "--batch-size",
        "16",
        "--learning-rate",
        "0.02",
    ]
    command = [
        sys.executable,
        SCRIPT,
        "--data",
        data,
        "--soft-labels",
        store,
        "--out",
        out,
        *arguments,
    ]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **environment}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _finish(*processes: subprocess.Popen) -> None:
    for process in processes:
        _, told = process.communicate()
        assert process.returncode == 0, told[-2000:]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs the extra jax")
def test_two_processes_train_as_one_with_the_joined_batch(tmp_path: Path) -> None:
    data = _data(tmp_path / "data")
    store = _store(data, tmp_path / "store")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ranks = [
        {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(rank),
        }
        for rank in (0, 1)
    ]
    _finish(
        *(
            _start(data, store, tmp_path / f"two-{number}.keras", **rank)
            for number, rank in enumerate(ranks)
        )
    )
    _finish(_start(data, store, tmp_path / "one.keras"))
    assert not (tmp_path / "two-1.keras").exists()

    two, one = (
        keras.models.load_model(tmp_path / name).get_weights()
        for name in ("two-0.keras", "one.keras")
    )
    start = models.build("C", 2, (16, 16, 1), seed=0).get_weights()
    difference = max(float(np.abs(a - b).max()) for a, b in zip(two, one, strict=True))
    moved = np.median([float(np.abs(a - b).max()) for a, b in zip(one, start, strict=True)])
    sys.stdout.write(f"largest difference {difference:.2g}, where weights moved by {moved:.2g}\n")
    assert difference < 1e-4 and moved > 100 * difference
