"""Running `.onnx` image models on ONNX Runtime; needs the extra `onnx`."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common.paths import advice
from keras_kd._common.text import first_line
from keras_kd.errors import ModelError
from keras_kd.runtimes import trial

_QUANTIZED = {f"tensor({sign}int{bits})" for sign in ("", "u") for bits in (8, 16)}
# What an image's input may be, by ONNX Runtime's names.
TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
STEP = 64
LARGEST_BATCH = 4096  # images that a file may compute at once: it may declare any number
OPEN = (64, 64, 3)  # height, width and channels in a trial where a file leaves them open
# Digests of files that were tried in this process.
_SURVIVED: set[bytes] = set()
SILENT = 4  # ONNX Runtime's severity: fatal errors alone


class OnnxModel:
    """An `.onnx` file on ONNX Runtime's CPU kernels.

    Args:
        path: the file; it has one image input (N, H, W, C) or (N, C, H, W) of floats, uint8, int32
            or int64.
        threads: number of CPU threads; 0 lets ONNX Runtime choose.
        tried: whether it survived a trial. ONNX Runtime does not check all that a file declares,
            and a bad file can end the whole process, or take all memory. Any other file is
            therefore tried in a process of its own first.

    Attributes:
        input_shape: (H, W, C); None for a size that the file leaves open.
        output_shapes: the shape of each output of numbers without the batch axis, by its name;
            None for a size that the file leaves open.
        takes_whole_numbers: whether its input is of integers.
        quantized_outputs: names of the outputs of integers of 8 or 16 bits.

    Raises:
        ModelError: the file is missing, damaged or of another form, or ONNX Runtime is not
            installed.
    """

    def __init__(self, path: str | Path, threads: int = 0, tried: bool = False) -> None:
        self.path = path
        if not tried:
            _require_survival(Path(path))
        self._session = _session(path, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in TYPES:
            taken = " and ".join(f"{image.type} of shape {image.shape}" for image in inputs)
            raise ModelError(
                f"{path} takes {taken}: expected one image (N, H, W, C) or (N, C, H, W) of floats,"
                " uint8, int32 or int64."
            )
        self.output_shapes = {
            output.name: tuple(size if isinstance(size, int) else None for size in output.shape[1:])
            for output in outputs
            if _holds_numbers(output)
        }
        self.quantized_outputs = [one.name for one in outputs if one.type in _QUANTIZED]
        self._name, self._type = inputs[0].name, TYPES[inputs[0].type]
        self.takes_whole_numbers = np.dtype(self._type).kind != "f"
        # An open size is a name or None.
        batch, *sizes = (size if isinstance(size, int) else None for size in inputs[0].shape)
        if (batch or 0) > LARGEST_BATCH:
            raise ModelError(
                f"{path} computes {batch:,} images at once, more than {LARGEST_BATCH:,}: export it"
                " for one image or any number."
            )
        self._batch = batch
        self._channels_first = sizes[0] in (1, 3) and sizes[2] not in (1, 3)
        self.input_shape = (*sizes[1:], sizes[0]) if self._channels_first else tuple(sizes)

    def predict_heads(
        self, images: np.ndarray, names: list[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Compute outputs for images.

        Args:
            images: (N, H, W, C), in the values that the file expects.
            names: of the outputs, each one row of numbers for an image; None for all.

        Returns:
            float32 (N, columns) by output name.
        """
        names = names or list(self.output_shapes)
        shown = images.transpose(0, 3, 1, 2) if self._channels_first else images
        step = self._batch or STEP
        parts = [
            self._step(shown[start : start + step], names) for start in range(0, len(shown), step)
        ]
        joined = (np.concatenate(part).astype(np.float32) for part in zip(*parts, strict=True))
        rows = (values.reshape(len(values), -1) for values in joined)
        return dict(zip(names, rows, strict=True))

    def prepared(self, input_shape: tuple[int, int, int] | None = None) -> Callable[[], object]:
        """Return a function that computes once on a black image, for timing.

        Args:
            input_shape: (H, W, C), if the file leaves it open.

        Returns:
            The function, without arguments.

        Raises:
            ModelError: the input shape is still open.
        """
        shape = input_shape or self.input_shape
        if None in shape:
            raise ModelError(
                f"{self.path} takes images of any size: say which one, as (height, width,"
                " channels)."
            )
        ordered = (shape[2], *shape[:2]) if self._channels_first else shape
        feed = {self._name: np.zeros((self._batch or 1, *ordered), self._type)}
        self._run(feed)
        return lambda: self._session.run(None, feed)

    def _step(self, shown: np.ndarray, names: list[str]) -> list[np.ndarray]:
        # A file of fixed batch gets its last, shorter step filled up.
        missing = self._batch - len(shown) if self._batch else 0
        filled = np.concatenate([shown, np.repeat(shown[-1:], missing, axis=0)])
        outputs = self._run({self._name: filled.astype(self._type)}, names)
        return [output[: len(shown)] for output in outputs]

    def _run(self, feed: dict[str, np.ndarray], names: list[str] | None = None) -> list[np.ndarray]:
        try:
            return self._session.run(names, feed)
        except Exception as error:
            raise ModelError(
                f"{self.path} can't be run by ONNX Runtime ({first_line(error)}): export it again."
            ) from error


