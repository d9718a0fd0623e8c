"""Models as files for apps; one module a format in `formats`, found by its name.

A format's module has a docstring whose first paragraph says what it is, for help and
docs/export.md; and

    SUFFIX          what the path must end in ("" for a folder)
    NAMES           of a folder: of what it may hold; one with other things is not replaced, nor
                    one without the first
    TOLERANCE       the largest difference from Keras allowed, as a share of the spread of Keras'
                    outputs
    NEEDS_SAMPLES   whether the conversion is calibrated on images
    IO              the profiles of input and output that it offers, of "float", "app" and "int8"
    ROUNDS (optional) whether the file's answers are compared with Keras' too
    write(serving, path, images)  write the file and return what its operators add to the error
                                  (nothing for formats that don't round); `serving` is the model
                                  with its inputs and outputs, `images` is (N, H, W, C) as the file
                                  takes them, or None
    run(path, images)             the file's outputs by name for the same images, float32 (N, ...)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_kd.datasets import Samples
from keras_kd.datasets.pixel_values import PixelStatement
from keras_kd.exporters import targets
from keras_kd.exporters._exporter import Exporter, ExportReport, expect
from keras_kd.exporters._judgement import MIN_AGREEMENT
from keras_kd.exporters._registry import (
    calibrated_names,
    find,
    litert_names,
    names,
    rounding_names,
    summaries,
)
from keras_kd.exporters._request import require_path

if TYPE_CHECKING:
    import keras

    from keras_kd.models.output_kinds import OutputKind

__all__ = [
    "MIN_AGREEMENT",
    "ExportReport",
    "Exporter",
    "calibrated_names",
    "expect",
    "export",
    "find",
    "litert_names",
    "names",
    "require_path",
    "rounding_names",
    "summaries",
]


def export(
    model: keras.Model,
    path: str | Path,
    format: str | None = None,
    samples: Samples | np.ndarray | None = None,
    io: str | None = None,
    class_names: tuple[str, ...] | None = None,
    app_input: tuple[int, int, int] | None = None,
    value_range: PixelStatement | None = None,
    keep_float: tuple[str, ...] = (),
    min_agreement: float = MIN_AGREEMENT,
    target: str | None = None,
    measure: bool = False,
    output: OutputKind | None = None,
) -> ExportReport:
    """Convert a Keras model to a file, compare the file on its own runtime with Keras, then move it
    to its place.

    The model is rebuilt in float32, without taps that have no effect (see `compact`), for one image
    of fixed size. The input is called `image`. The output is called `logits`, or several outputs
    have the names of their heads.

    Args:
        model: takes images of fixed shape (H, W, C) and returns logits (classes,) or a dict of
            heads. A subclassed model must have been called once.
        path: the file to write.
        format: one of names(); None for the target's, or "dynamic".
        samples: images of the training data: uint8 (N, H, W, C) or Samples, of any size, or float32
            as the model expects them. They calibrate the formats that need it, and file and Keras
            are compared on them (on random pixels without them).
        io: "float": the model's own input, logits out. "app": uint8 pixels of shape `app_input` in,
            probabilities out; resizing, gray to RGB, pixel values and softmax are part of the file.
            One logit or sigmoid of two named classes becomes their two probabilities.
            "int8": input and outputs are quantized (to int16 by the format int16x8). None for the
            target's, or "float".
        class_names: the labels; their number is checked against the output.
        app_input: (H, W, C) of the image for io="app"; C is 1 (gray) or 3 (RGB). None is the
            model's own input.
        value_range: the values that the model expects for pixels 0 and 255, or a PixelValues with
            mean, std and channel order. None is 0, 255, which is checked by the samples' labels if
            they have any.
        keep_float: names of layers that the format int8 leaves in float32.
        min_agreement: share of samples, 0..1, on which a file that rounds must predict the same
            class as Keras.
        target: where the file is to run, one of `targets.TARGETS`: the written file must satisfy
            what is said there.
        measure: for the format int8 with io="app": time the file with its first convolution in
            float32 and in int8 on this machine, and write the faster.
        output: what the outputs of classes are, "logits", "probabilities" or "sigmoids", for a
            model whose graph does not show it (a subclassed one, a last layer of one's own); None
            to decide it by the outputs for the samples.

    Returns:
        The report.

    Raises:
        ConfigError: value_range is none.
        ExportError: the model, the format or the samples do not fit together, or the file failed
            its checks or does not fit its target.
        OutputError: the file can't be written.
    """
    format, io = targets.chosen(target, format, io, samples is not None)
    exporter = Exporter(model, samples, io, class_names, app_input, value_range, keep_float, output)
    return exporter.export(path, format, min_agreement, target, measure)
