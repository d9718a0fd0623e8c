"""A run on shards that stay where they are: it learns, continues after a stop, and labels new
shards alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_shards
from small_network import NETWORK

from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.errors import ConfigError
from keras_kd.models import keras_file, sources
from keras_kd.pipelines.distill import distill
from keras_kd.pipelines.teach import teach

pytest.importorskip("fsspec", reason="needs the extra shards")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path_factory.getbasetemp() / "shard-runs-cache"
    monkeypatch.setenv("KERAKD_CACHE", str(cache))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_shards.write_splits(tmp_path_factory.mktemp("shards") / "data", ".tar")


def _config(data: Path, **given) -> Config:
    options = {
        "data": str(data),
        "student": NETWORK,
        "teacher": NETWORK,
        "teacher_epochs": 2,
        "epochs": 3,
        "batch_size": 16,
        "views": 2,
        "image_size": 16,
        "learning_rate": 0.02,
        "shuffle_buffer": 48,
        "formats": "float32",
        "precision": "float32",
    }
    return Config(**(options | given))


def _weights(out: Path) -> list[np.ndarray]:
    return keras_file.load(out / "student.keras")[0].get_weights()


class _Lines(Terminal):
    """Keeps what the user would see."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class _Labelled(Exception):
    pass


class _UntilLabelled(_Lines):
    """Ends a run before it trains its student."""

    def say(self, line: str) -> None:
        super().say(line)
        if line.startswith("Soft labels"):
            raise _Labelled


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAKD_CACHE", str(base / "shard-runs-cache"))
        out = tmp_path_factory.mktemp("run") / "c"
        return out, distill(_config(data, class_weights="balanced"), out)


def test_a_run_on_shards_learns_and_counts_all_images(finished: tuple[Path, dict]) -> None:
    out, found = finished
    assert found["test"]["accuracy"] > 0.9
    assert sum(found["data"]["counts"]["train"].values()) == 4 * 24
    assert len(pd.read_csv(out / "history.csv")) == 3
    assert list(out.glob("*.tflite"))


def test_a_stopped_run_goes_on_to_the_same_end(
    finished: tuple[Path, dict], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stops the training once, in the middle of its second epoch.
    stopping = tmp_path / "stopping.py"
    stopping.write_text(
        f"""
import keras, pathlib
MARK = pathlib.Path({str(tmp_path / "mark")!r})
class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 3 and not MARK.exists():
            MARK.touch()
            raise RuntimeError("stopped")
"""
    )
    config = _config(data, class_weights="balanced", callback=f"{stopping}:Stop")
    out = tmp_path / "stopped"
    monkeypatch.setattr("keras_kd.training.state.SAVE_SECONDS", -1.0)
    with pytest.raises(RuntimeError, match="stopped"):
        distill(config, out)
    distill(config, out, resume=True)
    for left, right in zip(_weights(finished[0]), _weights(out), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_a_new_shard_is_labelled_alone(data: Path, tmp_path: Path) -> None:
    copied = tmp_path / "data"
    copied.mkdir()
    for file in data.iterdir():
        (copied / file.name).hardlink_to(file)
    teacher = teach(_config(copied), tmp_path)
    plan_of = {"soft_labels": str(tmp_path / "store"), "epochs": 1}
    told = []
    for count in (4, 5):
        if count == 5:
            small_shards.write(copied / "train-new.tar", *small_shards.pictures(9, 123))
        lines = _UntilLabelled()
        config = _config(copied, teacher=str(teacher), **plan_of)
        with pytest.raises(_Labelled):
            distill(config, tmp_path / f"run-{count}", lines)
        told.append(lines.lines[-1])
    assert "4 of 4 shards labelled" in told[0] and "1 of 5 shards labelled" in told[1]
    stores = sorted((tmp_path / "store").glob("*/store.json"))
    assert len(stores) == 5
    # The stores alone teach, too.
    found = distill(_config(copied, teacher=None, **plan_of), tmp_path / "stored")
    assert found["fingerprints"]["teacher"] == json.loads(stores[0].read_text())["key"]["teacher"]


def test_what_needs_all_images_in_memory_is_refused(data: Path, tmp_path: Path) -> None:
    config = _config(data, unlabeled=str(tmp_path))
    with pytest.raises(ConfigError, match="unlabeled.*stay in their shards"):
        distill(config, tmp_path / "out")
    config = _config(data, alpha=1.0, augment="mixup")
    with pytest.raises(ConfigError, match="mixup.*shards"):
        distill(config, tmp_path / "mixed")
    teacher = tmp_path / "teacher.keras"
    sources.build(NETWORK, 2, (16, 16, 1)).save(teacher)
    store = tmp_path / "store"
    given = {"teacher": str(teacher), "soft_labels": str(store)}
    config = _config(data, unlabeled=str(tmp_path), **given)
    with pytest.raises(ConfigError, match="unlabeled.*shards"):
        distill(config, tmp_path / "labelled")
    assert not store.exists()  # refused before the teacher labels any shard
