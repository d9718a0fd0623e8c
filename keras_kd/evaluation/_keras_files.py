"""What a benchmark makes of a `.keras` file, which runs as its float32 export."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

# TensorFlow takes seconds to import, and other files don't need it.
if TYPE_CHECKING:
    import keras

    from keras_kd.models.spec import ModelSpec

    Loaded = Callable[[Path], tuple[keras.Model, ModelSpec]]


def loaded(path: Path) -> tuple[keras.Model, ModelSpec]:
    """Load a file."""
    from keras_kd.models import keras_file

    return keras_file.load(path)


def runnable(
    path: Path, converted: Path, input_shape: tuple[int, int, int] | None, loaded: Loaded
) -> Path:
    """Return the file to time: an export of a `.keras` file, others themselves."""
    if path.suffix != ".keras":
        return path
    from keras_kd import exporters
    from keras_kd.models.surgery.copies import of_size

    model, _ = loaded(path)
    if input_shape and None in model.input_shape:
        model = of_size(model, input_shape)
    return exporters.export(model, converted, "float32").path


def without_optimizer(path: Path, model: keras.Model, spec: ModelSpec) -> bytes:
    """Return a `.keras` file as it is written without the state of its optimizer."""
    from keras_kd.models import keras_file

    with tempfile.TemporaryDirectory() as folder:
        keras_file.save(model, Path(folder) / path.name, spec)
        return (Path(folder) / path.name).read_bytes()
