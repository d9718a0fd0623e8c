"""Training images that stay in their shards: what shuffling within groups of shards costs in
accuracy, and what a start costs in time and memory at 10^5, 10^6 and 10^7 rows.

    .venv/bin/python benchmarks/shards.py shuffling data/fer2013.csv
    .venv/bin/python benchmarks/shards.py rows

`shuffling` trains on the labels alone and prints the accuracies; `--buffers 1` shuffles within each
shard, 100000 all images. `rows` draws a shard of 10,000 pictures once and links it under as many
names as are needed.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

if TYPE_CHECKING:
    from keras_kd.config import Config

SHARDS = 60
ROWS = 10_000
BATCHES = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("shuffling", "rows", "one"))
    parser.add_argument("path", nargs="?", type=Path, help="fer2013.csv; of `one`, a folder")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--buffers", type=int, nargs="+", default=[100_000, 16_384, 4_096, 1])
    given = parser.parse_args()
    if given.what == "one":
        _start(given.path)
    elif given.what == "rows":
        _rows()
    else:
        _shuffling(given.path, given.epochs, given.seeds, given.buffers)


def _png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _write(path: Path, pictures: np.ndarray, labels: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [_png(picture) for picture in pictures]
    pyarrow.parquet.write_table(pyarrow.table({"image": files, "label": labels}), path)


def _shuffling(csv: Path, epochs: int, seeds: int, buffers: list[int]) -> None:
    """Train C on FER2013 in 60 shards, shuffled in groups of different sizes."""
    from keras_kd import datasets
    from keras_kd.config import Config

    with tempfile.TemporaryDirectory() as folder:
        for split in datasets.SPLITS:
            samples = datasets.load(f"fer2013:{csv}", split, size=48)
            parts = np.array_split(np.arange(len(samples)), SHARDS if split == "train" else 2)
            for number, part in enumerate(parts):
                names = [samples.class_names[label] for label in samples.labels[part]]
                path = Path(folder, "data", f"{split}-{number:03d}.parquet")
                _write(path, samples.images[part, :, :, 0], names)
        for seed, buffer in itertools.product(range(seeds), buffers):
            config = Config(
                data=f"shards:{folder}/data",
                student="C",
                alpha=1.0,
                epochs=epochs,
                image_size=48,
                shuffle_buffer=buffer,
                seed=seed,
            )
            found = _trained(config, Path(folder, f"{buffer}-{seed}"))
            print(json.dumps({"buffer": buffer, "seed": seed, **found}), flush=True)


def _trained(config: Config, out: Path) -> dict[str, float]:
    """Train a student without its exports and card; its accuracy on what it was not trained on."""
    from keras_kd._common.progress import Terminal
    from keras_kd.pipelines import data_loading, distill, plan, teacher_setup
    from keras_kd.training import job

    silent = Terminal(quiet=True)
    out.mkdir()
    resolved = plan.resolve_run(config, out, False)
    data = data_loading.load_data(resolved.data, silent)
    supervision = teacher_setup.prepare(resolved, data, silent)
    task = distill.student_job(resolved, data, supervision, out)
    student, _ = job.train(task, resolved.training, data, silent)
    return {
        split: float(
            (student.predict(images.images, 256, verbose=0).argmax(1) == images.labels).mean()
        )
        for split, images in (("validation", data.validation), ("test", data.test))
    }


def _rows() -> None:
    """Start on more and more rows, each in a process of its own."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (ROWS, 16, 16)).astype(np.uint8)
    labels = [f"class {label}" for label in random.integers(0, 7, ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder, "one.parquet")
        _write(one, pictures, labels)
        environment = {**os.environ, "KERAKD_CACHE": f"{folder}/cache"}
        for count in (10, 100, 1000):
            place = Path(folder, str(count))
            place.mkdir()
            names = [f"train-{number:05d}" for number in range(count)] + ["validation", "test"]
            for name in names:
                (place / f"{name}.parquet").hardlink_to(one)
            for start in ("first", "second"):
                print(f"{count * ROWS:,} rows, {start} start: ", end="", flush=True)
                command = [sys.executable, __file__, "one", str(place)]
                subprocess.run(command, env=environment, check=True)


def _start(folder: Path) -> None:
    """Open the data, draw some batches, and tell what both took."""
    from keras_kd.datasets import splits
    from keras_kd.teachers.views import Views
    from keras_kd.training.shard_batches import ShardBatches

    begun = time.process_time()
    data = splits.load(f"shards:{folder}", size=16)
    opened = time.process_time()
    views = Views("mirror", ROWS)
    batches = ShardBatches(data.shards, lambda labels: labels, views, 128, 0, None, None, 16_384)
    for _ in itertools.islice(batches.from_step(0, 0), BATCHES):
        pass
    drawn = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"opened in {opened - begun:.1f} processor seconds, {BATCHES} batches of 128 in"
        f" {drawn - opened:.1f}, peak memory {peak:.0f} MB",
        flush=True,
    )


if __name__ == "__main__":
    main()
