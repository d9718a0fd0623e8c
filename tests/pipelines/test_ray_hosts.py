"""Commands in several processes of a Ray cluster on this machine, one of which is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import small_shards
from small_network import NETWORK

LAUNCHER = Path(__file__).parents[2] / "examples" / "cluster" / "ray_hosts.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
]


def _started(tmp_path: Path, *arguments: str) -> subprocess.Popen:
    own = {
        "KERAKD_CACHE": str(tmp_path / "cache"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Despite its name it makes Ray on Linux, too, listen to this machine alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    with (tmp_path / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, LAUNCHER, "2", *arguments],
            env=os.environ | own,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _worker(out: Path) -> int:
    """The process of Ray that started the second process of the command."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            place = (entry / "environ").read_bytes().split(b"\0")
            if b"keras_kd" in words and bytes(out) in words and b"KERAKD_HOST=1" in place:
                return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    raise LookupError(out)


def _killed_when(process: subprocess.Popen, out: Path, made: str) -> None:
    """Kill one of Ray's workers when a file is there, and wait for the command's end."""
    while not (out / made).exists():
        assert process.poll() is None, (out.parent / "log").read_text()[-3000:]
        time.sleep(0.02)
    os.kill(_worker(out), signal.SIGKILL)
    assert process.wait(timeout=3000) == 0, (out.parent / "log").read_text()[-3000:]


@pytest.mark.skipif(find_spec("jax") is None, reason="needs the extra jax")
def test_a_training_that_loses_a_worker_ends_in_the_same_student(tmp_path: Path) -> None:
    data = small_shards.write_splits(tmp_path / "shards", ".tar", rows=20)
    options = ["distill", "--data", str(data), "--student", NETWORK, "--alpha", "1", "--hosts", "2"]
    options += ["--image-size", "16", "--batch-size", "16", "--epochs", "3", "--formats", "float32"]
    out = tmp_path / "run"
    process = _started(tmp_path, *options, "--augment", "none", "--out", str(out))
    _killed_when(process, out, ".state/state.npz")
    found = keras.models.load_model(out / "student.keras").get_weights()
    for left, right in zip(found, _of_one_process(out, tmp_path / "one"), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-6)


def _of_one_process(run: Path, out: Path) -> list[np.ndarray]:
    """The weights that one process reaches with the options of a run, without a stop."""
    (out / ".state").mkdir(parents=True)
    shutil.copy(run / "config.toml", out)
    program = ["-m", "keras_kd.pipelines.joint", str(out), "1", str(os.getpid())]
    subprocess.run(
        [sys.executable, *program], env=os.environ | {"KERAS_BACKEND": "jax"}, check=True
    )
    return keras.models.load_model(out / ".state" / "joint.keras").get_weights()


@pytest.mark.skipif(find_spec("optuna") is None, reason="needs the extra sweep")
def test_a_sweep_that_loses_a_worker_is_finished(tmp_path: Path) -> None:
    data = small_shards.write_splits(tmp_path / "shards", ".tar", rows=20)
    out = tmp_path / "sweep"
    options = ["sweep", "--data", str(data), "--student", NETWORK, "--alpha", "1", "--no-pruning"]
    options += ["--image-size", "16", "--epochs", "1", "--vary", "learning_rate=0.1,0.02,0.01"]
    _killed_when(_started(tmp_path, *options, "--out", str(out)), out, "trials.csv")
    found = pd.read_csv(out / "trials.csv")
    assert sorted(found["learning_rate"]) == [0.01, 0.02, 0.1]
