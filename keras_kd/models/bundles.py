"""The folder of a bundle for apps, which stands for the model file in it."""

from __future__ import annotations

import os
from pathlib import Path

MODEL_FILE = "model.tflite"


def model_file(path: str | Path) -> Path:
    """Return the model file that a path means.

    Args:
        path: a bundle's folder, or a model's own path.

    Returns:
        `model.tflite` in a folder that has one and is no SavedModel; any other path as it is.
    """
    bundled, saved_model = (os.path.join(path, name) for name in (MODEL_FILE, "saved_model.pb"))
    return Path(bundled if os.path.isfile(bundled) and not os.path.isfile(saved_model) else path)
