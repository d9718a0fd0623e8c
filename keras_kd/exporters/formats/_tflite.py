"""What all `.tflite` formats share: conversion from a SavedModel, the check of the operators, a run
on LiteRT.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd._common.quiet import native_output_hidden
from keras_kd.errors import ExportError
from keras_kd.exporters._serving import Serving
from keras_kd.runtimes import litert


def write(
    serving: Serving, path: Path, convert: Callable[[tf.lite.TFLiteConverter], bytes]
) -> None:
    """Convert and write; `convert` sets what makes the format and returns the file's bytes.

    Raises:
        ExportError: the converter refuses, or the file holds operators that plain LiteRT lacks.
    """
    with tempfile.TemporaryDirectory() as folder:
        # From a SavedModel alone: converting a concrete function gives NaN, a Keras model an open
        # batch size.
        serving.write_saved_model(folder)
        try:
            with native_output_hidden():
                content = convert(tf.lite.TFLiteConverter.from_saved_model(folder))
        except Exception as error:  # the converter's own exceptions have no public name
            lacking = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error))))
            reason = (
                f"it lacks {', '.join(lacking)}" if lacking else str(error).strip().splitlines()[0]
            )
            raise ExportError(
                f"{serving.model.name} can't be converted to LiteRT ({reason}): "
                "replace the layers by ones that LiteRT knows, or export as saved_model."
            ) from error
    path.write_bytes(content)
    foreign = litert.custom_or_flex(path)
    if foreign:
        raise ExportError(
            f"{serving.model.name} needs operators that LiteRT has not built in ({', '.join(sorted(foreign))}): "
            "replace the layers that make them, or export as saved_model."
        )


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the file's outputs by name on LiteRT, float32 (N, ...)."""
    return litert.LiteRTModel(path, trusted=True).predict_heads(images)
