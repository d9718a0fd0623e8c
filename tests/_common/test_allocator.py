"""The allocator's settings: freed memory stays in the process, results stay as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import QUICK

# The settings can't be taken back, so the run without them comes first.
RUN = """
import hashlib, json, os, resource
import keras
import numpy as np
import keras_kd
from small_network import network

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**26, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def run(setting):
    os.environ["KERAKD_ALLOCATOR"] = setting
    tuned = keras_kd.tune_allocator()
    again = [faults() for _ in range(3)][-1]
    random = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    images = random.integers(0, 256, (64, 16, 16, 1), dtype=np.uint8)
    distiller = keras_kd.Distiller(network(7, (16, 16, 1)))
    distiller.compile("sgd")
    y = {"label": random.integers(0, 7, 64), "teacher": random.normal(size=(64, 7))}
    distiller.fit(images, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    weights = b"".join(weight.tobytes() for weight in distiller.student.get_weights())
    return [tuned, again, hashlib.sha256(weights).hexdigest()]

print(json.dumps([run(setting) for setting in ("default", "keep")]))
"""


@pytest.mark.skipif("CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="needs glibc")
def test_memory_is_kept_results_stay_and_the_switch_undoes_it() -> None:
    # NumPy asks for huge pages by itself, which would hide most faults.
    environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", QUICK + RUN],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    default, kept = json.loads(done.stdout.splitlines()[-1])
    assert [kept[0], default[0]] == [True, False]
    # 64 MiB are 16,384 pages, each of which faults once when it is new.
    assert kept[1] < 1_000 < 10_000 < default[1]
    assert kept[2] == default[2]


def test_another_value_of_the_switch_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras_kd

    monkeypatch.setenv("KERAKD_ALLOCATOR", "jemalloc")
    with pytest.raises(keras_kd.KerasKDError, match="KERAKD_ALLOCATOR.*default or keep.*jemalloc"):
        keras_kd.tune_allocator()
