"""Several processes that train one student together, against one process with the whole batch."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import pytest
import small_shards
from command_line import called
from small_network import NETWORK

from keras_kd import config as configuration
from keras_kd import models
from keras_kd._common import hosts
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import splits
from keras_kd.errors import ConfigError
from keras_kd.pipelines import plan
from keras_kd.pipelines.trials import Trials
from keras_kd.teachers import soft_label_pass
from keras_kd.teachers.shard_labels import ShardSoftLabels
from keras_kd.teachers.soft_labels import Key, image_fingerprint
from keras_kd.teachers.views import Views

NEEDS_JAX = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs the extra jax"
)
CLASSES = tuple(sorted(small_shards.NAMES))


def _teacher(pixels: np.ndarray) -> np.ndarray:
    """Logits from the brightness of two corners."""
    return pixels[:, 0, [0, -1], 0].astype(np.float32) / 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, and the same images where they are read into memory, each with stored outputs."""
    folder = tmp_path_factory.mktemp("hosts")
    small_shards.write_splits(folder / "shards", ".parquet", rows=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAKD_CACHE", str(folder / "cache"))
        whole = splits.load(f"shards:{folder}/shards", size=16)
        views = Views("mirror", 80)
        found = ShardSoftLabels(
            Key("corners", "", views.names, CLASSES), whole.shards, folder / "s"
        )
        for number in range(4):
            images = whole.shards.read(number).images
            place, key = found.folder_of(number), found.key_of(number)
            soft_label_pass.fill(place, key, images, views, _teacher)
        images = splits.load(f"parquet:{folder}/shards", size=16).train.images
        key = Key("corners", image_fingerprint(images), views.names, CLASSES)
        soft_label_pass.fill(folder / "p", key, images, views, _teacher)
    return folder


def _run(data: Path, out: Path, form: str, count: int, student: str = "C") -> Path:
    """A run's folder as the head leaves it for its training."""
    config = Config(
        data=f"{form}:{data}/shards",
        soft_labels=str(data / form[0]),
        student=student,
        alpha=0.5,
        image_size=16,
        epochs=2 if student == "C" else 3,
        batch_size=16,
        learning_rate=0.02,
        augment="mirror",
        shuffle_buffer=40,
        precision="float32",
        hosts=count,
    ).effective()
    out.mkdir()
    (out / "config.toml").write_text(configuration.dump(asdict(config), {}))
    (out / ".state").mkdir()
    return out


def _program(out: Path, count: int, parent: int) -> list[str]:
    return ["-m", "keras_kd.pipelines.joint", str(out), str(count), str(parent)]


def _start(out: Path, count: int, number: int, port: int, **more: str) -> subprocess.Popen:
    place = {"KERAKD_HEAD": f"127.0.0.1:{port}", "KERAKD_HOST": str(number)}
    own = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, **own, **place, "KERAKD_CACHE": str(out / "cache"), **more}
    return subprocess.Popen(
        [sys.executable, *_program(out, count, os.getpid())],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _trained(out: Path, count: int) -> list[np.ndarray]:
    port = _port()
    processes = [_start(out, count, number, port) for number in range(count)]
    for process in processes:
        _, told = process.communicate(timeout=1200)
        assert process.returncode == 0, told[-3000:]
    return keras.models.load_model(out / ".state" / "joint.keras").get_weights()


def _difference(left: list[np.ndarray], right: list[np.ndarray]) -> list[float]:
    """The largest difference in each array, of values above 1 as a share of them."""
    return [
        float((np.abs(a - b) / np.maximum(1, np.abs(a))).max())
        for a, b in zip(left, right, strict=True)
    ]


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """The weights that one process reaches on the shards."""
    return _trained(_run(data, tmp_path_factory.mktemp("one") / "run", "shards", 1), 1)


@NEEDS_JAX
@pytest.mark.slow
@pytest.mark.parametrize(("form", "count"), [("shards", 2), ("shards", 4), ("parquet", 2)])
def test_processes_train_as_one_with_the_joined_batch(
    data: Path, alone: list[np.ndarray], tmp_path: Path, form: str, count: int
) -> None:
    together = _trained(_run(data, tmp_path / "together", form, count), count)
    one = alone if form == "shards" else _trained(_run(data, tmp_path / "one", form, 1), 1)
    start = models.build("C", 2, (16, 16, 1), seed=0).get_weights()
    difference, moved = max(_difference(together, one)), np.median(_difference(one, start))
    sys.stdout.write(f"{form}, {count}: difference {difference:.2g}, moved {moved:.2g}\n")
    # The statistics of batch normalisation are among the weights.
    assert difference < 1e-6 and moved > 1000 * difference


@pytest.fixture(scope="module")
def small_alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """As `alone`, of a student that is traced quickly."""
    return _trained(_run(data, tmp_path_factory.mktemp("small") / "run", "shards", 1, NETWORK), 1)


def _killed_after_an_epoch(out: Path, count: int, lost: int, how: int) -> None:
    """Start the processes, kill one when the next epoch is saved, and see the others end."""
    state, port = out / ".state" / "state.npz", _port()
    first = state.stat().st_mtime_ns if state.exists() else None
    processes = [_start(out, count, number, port) for number in range(count)]
    while True:
        assert all(process.poll() is None for process in processes), processes[0].stderr.read()
        if state.exists():
            # A new training saves its beginning, too.
            first = first or state.stat().st_mtime_ns
            if state.stat().st_mtime_ns > first:
                break
        time.sleep(0.01)
    os.kill(processes[lost].pid, how)
    # The other ones notice within the minute that a process may be silent.
    for number, process in enumerate(processes):
        assert number == lost or process.wait(timeout=1200) != 0


@NEEDS_JAX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "lost", "how"),
    [(2, [1], signal.SIGTERM), (2, [0], signal.SIGKILL), (4, [2, 0], signal.SIGKILL)],
    ids=["worker", "head", "two of four"],
)
def test_killed_processes_end_all_and_the_run_goes_on_to_the_same_end(
    data: Path,
    small_alone: list[np.ndarray],
    tmp_path: Path,
    count: int,
    lost: list[int],
    how: int,
) -> None:
    out = _run(data, tmp_path / "run", "shards", count, NETWORK)
    for number in lost:
        _killed_after_an_epoch(out, count, number, how)
    difference = max(_difference(_trained(out, count), small_alone))
    sys.stdout.write(f"{count} processes, killed {lost}: difference {difference:.2g}\n")
    assert difference < 1e-6


