"""Shards labelled by Ray's actors, of which one is killed, and then their driver."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from keras_kd.datasets.sharded import Shard, Shards
from keras_kd.teachers import labelling, shard_labels
from keras_kd.teachers.shard_labels import ShardSoftLabels
from keras_kd.teachers.soft_labels import Key
from keras_kd.teachers.views import Views

# Not imported here: Ray reads its environment when it is, and `labelling` sets that.
MISSING = importlib.util.find_spec("ray") is None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING, reason="needs the extra ray")]
COUNT = 12
VIEWS = Views("mirror", 8)
SHARDS = Shards(
    tuple(Shard(f"{number}.tar", f"content {number}", (3, 5)) for number in range(COUNT)),
    ("one", "two"),
    (4, 4, 1),
)


@dataclass(frozen=True)
class Label:
    """Labels a shard with its number, and notes that it begins; dies once at shard `mortal`."""

    folder: Path
    mortal: int = -1

    @property
    def found(self) -> ShardSoftLabels:
        key = Key("number", "", VIEWS.names, ("one", "two"))
        return ShardSoftLabels(key, SHARDS, self.folder / "stores")

    def __call__(self, number: int) -> bool:
        return shard_labels.fill_one(self.found, number, self._images, VIEWS, self._teacher)

    def _images(self, number: int) -> np.ndarray:
        time.sleep(0.3)
        return np.full((8, 4, 4, 1), number, np.uint8)

    def _teacher(self, pixels: np.ndarray) -> np.ndarray:
        number = int(pixels[0, 0, 0, 0])
        notes = self.folder / "notes"
        (notes / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
        if number == self.mortal and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full((len(pixels), 2), number, np.float32)


def _noted(folder: Path) -> Counter:
    return Counter(int(path.name.split("-")[0]) for path in (folder / "notes").iterdir())


def test_a_killed_actor_and_a_killed_driver_cost_their_own_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    path = os.pathsep.join(map(str, (root, root / "tests", root / "tests" / "teachers")))
    monkeypatch.setenv("PYTHONPATH", path, prepend=os.pathsep)
    (tmp_path / "notes").mkdir()
    driver = (
        "import pathlib, test_shard_workers as own\n"
        f"label = own.Label(pathlib.Path({str(tmp_path)!r}))\n"
        "for _ in own.labelling.shards_by_workers(2, label.found.missing(), label): pass\n"
    )
    process = subprocess.Popen([sys.executable, "-c", driver], stderr=subprocess.PIPE)
    label = Label(tmp_path)
    while len(label.found.missing()) > COUNT - 3:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)
    process.kill()
    process.wait()
    time.sleep(2)  # Ray's own processes end with the driver.
    missing, before = label.found.missing(), _noted(tmp_path)
    assert 0 < len(missing) <= COUNT - 3

    label = Label(tmp_path, mortal=missing[-1])
    done = dict(labelling.shards_by_workers(2, missing, label))
    assert sorted(done) == sorted(missing) and all(done.values())
    again = _noted(tmp_path) - before
    # Only what was missing, and that of the killed actor twice.
    assert again == Counter(missing) + Counter(missing[-1:])
    assert (tmp_path / "killed").exists()
    for number in range(COUNT):
        assert (label.found.store(number).logits == number).all()
