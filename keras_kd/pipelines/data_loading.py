"""The data of a run, what the user is told about them, and places apart from them."""

from __future__ import annotations

from pathlib import Path

from keras_kd import datasets
from keras_kd._common.progress import Terminal
from keras_kd._common.text import counted
from keras_kd.datasets import decoding, splits
from keras_kd.datasets.splits import Data
from keras_kd.errors import OutputError
from keras_kd.pipelines.plan import DatasetPlan


def load_data(plan: DatasetPlan, terminal: Terminal) -> Data:
    """Load all splits of a data set and report what was found.

    Args:
        plan: which data set, and how to read it.
        terminal: where the user sees progress.

    Returns:
        The splits.

    Raises:
        DataError: the data can't be read.
    """
    data = splits.load(plan.path, plan.skip_bad_rows, plan.image_size)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    for line in dict.fromkeys(line for samples in parts.values() for line in samples.skipped):
        terminal.say(f"skipped: {line}")
    if data.passed_over:
        terminal.say(f"Notes on the data: {'; '.join(data.passed_over)}")
    counts = {name: len(samples) for name, samples in parts.items()} | {
        "train": data.training_images
    }
    sizes = ", ".join(f"{count} {name}" for name, count in counts.items())
    values = f" with {' and '.join(data.value_names)}" if data.value_names else ""
    terminal.say(f"Data {data.called}: {sizes} images of {len(data.class_names)} classes{values}")
    _tell_doubts(data, terminal)
    return data


def require_outside(folder: Path, data: str, mixes: bool = False) -> None:
    """Check that what is written to a folder becomes no part of a data set, and hides none of it: a
    folder of models is passed over as one of results.

    Args:
        folder: the folder.
        data: the data set, as the option `data`.
        mixes: whether pictures and class names are written, as those of a bundle, which the data
            set's own folder must not get either.

    Raises:
        DataError: there is no such data set, or it can't be read.
        OutputError: the folder holds images of the data set or, with `mixes`, any of its files.
    """
    _, path = datasets.find(data)
    if path is None:
        return
    files = datasets.sources(data)
    holding = {file.parent for file in files if mixes or file.suffix.lower() in decoding.suffixes()}
    root = path if path.is_dir() else path.parent
    holding = {*holding, path} if mixes else holding - {root}
    if folder.resolve() in {place.resolve() for place in holding}:
        raise OutputError(
            f"{folder} is a folder of the data {data}, into which a model's files must not be"
            " mixed: choose another --out."
        )


def _tell_doubts(data: Data, terminal: Terminal) -> None:
    """Say which classes can't be learnt, and which scored images are training images, too."""
    if empty := [name for name, count in data.counts()["train"].items() if not count]:
        terminal.say(
            f"Classes without a training image, which can't be learnt: {', '.join(empty[:12])}"
            f"{', …' if len(empty) > 12 else ''}."
        )
    for name, count in data.scored_copies().items():
        if count:
            terminal.say(
                f"Copies: {counted(count, f'{name} image')} with exactly the pixels of a training"
                " image, which makes scores too good: leave one of each image."
            )
