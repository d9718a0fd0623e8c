"""A first configuration file, made from a look at a folder of images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from keras_kd._common.files import write_text
from keras_kd._common.progress import Terminal
from keras_kd._common.text import some
from keras_kd.datasets import Samples, class_names, splits
from keras_kd.datasets.splits import Data
from keras_kd.errors import OutputError

# Sizes that the shipped students were trained at, and the largest that two cores train in minutes.
SIZES = (32, 48, 64, 96)
FEW = 2000


def begin(
    data: str | Path,
    out: str | Path,
    skip_bad_rows: bool = False,
    terminal: Terminal | None = None,
) -> str:
    """Write a commented TOML file for a data set.

    Args:
        data: a data set as the option `data`.
        out: the file to write; it must not exist.
        skip_bad_rows: leave out unreadable rows instead of raising, here and in the file.
        terminal: where the user sees notes on the data and the rows that are left out; None for
            nowhere.

    Returns:
        The text of the file.

    Raises:
        DataError: the data can't be read.
        OutputError: the file exists, or can't be written.
    """
    if Path(out).exists():
        raise OutputError(f"{out} already exists: choose another --out, or remove it.")
    found = splits.load(str(data), skip_bad_rows)
    parts = (found.train, found.validation, found.test)
    terminal = terminal or Terminal(quiet=True)
    terminal.notes(found.passed_over)
    terminal.skipped(line for part in parts for line in part.skipped)
    text = suggested(found, str(data), skip_bad_rows)
    write_text(out, text)
    return text


def suggested(data: Data, path: str, skip_bad_rows: bool) -> str:
    """Return the text of a configuration file for a data set.

    Args:
        data: the data set.
        path: its path, as the option `data`.
        skip_bad_rows: whether unreadable rows were left out.

    Returns:
        TOML.
    """
    train, names = data.train, data.class_names
    counts = np.bincount(train.hard_labels, minlength=len(names))
    faces = class_names.are_expressions(names)
    rare = counts.min() * 3 < counts.max()
    lines = [
        f"# {len(train):,} training, {len(data.validation):,} validation and {len(data.test):,} "
        f"test images of {len(names)} classes",
        f"# ({some(names)}). Run it with: kerakd distill --config THIS-FILE",
        "",
        f"data = {json.dumps(path, ensure_ascii=False)}",
        *(["skip_bad_rows = true"] if skip_bad_rows else []),
        "",
        *_size(train),
        "",
        '# Who learns: see `kerakd models`, or name a model of your own, e.g. "net.py:build".',
        'student = "C"' if len(train) < FEW else 'student = "B"',
        "# Who teaches: an architecture that is trained first, or a model file of yours.",
        'teacher = "B"' if len(train) < FEW else 'teacher = "vgg8"',
        "",
        "# How images are shown. Mirror images are "
        + ("faces, too." if faces else "left out: add mirror if they are of the same class."),
        f'augment = "crops,{"mirror," if faces else ""}jitter"',
        "",
        f"# The rarest class has {counts.min():,} training images, the most frequent"
        f" {counts.max():,}.",
        f'class_weights = "{"balanced" if rare else "none"}"',
        "",
        f"# With {'few' if len(train) < FEW else 'many'} images an epoch is "
        f"{'short: more of them are needed.' if len(train) < FEW else 'long.'}",
        f"epochs = {60 if len(train) < FEW else 30}",
        f"teacher_epochs = {40 if len(train) < FEW else 12}",
        f"batch_size = {32 if len(train) < FEW else 128}",
        "",
        "# Pictures without labels, for the teacher to label.",
        '# unlabeled = "more"',
    ]
    return "\n".join(lines) + "\n"


def _size(train: Samples) -> list[str]:
    """The option image_size, and why."""
    if train.sizes is None:
        return ["# The images are drawn in any size.", "image_size = 64"]
    median = int(np.median(train.sizes.min(axis=1)))
    size = max((one for one in SIZES if one <= median), default=SIZES[0])
    return [
        f"# Half of the images have a shorter side of {median} pixels or less. Larger costs more.",
        f"image_size = {size}",
    ]
