"""Size, peak memory and time of the paper's models, in Keras and in each exported format."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_kd import exporters, models
from keras_kd._common import hardware
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.files import write_text
from keras_kd._common.progress import Terminal
from keras_kd._common.text import plain_reason
from keras_kd.datasets.readers import faces
from keras_kd.errors import DataError
from keras_kd.evaluation import benchmark
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec

FILE = "footprint.json"
_FIGURE = {
    **dict.fromkeys(("model", "form", "hardware"), str),
    **dict.fromkeys(("bytes", "median_ms", "p95_ms"), float),
    "peak_memory": (float, None),
}


def measure(
    names: Sequence[str], seconds: float = 3.0, terminal: Terminal | None = None
) -> list[dict[str, Any]]:
    """Measure architectures with untrained weights, which changes neither size nor speed.

    Args:
        names: architectures; int8 is calibrated on drawn faces.
        seconds: time to measure each format; the formats of a model take turns.
        terminal: where the user sees progress; None for nowhere.

    Returns:
        One dictionary for each format: model, form, bytes, peak_memory (bytes or None), median_ms,
            p95_ms, hardware.
    """
    terminal = terminal or Terminal(quiet=True)
    samples = faces.load(None, "train")
    results, formats = [], exporters.litert_names()
    for name in names:
        terminal.say(f"Measuring {name} as Keras and as {', '.join(formats)}")
        with tempfile.TemporaryDirectory() as folder:
            model = models.build(name)
            paths = [
                Path(folder) / "model.keras",
                *(Path(folder) / f"{form}.tflite" for form in formats),
            ]
            keras_file.save(model, paths[0], ModelSpec(input_shape=model.input_shape[1:]))
            exporter = exporters.Exporter(model, samples, value_range=(0, 255))
            for path, form in zip(paths[1:], formats, strict=True):
                # Untrained: its answers are next to nothing, its speed is a trained one's.
                exporter.export(path, form, min_agreement=0)
            # Not converted: the Keras file is to be measured in Keras.
            measurements = benchmark.measure(paths, (1,), seconds, convert=False)
        for form, one in zip(("Keras", *formats), measurements, strict=True):
            median, high = one.latency[1]
            results.append(
                {"model": name, "form": form, "bytes": one.bytes, "peak_memory": one.peak_memory}
                | {"median_ms": median, "p95_ms": high, "hardware": hardware.describe()}
            )
    return results


def save(measured: Sequence[dict[str, Any]], folder: str | Path) -> None:
    """Write footprint.json.

    Args:
        measured: as `measure` returned it.
        folder: the folder of the file.
    """
    write_text(Path(folder) / FILE, json.dumps(list(measured), indent=2) + "\n")


def load(folder: str | Path) -> list[dict[str, Any]] | None:
    """Read footprint.json.

    Args:
        folder: the folder of the file.

    Returns:
        What `save` wrote; None if there is no file.

    Raises:
        DataError: the file is damaged.
    """
    path = Path(folder) / FILE
    if not path.exists():
        return None
    try:
        return read_json(read_text(path), [_FIGURE])
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} can't be read ({plain_reason(error)}): measure again with --measure."
        ) from error