def files(path: str | Path) -> list[Path]:
    """Return all files of an `.onnx` model: the file itself, and those of its external weights.

    Args:
        path: the `.onnx` file.

    Returns:
        The paths.

    Raises:
        ModelError: it is damaged, or its weights are outside of its folder, behind a link or
            missing.
    """
    path = Path(path)
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelError(f"{path} needs ONNX: pip install 'keras-kd[onnx]'.") from error
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except DecodeError as error:
        raise ModelError(
            f"{path} can't be loaded by ONNX Runtime ({error}): export it again."
        ) from error
    external = onnx.TensorProto.EXTERNAL
    places = {
        entry.value
        for tensor in _messages(model, onnx.TensorProto)
        if tensor.data_location == external
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [path, *(_beside(path, place) for place in sorted(places))]


def _messages(message: Any, kind: type) -> Iterator[Any]:
    """All messages of a kind in a message, however deep, as in the branches of a condition."""
    left = [message]
    while left:
        one = left.pop()
        if isinstance(one, kind):
            yield one
            continue
        for field, value in one.ListFields():
            if field.message_type is not None:
                left += [value] if hasattr(value, "ListFields") else value


def _beside(path: Path, place: str) -> Path:
    """The file of external weights at a place that a file names."""
    file = path.parent / place
    inside = not os.path.isabs(place) and ".." not in Path(place).parts
    # A link could lead out of the folder as well as "..".
    straight = file.resolve() == path.parent.resolve() / place and file.is_file()
    if not inside or not straight or file.stat().st_nlink > 1:
        raise ModelError(
            f"{path} has weights in {place}, which is no file in its folder or a link: export it"
            " again, or put a copy of the file there."
        )
    return file


def _holds_numbers(output: Any) -> bool:
    """Whether an output is an array of numbers; others are names of classes, or a dict an image."""
    return output.type.startswith("tensor(") and output.type != "tensor(string)"


def _require_survival(path: Path) -> None:
    """Compute once in another process; raise ModelError where that ends it."""
    _runtime(path)
    # ONNX Runtime would follow a path out of the folder to any file of the machine.
    content = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files(path))
    if content not in _SURVIVED:
        trial.require_survival(path, "ONNX Runtime", __name__)
    _SURVIVED.add(content)


def _try(path: str, seconds: int, memory: int) -> None:
    """Compute once on a black image."""
    size = sum(file.stat().st_size for file in files(path))
    with trial.bounded(size, seconds, memory):
        model = OnnxModel(path, tried=True)
        height, width, channels = model.input_shape
        shape = (height or OPEN[0], width or OPEN[1], channels or OPEN[2])
        try:
            model.prepared(shape)
        except ModelError as error:
            # A file of open sizes may not take these: whether it runs shows with its own images.
            if shape == model.input_shape or "alloc" in str(error):
                raise


def _runtime(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise ModelError(f"No model at {path}: {advice(path)}.")
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{path} needs ONNX Runtime: pip install 'keras-kd[onnx]'.") from error
    return onnxruntime


def _session(path: str | Path, threads: int) -> Any:
    onnxruntime = _runtime(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # It would print errors itself, with names from the file as they are; they are raised besides.
    options.log_severity_level = SILENT
    onnxruntime.set_default_logger_severity(SILENT)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's have no public type in common.
        raise ModelError(
            f"{path} can't be loaded by ONNX Runtime ({first_line(error)}): export it again."
        ) from error


if __name__ == "__main__":
    _try(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
