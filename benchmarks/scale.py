"""What an image costs where there are many: reading, shuffled drawing, the views' numbers, and
Ray's overhead.

    .venv/bin/python benchmarks/scale.py data/fer2013.csv [--times 10] [--only read,draw,views,ray]
    [--work DIR]

Needs the extras parquet and ray, and disk: 0.5 GB for each time that FER2013's training images are
written. The teacher of the Ray part does nothing, so that the overhead is all there is. Prints
Markdown; docs/scale.md calculates with it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from PIL import Image

from keras_kd import datasets
from keras_kd.datasets.readers._fer2013_csv import CLASS_NAMES, read
from keras_kd.teachers import labelling, soft_label_pass, soft_labels
from keras_kd.teachers.soft_labels import Key
from keras_kd.teachers.views import Views

PARTS = ("read", "draw", "views", "ray")
BATCH = 128
SHARDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("csv", type=Path)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--load", metavar="DATA", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        sys.stdout.write(json.dumps(_loaded(given.load)))
        return
    _row("what", "result")
    _row("---", "---")
    for part in given.only.split(","):
        folder = Path(tempfile.mkdtemp(prefix="scale-", dir=given.work))
        try:
            globals()[f"_{part}"](given, folder)
        finally:
            shutil.rmtree(folder)


def _row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


@contextmanager
def _measured() -> Iterator[dict[str, float]]:
    """Seconds, processor seconds and the largest memory of its own, MB, of the block."""
    found, done, before = {"memory": 0.0}, threading.Event(), _own_memory()

    def watch() -> None:
        while not done.wait(0.02):
            found["memory"] = max(found["memory"], _own_memory() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start, processor = time.monotonic(), time.process_time()
    try:
        yield found
    finally:
        found |= {"seconds": time.monotonic() - start, "processor": time.process_time() - processor}
        done.set()
        watcher.join()


def _loaded(data: str) -> dict[str, float]:
    """What reading a training split takes."""
    with _measured() as found:
        rows = len(datasets.load(data, "train"))
    return {"rows": rows, **found}


def _own_memory() -> float:
    """MB that are no pages of a file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def _read(given: argparse.Namespace, folder: Path) -> None:
    table = read(given.csv, "train")
    _write_parquet(folder / "parquet", table.images[..., 0], table.labels, given.times)
    _write_csv(given.csv, folder / "many.csv", given.times)
    forms = {"csv": given.csv, f"csv, {given.times} times": folder / "many.csv"}
    forms[f"Parquet, {given.times} times"] = folder / "parquet"
    for name, path in forms.items():
        command = [sys.executable, __file__, str(given.csv), "--load", str(path)]
        found = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
        _row(
            f"reading {name}: {found['rows']:,} images to 64x64",
            f"{found['rows'] / found['processor']:,.0f} images a processor second"
            f" ({found['seconds']:.0f} s in all), {found['memory']:.0f} MB",
        )


def _write_csv(source: Path, target: Path, times: int) -> None:
    header, *rows = source.read_text().splitlines(keepends=True)
    training = [row for row in rows if "Training" in row]
    with target.open("w") as file:
        file.write(header)
        for _ in range(times):
            file.writelines(training)


def _write_parquet(folder: Path, images: np.ndarray, labels: np.ndarray, times: int) -> None:
    folder.mkdir()
    contents = [{"bytes": _png(image)} for image in images]
    table = pyarrow.table({"image": contents, "label": labels})
    for number in range(times):
        pyarrow.parquet.write_table(
            table, folder / f"train-{number:05}.parquet", row_group_size=1000
        )
    # So that nothing of the training images is held out.
    for split in ("validation", "test"):
        pyarrow.parquet.write_table(table.slice(0, 10), folder / f"{split}.parquet")
    (folder / "labels.txt").write_text("\n".join(CLASS_NAMES))


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _draw(given: argparse.Namespace, folder: Path) -> None:
    """Shuffled batches of a mapped file, its pages in memory and not."""
    path, rows = folder / "images.npy", 28_709 * given.times
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (rows, 64, 64, 1))
    for start in range(0, rows, 10_000):
        images[start : start + 10_000] = np.random.default_rng(start).integers(
            0, 256, (1, 64, 64, 1), np.uint8
        )
    images.flush()
    with _measured() as found:
        soft_labels.image_fingerprint(images)
    _row(
        "fingerprint of images",
        f"{images.nbytes / 2**20 / found['processor']:,.0f} MB a processor second",
    )
    size = f"{rows:,} images, {images.nbytes / 2**20:,.0f} MB"
    _row(
        f"drawing shuffled batches of {BATCH} of {size}, mirrored or not, in the page cache",
        _rate(images),
    )
    del images
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    _row("the same from the disk", _rate(np.load(path, mmap_mode="r")))


def _rate(images: np.ndarray, seconds: float = 10.0) -> str:
    views, order, number = (
        Views("mirror", len(images)),
        np.random.default_rng(0).permutation(len(images)),
        0,
    )
    end = time.monotonic() + seconds
    with _measured() as found:
        while number < len(order) and time.monotonic() < end:
            rows = order[number : number + BATCH]
            views.show(images, rows, rows % 2)
            number += len(rows)
    return (
        f"{number / found['seconds']:,.0f} images a second, {number / found['processor']:,.0f} a"
        " processor second"
    )


def _views(given: argparse.Namespace, folder: Path) -> None:
    rows = 1_000_000
    views, before = Views("crops,mirror,jitter", rows, 8), _own_memory()
    with _measured() as found:
        views.show(np.zeros((1, 8, 8, 1), np.uint8), np.zeros(1, int), np.zeros(1, int))
    _row(
        f"numbers of 8 crops of {rows:,} images",
        f"{found['processor']:.1f} processor seconds, {found['memory']:,.0f} MB at most, "
        f"{_own_memory() - before:,.0f} MB kept",
    )


def _ray(given: argparse.Namespace, folder: Path) -> None:
    images = np.zeros((28_709 * given.times, 64, 64, 1), np.uint8)
    views = Views("mirror", len(images))
    key = Key("none", "zeros", views.names, CLASS_NAMES)

    def teacher(pixels: np.ndarray) -> np.ndarray:
        return np.zeros((len(pixels), len(CLASS_NAMES)), np.float32)

    for name, workers in (("in one process", 0), ("2 Ray actors", 2)):
        store, times = folder / str(workers), [time.monotonic()]
        compute = labelling.by_workers(workers, store) if workers else soft_label_pass.in_turn
        soft_label_pass.fill(store, key, images, views, teacher, _noting(times), compute=compute)
        each = (times[-1] - times[2]) / (len(times) - 3)
        _row(
            f"filling a store of {len(images):,} x 2 views, {name}, with a teacher that does"
            " nothing",
            f"first chunk after {times[2] - times[0]:.1f} s, then {1000 * each:,.0f} ms a chunk of "
            f"{soft_label_pass.CHUNK:,} views",
        )


def _noting(times: list[float]) -> Callable[[int], None]:
    return lambda done: times.append(time.monotonic())


if __name__ == "__main__":
    main()
