"""`.onnx` files as predictors."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_kd.models.spec import ModelSpec, require_whole_pixels
from keras_kd.runtimes import onnx_graph, onnx_runtime
from keras_kd.runtimes._file_predictor import FilePredictor
from keras_kd.runtimes._file_shapes import columns, sized
from keras_kd.runtimes.onnx_runtime import OnnxModel


class OnnxPredictor(FilePredictor):
    """An `.onnx` file on ONNX Runtime. Needs the extra `onnx`.

    Args:
        path: the file.
        spec: what it takes and gives; `input_shape` is needed where the file leaves sizes open.
        head: the output of classes, of several.
    """

    def __init__(self, path: str | Path, spec: ModelSpec, head: str | None = None) -> None:
        self._model = OnnxModel(path)
        self.spec = sized(spec, self._model.input_shape)
        if self._model.takes_whole_numbers:
            require_whole_pixels(self.spec)
            self.takes_whole_numbers = True
        widths = columns(self._model.output_shapes, head)
        self._names = list(widths)
        names = [name for name in self._model.quantized_outputs if name in widths]
        self._scales = onnx_graph.output_scales(path, names) if names else {}
        self._know(widths, head)
        self.content = [file.read_bytes() for file in onnx_runtime.files(path)]
        self._know_kind(lambda name: onnx_graph.output_kind(path, name))

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        outputs = self._model.predict_heads(pixels, self._names)
        for name, (scale, zero) in self._scales.items():
            outputs[name] = (outputs[name] - zero) * scale
        return outputs
