"""`.tflite` files as predictors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_kd._common.hardware import cores
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.models.spec import ModelSpec, require_whole_pixels
from keras_kd.runtimes import tflite_graph
from keras_kd.runtimes._file_predictor import FilePredictor
from keras_kd.runtimes._file_shapes import columns, require_known, require_shape
from keras_kd.runtimes.litert import LiteRTModel, stopped
from keras_kd.runtimes.multiply_accumulates import of_tflite

# Calibrated ranges end a step or two beside the numbers that they are made of.
_SCALE_SLACK = 0.02
_RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
# Ranges were calibrated on images, which may be dim; int16 spans twice what it holds.
_LEAST_HELD, _LEAST_USED = 1 / 2, 1 / 8
# Two took 0.6 of one's time for mobilenet-face; of many, small files have no use.
_MOST_THREADS = 4


class LiteRTPredictor(FilePredictor):
    """A `.tflite` file on the LiteRT runtime, image by image as in an app.

    Args:
        path: the file.
        spec: what it takes and gives; `input_shape` is the file's own, and the scale of a
            quantized input states the pixel values if nothing else does.
        head: the output of classes, of several.
        size: (H, W, C) as the user states it; a file that leaves sides open needs it.
    """

    def __init__(
        self,
        path: str | Path,
        spec: ModelSpec,
        head: str | None = None,
        size: tuple[int, int, int] | None = None,
    ) -> None:
        self._model = LiteRTModel(path, min(cores(), _MOST_THREADS), size=size)
        if size:
            require_shape(self._model.input_shape, replace(spec, input_shape=size))
        shapes = self._model.output_shapes
        widths = columns({name: shape or (1,) for name, shape in shapes.items()}, head)
        pixels = spec.pixels or self._pixels_of_scale()
        self.spec = replace(spec, input_shape=self._model.input_shape, pixels=pixels)
        require_known(self.spec)
        self._require_span()
        if self._model.input_dtype.kind != "f" and self._model.input_limits is None:
            require_whole_pixels(self.spec)
            self.takes_whole_numbers = True
        self._know(widths, head)
        self._path = path
        self.content = [Path(path).read_bytes()]
        indices = self._model.output_indices
        self._know_kind(lambda name: tflite_graph.output_kind(path, indices[name]))

    def _pixels_of_scale(self) -> PixelValues | None:
        """Return the usual range that a quantized input spans, from its scale and zero point."""
        limits = self._model.input_limits
        # int16 spans as much below 0 as above, whatever the pixels are.
        ranges = _RANGES if limits and self._model.input_dtype != np.int16 else ()
        for usual in ranges:
            slack = _SCALE_SLACK * (usual[1] - usual[0])
            if all(abs(a - b) <= slack for a, b in zip(limits, usual, strict=True)):
                return PixelValues(usual)
        return None

    def _require_span(self) -> None:
        """Refuse pixels, stated or assumed, that the integers of a quantized input can't stand for,
        or that would use next to none of them.
        """
        limits, channels = self._model.input_limits, self.spec.input_shape[2]
        if limits is None:
            return
        ends = self.spec.expected_pixels.of(np.array([[0] * channels, [255] * channels], np.uint8))
        low, high = float(ends.min()), float(ends.max())
        held = min(high, limits[1]) - max(low, limits[0])
        if held < _LEAST_HELD * (high - low) or held < _LEAST_USED * (limits[1] - limits[0]):
            raise ModelError(
                f"The model takes {self._model.input_dtype} that stands for numbers from"
                f" {limits[0]:.4g} to {limits[1]:.4g}, and its pixels are"
                f" {'assumed' if self.assumes_pixels else 'stated'} to be {low:.4g} to {high:.4g}:"
                " state what it takes by --range, as 0,1 or -1,1, or by --mean and --std; if it was"
                " quantized by darker or paler images, quantize it again by images as it will see."
            )

    @property
    def multiply_accumulates(self) -> int | None:
        """Of the file's own shape for one image; None where it leaves sides open."""
        return None if self._model.is_open else of_tflite(self._path) // self._model.batch

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        try:
            outputs = self._model.predict_heads(pixels)
        except RuntimeError as error:
            raise ModelError(
                f"LiteRT can't compute {self._path} for these images"
                f" ({stopped(self._path, error)}): export it again without this operator, or leave"
                " the images out."
            ) from error
        # Some converters leave axes of one before the classes.
        return {name: output.reshape(len(output), -1) for name, output in outputs.items()}
