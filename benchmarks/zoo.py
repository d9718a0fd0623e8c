"""Models that we did not make, through every door: right within a bound, or refused by name.

    python benchmarks/zoo.py                       # all of them; goes on where it was stopped
    python benchmarks/zoo.py --only LSTM --table   # one, and the table of docs/export.md

Each model of zoo_models.py learns five kinds of stripes for some steps. Then each cell compares a
file, or another form of the model, with the model's own `predict` on 100 images. A cell is the
largest difference of probabilities, or the sentence of a refusal; anything else is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from scipy.special import softmax
from zoo_models import CLASSES, ZOO, Animal

import keras_kd
from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.errors import KerasKDError
from keras_kd.exporters.quantization_aware import FineTuning, export_quantization_aware
from keras_kd.models import heads
from keras_kd.runtimes import predictors

FORMATS = ("float32", "float16", "dynamic", "int8", "saved_model", "onnx")
CELLS = ("evaluate", "compact", *FORMATS, "qat")
# The largest difference of a probability allowed, by cell.
BOUNDS = {"evaluate": 1e-3, "compact": 1e-3, "float32": 1e-3, "saved_model": 1e-3, "onnx": 1e-3,
          "float16": 0.03, "dynamic": 0.2, "int8": 0.2, "qat": 0.3}  # fmt: skip
IMAGES = 100


def stripes(animal: Animal, first: int) -> Samples:
    """Gratings of five directions and scales, uint8, of an animal's size."""
    rng, side = np.random.default_rng(first), animal.side
    places, labels, images = np.mgrid[0:side, 0:side] / side, np.arange(IMAGES) % CLASSES, []
    for k in labels:
        angle = k * np.pi / CLASSES + rng.normal() * 0.1
        wave = (1 + k) * (places[1] * np.cos(angle) + places[0] * np.sin(angle))
        image = 0.5 + 0.4 * np.sin(4 * np.pi * wave + 6 * rng.random())
        image = image[..., None] * [1, 0.3 + 0.14 * k, 1 - 0.15 * k][: animal.channels]
        images.append(np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1) * 255)
    return Samples(np.array(images).astype(np.uint8), labels, tuple("abcde"))


def taken(animal: Animal, images: np.ndarray, model: keras.Model) -> np.ndarray:
    """Return pixels as the model takes them."""
    low, high = animal.value_range or (0.0, 255.0)
    floats = images * np.float32((high - low) / 255) + np.float32(low)
    inputs = getattr(model, "inputs", None)  # A subclassed model has none.
    return images if inputs and inputs[0].dtype == "uint8" else floats


def trained(animal: Animal) -> keras.Model:
    """Build an animal and train it until its answers differ between images."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(animal.policy)
    try:
        model = animal.build()
    finally:
        keras.config.set_dtype_policy("float32")
    samples = stripes(animal, 0)
    images = taken(animal, samples.images, model)
    outputs = keras.tree.flatten(model(images[:1]))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not _ends_in_softmax(model))
    targets, losses = samples.labels, loss
    if len(outputs) > 1:
        targets = {"classes": samples.labels, "value": samples.labels / CLASSES}
        losses = {"classes": loss, "value": "mse"}
    model.compile(keras.optimizers.Adam(0.003), losses)
    model.fit(images, targets, epochs=4 if len(model.layers) > 30 else 20, batch_size=20, verbose=0)
    return model


def _ends_in_softmax(model: keras.Model) -> bool:
    return heads.output_kind(model) == "probabilities"


def shares(outputs: object, probabilities: bool) -> np.ndarray:
    """Return the classes' probabilities of what a model gives."""
    classes = outputs["classes"] if isinstance(outputs, dict) else outputs
    values = np.asarray(classes, np.float64)
    return values if probabilities else softmax(values, axis=1)