@NEEDS_JAX
@pytest.mark.slow
def test_a_slow_process_is_waited_for(
    data: Path, small_alone: list[np.ndarray], tmp_path: Path
) -> None:
    out, port = _run(data, tmp_path / "run", "shards", 2, NETWORK), _port()
    processes = [_start(out, 2, number, port) for number in range(2)]
    while any(process.poll() is None for process in processes):
        # Stopped for a second in every three.
        os.kill(processes[1].pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(processes[1].pid, signal.SIGCONT)
        time.sleep(2)
    assert [process.wait() for process in processes] == [0, 0]
    found = keras.models.load_model(out / ".state" / "joint.keras").get_weights()
    assert max(_difference(found, small_alone)) < 1e-6


@NEEDS_JAX
@pytest.mark.slow
def test_a_process_ends_with_the_command_that_started_it(data: Path, tmp_path: Path) -> None:
    out = _run(data, tmp_path / "run", "shards", 2, NETWORK)
    command = (
        "import os, subprocess, sys\n"
        f"program = {_program(out, 2, 0)[:-1]!r} + [str(os.getpid())]\n"
        "process = subprocess.Popen([sys.executable, *program])\n"
        "print(process.pid, flush=True)\n"
        "process.wait()\n"
    )
    place = {"KERAKD_HEAD": f"127.0.0.1:{_port()}", "KERAKD_HOST": "1", "KERAS_BACKEND": "jax"}
    parent = subprocess.Popen(
        [sys.executable, "-c", command], env={**os.environ, **place}, stdout=subprocess.PIPE
    )
    # It would wait for its head for a week.
    child = int(parent.stdout.readline())
    time.sleep(1)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 300
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        time.sleep(0.2)
    assert not Path(f"/proc/{child}").exists()


def test_a_process_finds_its_place() -> None:
    head = {"KERAKD_HEAD": "10.0.0.1:1234"}
    for name in ("KERAKD_HOST", "SLURM_PROCID", "JOB_COMPLETION_INDEX"):
        assert hosts.place(4, head | {name: "3"}) == hosts.Place(3, 4, "10.0.0.1:1234")
    for wrong in ({}, {"KERAKD_HOST": "4"}, {"KERAKD_HOST": "first"}):
        with pytest.raises(ConfigError, match="number from 0 to 3"):
            hosts.place(4, head | wrong)
    for wrong in ("", "10.0.0.1", "10.0.0.1:http"):
        with pytest.raises(ConfigError, match="KERAKD_HEAD"):
            hosts.place(4, {"KERAKD_HOST": "0", "KERAKD_HEAD": wrong})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--batch-size", "30"], "batch_size must be a multiple of hosts=4"),
        (["--baseline"], "does not go with baseline"),
        (["--devices", "2"], "does not go with devices"),
    ],
)
def test_what_hosts_can_not_do_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    given: list[str],
    words: str,
) -> None:
    monkeypatch.setenv("KERAKD_HEAD", "127.0.0.1:1")
    monkeypatch.setenv("KERAKD_HOST", "0")
    assert called("distill", "--hosts", "4", "--out", str(tmp_path / "run"), *given) == 2
    assert words in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_a_sweep_on_several_hosts_is_refused() -> None:
    with pytest.raises(ConfigError, match="sweep trains in one process.*hosts=2"):
        Trials({"hosts": 2}, Terminal(quiet=True))


def test_a_teacher_on_several_hosts_is_refused() -> None:
    with pytest.raises(ConfigError, match="teach trains in one process.*hosts=2"):
        plan.resolve_teacher(Config(hosts=2))
