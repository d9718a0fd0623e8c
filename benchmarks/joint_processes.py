"""Processor seconds of an epoch that 1, 2 and 4 processes train together on this machine.

    KERAS_BACKEND=jax .venv/bin/python benchmarks/joint_processes.py data/fer2013.csv

Student C on the labels alone, 48 pixels, batches of 128, three epochs of `--images` training images
and 256 validation images, so that it ends where processes wait for a processor at each step.
Processor time is read of the processes when the head tells that an epoch ended: an epoch's is the
mean of the last two, and the rest is what starting costs. Efficiency compares an epoch's processor
seconds with those of one process. `--threads` shows which kinds of threads spent them. Needs Linux
and the extra jax; prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import pandas

from keras_kd import config as configuration
from keras_kd._common.markdown import table
from keras_kd.config import Config

EPOCHS = 3
TICK = os.sysconf("SC_CLK_TCK")


def cut(csv: Path, path: Path, images: int) -> Path:
    """The first rows of each of FER2013's splits."""
    table = pandas.read_csv(csv)
    rows = table["Usage"].map({"Training": images}).fillna(256)
    table[table.groupby("Usage").cumcount() < rows].to_csv(path, index=False)
    return path


def folder(data: Path, out: Path, count: int, batch: int) -> Path:
    """A run's folder as its head leaves it for the training."""
    config = Config(
        data=str(data), student="C", alpha=1.0, image_size=48, epochs=EPOCHS,
        batch_size=batch, precision="float32", hosts=count,
    ).effective()  # fmt: skip
    (out / ".state").mkdir(parents=True)
    (out / "config.toml").write_text(configuration.dump(asdict(config), {}))
    return out


def spent(processes: list[subprocess.Popen]) -> dict[str, float]:
    """Processor seconds of running processes by the names of their threads."""
    found: dict[str, float] = defaultdict(float)
    for process in processes:
        for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
            name, _, rest = stat.read_text().rpartition(")")
            fields = rest.split()
            found[name.partition("(")[2]] += (int(fields[11]) + int(fields[12])) / TICK
    return found


def trained(out: Path, count: int) -> tuple[dict[str, float], float]:
    """Train in so many processes; an epoch's processor seconds by thread, and those of a whole
    process beside its epochs.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    own = {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-P", "-m", "keras_kd.pipelines.joint"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    processes = [
        subprocess.Popen(
            [*command, str(out), str(count), str(os.getpid())],
            env=os.environ | own | {"KERAKD_HEAD": f"127.0.0.1:{port}", "KERAKD_HOST": str(number)},
            stderr=subprocess.DEVNULL if number else subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    # The head tells each epoch when its state is saved.
    told = processes[0].stderr or ()
    ends = [spent(processes) for line in told if f"/{EPOCHS}  loss " in line]
    if any(process.wait() for process in processes):
        raise SystemExit(f"The training of {count} processes failed.")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    first, _, last = ends
    epoch = {name: (own - first.get(name, 0.0)) / 2 for name, own in last.items()}
    return epoch, (total - EPOCHS * sum(epoch.values())) / count


def main() -> None:
    """Train, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="fer2013.csv")
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", action="store_true")
    given = parser.parse_args()
    rows, one = [], 0.0
    with tempfile.TemporaryDirectory() as place:
        data = cut(given.data, Path(place, "fer2013.csv"), given.images)
        for count in given.counts:
            run = folder(data, Path(place, str(count)), count, given.batch)
            epoch, beside = trained(run, count)
            one = one or sum(epoch.values())
            share = 100 * one / sum(epoch.values())
            rows.append(
                (f"{count}", f"{sum(epoch.values()):.1f}", f"{share:.0f} %", f"{beside:.1f}")
            )
            if given.threads:
                most = sorted(epoch.items(), key=lambda pair: -pair[1])[:6]
                print(count, {name: round(own, 1) for name, own in most})
    head = ("processes", "processor seconds an epoch, all", "efficiency", "beside, each")
    print(table(head, rows))


if __name__ == "__main__":
    main()
