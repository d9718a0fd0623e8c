"""The data of a run, and what the user is told about them."""

from __future__ import annotations

from pathlib import Path

from keras_kd import datasets
from keras_kd._common.progress import Terminal
from keras_kd._common.text import counted, some
from keras_kd.datasets import splits
from keras_kd.datasets.splits import Data
from keras_kd.pipelines.apart_from_data import require_outside
from keras_kd.pipelines.plan import DatasetPlan

# Images that are compared within seconds: of 64 pixels, 10,000 take 3 s of one core.
_QUICK = 50_000


def load_data(plan: DatasetPlan, terminal: Terminal, store: Path | None = None) -> Data:
    """Load all splits of a data set and report what was found.

    Args:
        plan: which data set, and how to read it.
        terminal: where the user sees progress.
        store: folder of the soft labels that are to be written, or None.

    Returns:
        The splits.

    Raises:
        DataError: the data can't be read.
        OutputError: `store` is a folder of the data's images.
    """
    if store is not None:
        require_outside(store, plan.path)
    data = splits.load(plan.path, plan.skip_bad_rows, plan.image_size)
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    terminal.skipped(line for samples in parts.values() for line in samples.skipped)
    terminal.notes(data.passed_over)
    counts = {name: len(samples) for name, samples in parts.items()} | {
        "train": data.training_images
    }
    sizes = ", ".join(f"{count} {name}" for name, count in counts.items())
    values = f" with {' and '.join(data.value_names)}" if data.value_names else ""
    terminal.say(f"Data {data.called}: {sizes} images of {len(data.class_names)} classes{values}")
    _tell_doubts(data, terminal)
    return data


def _tell_doubts(data: Data, terminal: Terminal) -> None:
    """Say which classes can't be learnt, and how many scored images are, or look like, training
    images.
    """
    if empty := [name for name, count in data.counts()["train"].items() if not count]:
        terminal.say(f"Classes without a training image, which can't be learnt: {some(empty)}.")
    for name, count in data.scored_copies().items():
        if count:
            terminal.say(
                f"Copies: {counted(count, f'{name} image')} with exactly the pixels of a training"
                " image, which makes scores too good: leave one of each image."
            )
    # Drawn faces look alike, each of another person.
    if data.name == datasets.DRAWN:
        return
    images = sum(map(len, (data.train, data.validation, data.test)))
    if images > _QUICK:
        terminal.say(f"Comparing how {images:,} images look, to find near copies")
    for name, count in data.scored_near_copies().items():
        if count:
            terminal.say(
                f"Near copies: {counted(count, f'{name} image')} almost like a training image"
                " (another size, compression or brightness; of simple drawings, others that look"
                " alike), which makes scores too good: leave one of each image."
            )
