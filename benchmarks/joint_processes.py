"""Processor seconds of an epoch that 1, 2 and 4 processes train together on this machine.

    KERAS_BACKEND=jax .venv/bin/python benchmarks/joint_processes.py data/fer2013.csv

Student C on the labels alone, 48 pixels, batches of 128. Each count is run for one epoch and for
three; half of the difference is an epoch, and the rest is what starting costs. Efficiency compares
an epoch's processor seconds with those of one process. Needs the extra jax; prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from keras_kd import config as configuration
from keras_kd._common.markdown import table
from keras_kd.config import Config

EPOCHS = (1, 3)


def spent() -> float:
    """Processor seconds of all ended children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def folder(data: Path, out: Path, epochs: int, count: int) -> Path:
    """A run's folder as its head leaves it for the training."""
    config = Config(
        data=str(data.resolve()), student="C", alpha=1.0, image_size=48, epochs=epochs,
        batch_size=128, precision="float32", hosts=count,
    ).effective()  # fmt: skip
    (out / ".state").mkdir(parents=True)
    (out / "config.toml").write_text(configuration.dump(asdict(config), {}))
    return out


def trained(out: Path, count: int) -> float:
    """Train in so many processes; their processor seconds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    own = {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-P", "-m", "keras_kd.pipelines.joint"]
    before = spent()
    processes = [
        subprocess.Popen(
            [*command, str(out), str(count), str(os.getpid())],
            env=os.environ | own | {"KERAKD_HEAD": f"127.0.0.1:{port}", "KERAKD_HOST": str(number)},
        )
        for number in range(count)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"The training of {count} processes failed.")
    return spent() - before


def main() -> None:
    """Train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="fer2013.csv")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    epoch: dict[int, float] = {}
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for count in given.counts:
            short, long = (
                trained(folder(given.data, Path(place, f"{count}-{epochs}"), epochs, count), count)
                for epochs in EPOCHS
            )
            epoch[count] = (long - short) / (EPOCHS[1] - EPOCHS[0])
            beside = (short - epoch[count]) / count
            share = 100 * epoch[given.counts[0]] / epoch[count]
            rows.append((f"{count}", f"{epoch[count]:.1f}", f"{share:.0f} %", f"{beside:.1f}"))
    head = ("processes", "processor seconds an epoch, all", "efficiency", "beside, each")
    print(table(head, rows))


if __name__ == "__main__":
    main()
