"""A sweep whose trials a PostgreSQL server keeps, as processes on several hosts share them.

Needs initdb and pg_ctl (apt's postgresql) and a driver: pip install pg8000.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import called
from PIL import Image

KERAKD = [sys.executable, "-P", "-c", "from keras_kd.cli.main import main; main()"]
FIXED = "--student C --teacher C --teacher-epochs 1 --epochs 1 --batch-size 8 --augment none"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("optuna") is None, reason="needs the extra sweep"),
    pytest.mark.skipif(find_spec("pg8000") is None, reason="needs a driver: pip install pg8000"),
    pytest.mark.skipif(
        not (shutil.which("initdb") and shutil.which("pg_ctl")),
        reason="needs PostgreSQL's server: apt-get install postgresql, its programs in PATH",
    ),
]


@pytest.fixture
def storage() -> Iterator[str]:
    """The address of an empty database of a server of its own."""
    # As root it refuses to run.
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    if user:
        shutil.chown(folder, "nobody")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database = folder / "data"
    setting = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, **user}
    subprocess.run(["initdb", "-D", database, "-U", "kerakd", "-A", "trust"], **setting)
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    server = ["pg_ctl", "-D", database, "-w"]
    subprocess.run([*server, "-l", folder / "log", "-o", options, "start"], **setting)
    yield f"postgresql+pg8000://kerakd@127.0.0.1:{port}/postgres"
    subprocess.run([*server, "-m", "immediate", "stop"], **setting)
    shutil.rmtree(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Dark and bright images."""
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 4), ("test", 2)):
        for name, low in (("dark", 0), ("bright", 150)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(low, low + 100, (64, 64)).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "data"


def test_a_killed_sweep_is_taken_up_by_another_process(
    storage: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("keras_kd.pipelines.trial_queue.SILENT_SECONDS", 2)
    out = tmp_path / "out"
    arguments = ["sweep", "--data", str(data), *FIXED.split(), "--vary", "temp=1,2,3",
                 "--no-pruning", "--storage", storage, "--out", str(out)]  # fmt: skip
    process = subprocess.Popen([*KERAKD, *arguments], stderr=subprocess.PIPE)
    while not (out / "trials.csv").exists():
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = pd.read_csv(out / "trials.csv")
    assert called(*arguments) == 0
    after = pd.read_csv(out / "trials.csv")
    assert sorted(after["temperature"]) == [1, 2, 3] and not list(out.glob("*.db"))
    pd.testing.assert_frame_equal(after[: len(before)], before)


def test_a_server_that_is_gone_is_told(
    storage: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = storage.replace("@127.0.0.1:", "@127.0.0.1:1")
    options = ["--data", str(data), *FIXED.split(), "--vary", "temp=1,2", "--out"]
    assert called("sweep", *options, str(tmp_path / "out"), "--storage", gone[:-9]) == 2
    assert "The database of the sweep can't be opened" in capsys.readouterr().err