class Keeper:
    """One animal with its own answers, put through the cells."""

    def __init__(self, animal: Animal, folder: Path) -> None:
        self.animal, self.folder = animal, folder
        self.model = trained(animal)
        self.samples, self.test = stripes(animal, 0), stripes(animal, 9)
        self.softmax = _ends_in_softmax(self.model)
        images = taken(animal, self.test.images, self.model)
        self.expected = shares(self.model.predict(images, verbose=0), self.softmax)
        spread = np.ptp(self.expected, axis=0).max()
        self.alive = spread > 0.05

    def difference(self, path: Path) -> float:
        """Return how far a file read back is from the model."""
        predictor = predictors.load(path, value_range=self.animal.value_range)
        found = softmax(predictor.logits(self.test.images), axis=1)
        return float(np.abs(found - self.expected).max())

    def cell(self, name: str) -> float:
        """Return a cell's difference."""
        if name == "evaluate":
            self.model.save(self.folder / "m.keras")
            return self.difference(self.folder / "m.keras")
        if name == "compact":
            images = taken(self.animal, self.test.images, self.model)
            outputs = keras_kd.compact(self.model).predict(images, verbose=0)
            return float(np.abs(shares(outputs, self.softmax) - self.expected).max())
        if name == "qat":
            path = self.folder / "qat.tflite"
            export_quantization_aware(
                self.model, path, self.samples.images, self.samples.labels,
                fine_tuning=FineTuning(epochs=1, batch_size=20, learning_rate=1e-6),
                value_range=self.animal.value_range or (0.0, 255.0),
            )  # fmt: skip
            return self.difference(path)
        path = self.folder / f"{name}{exporters.find(name).SUFFIX}"
        exporters.export(self.model, path, name, self.samples, value_range=self.animal.value_range)
        return self.difference(path)


def judged(name: str, cell: Callable[[], float]) -> dict:
    """Return a cell's outcome: its difference, a refusal, or a fault."""
    try:
        difference = cell()
    except KerasKDError as error:
        return {"refused": str(error)}
    except Exception as error:
        return {"fault": f"{type(error).__name__}: {str(error)[:200]}"}
    within = difference <= BOUNDS[name]
    return {"difference": difference} if within else {"fault": f"differs by {difference:.2g}"}


def run(names: list[str], cells: list[str], record: Path) -> None:
    """Put the models through the cells that the record lacks; a line a cell."""
    done = {(line["model"], line["cell"]) for line in read(record)}
    for name in names:
        missing = [cell for cell in cells if (name, cell) not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            keeper = Keeper(ZOO[name], Path(folder))
            for cell in missing:
                # A line that only says "started" is of a cell that ended the process.
                write(record, {"model": name, "cell": cell, "fault": "ended the process"})
                outcome = judged(cell, lambda cell=cell, keeper=keeper: keeper.cell(cell))
                if not keeper.alive:
                    outcome = {"fault": "its answers are all alike"}
                write(record, {"model": name, "cell": cell, **outcome})
                print(name, cell, outcome, flush=True)
        keras.backend.clear_session()


def read(record: Path) -> list[dict]:
    """Return the record's lines, the last of each cell."""
    lines = record.read_text().splitlines() if record.exists() else []
    last = {(line["model"], line["cell"]): line for line in map(json.loads, lines)}
    return list(last.values())


def write(record: Path, line: dict) -> None:
    """Append a line."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with record.open("a") as file:
        file.write(json.dumps(line) + "\n")


def table(lines: list[dict]) -> str:
    """Return the record as a table in Markdown, refusals as notes below it."""
    notes: list[str] = []
    by_cell = {(line["model"], line["cell"]): line for line in lines}
    rows = ["| model | " + " | ".join(CELLS) + " |", "| --- |" + " ---: |" * len(CELLS)]
    for name in dict.fromkeys(line["model"] for line in lines):
        rows.append(f"| {name} | " + " | ".join(
            _told(by_cell.get((name, cell)), notes) for cell in CELLS) + " |")  # fmt: skip
    return "\n".join([*rows, "", *(f"{n}. {note}" for n, note in enumerate(notes, start=1))])


def _told(line: dict | None, notes: list[str]) -> str:
    if line is None:
        return "–"
    if "difference" in line:
        return f"{line['difference']:.1g}"
    if "fault" in line:
        return f"**{line['fault']}**"
    if line["refused"] not in notes:
        notes.append(line["refused"])
    return f"refused ({notes.index(line['refused']) + 1})"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(ZOO))
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--record", type=Path, default=Path("runs/zoo.jsonl"))
    parser.add_argument("--table", action="store_true", help="print the table, run nothing")
    arguments = parser.parse_args()
    if not arguments.table:
        run(arguments.only or list(ZOO), arguments.cells.split(","), arguments.record)
    print(table(read(arguments.record)))


if __name__ == "__main__":
    main()
