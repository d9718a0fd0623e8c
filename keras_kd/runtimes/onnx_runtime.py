"""Running `.onnx` image models on ONNX Runtime; needs the extra `onnx`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd.errors import ModelError

_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
STEP = 64
# Images that a file may compute at once, and seconds of the processor's time for the first run: a
# file may declare any number, and loop without end.
LARGEST_BATCH, LONGEST = 4096, 60.0
SILENT = 4  # ONNX Runtime's severity: fatal errors alone


class OnnxModel:
    """An `.onnx` file on ONNX Runtime's CPU kernels.

    Args:
        path: the file; it has one image input (N, H, W, C) or (N, C, H, W) of float32, float16 or
            uint8, and outputs (N, columns).
        threads: number of CPU threads; 0 lets ONNX Runtime choose.

    Attributes:
        input_shape: (H, W, C); None for a size that the file leaves open.
        output_widths: number of columns of each output by its name.
        takes_bytes: whether its input is uint8.

    Raises:
        ModelError: the file is missing, damaged or of another form, or ONNX Runtime is not
            installed.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        self.path = path
        self._session = _session(path, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if (
            len(inputs) != 1
            or not _flat(outputs)
            or len(inputs[0].shape) != 4
            or inputs[0].type not in _TYPES
        ):
            taken = " and ".join(f"{image.type} of shape {image.shape}" for image in inputs)
            raise ModelError(
                f"{path} takes {taken} and gives arrays of shapes"
                f" {[output.shape for output in outputs]}: expected one image of floats or bytes"
                " in, and (N, columns) out."
            )
        self.output_widths = {output.name: output.shape[1] for output in outputs}
        self._name, self._type = inputs[0].name, _TYPES[inputs[0].type]
        self.takes_bytes = self._type is np.uint8
        # An open size is a name or None.
        batch, *sizes = (size if isinstance(size, int) else None for size in inputs[0].shape)
        if (batch or 0) > LARGEST_BATCH:
            raise ModelError(
                f"{path} computes {batch:,} images at once, more than {LARGEST_BATCH:,}: export it"
                " for one image or any number."
            )
        self._batch, self._tried = batch, False
        self._channels_first = sizes[0] in (1, 3) and sizes[2] not in (1, 3)
        self.input_shape = (*sizes[1:], sizes[0]) if self._channels_first else tuple(sizes)

    def predict_heads(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute all outputs for images.

        Args:
            images: (N, H, W, C), in the values that the file expects.

        Returns:
            float32 (N, columns) by output name.
        """
        shown = images.transpose(0, 3, 1, 2) if self._channels_first else images
        step = self._batch or STEP
        parts = [self._step(shown[start : start + step]) for start in range(0, len(shown), step)]
        columns = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
        return dict(zip(self.output_widths, columns, strict=True))

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

    def _step(self, shown: np.ndarray) -> list[np.ndarray]:
        # A file of fixed batch gets its last, shorter step filled up.
        missing = self._batch - len(shown) if self._batch else 0
        filled = np.concatenate([shown, np.repeat(shown[-1:], missing, axis=0)])
        outputs = self._run({self._name: filled.astype(self._type)})
        return [output[: len(shown)] for output in outputs]

    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Compute all outputs; before the first time, as few images as the file takes."""
        if not self._tried:
            few = {name: images[: self._batch or 1] for name, images in feed.items()}
            with _ended_after(LONGEST) as options:
                self._computed(few, options)
            self._tried = True
        return self._computed(feed, None)

    def _computed(self, feed: dict[str, np.ndarray], options: Any) -> list[np.ndarray]:
        try:
            return self._session.run(None, feed, options)
        except Exception as error:
            reason = _reason(error)
            if options and options.terminate:
                reason = f"it takes more than {LONGEST:g} s of the processor's time"
            raise ModelError(
                f"{self.path} can't be run by ONNX Runtime ({reason}): export it again."
            ) from error


@contextmanager
def _ended_after(seconds: float) -> Iterator[Any]:
    """Yield options for a run that ends after so many seconds of the processor's time."""
    import onnxruntime

    options, done = onnxruntime.RunOptions(), threading.Event()
    options.log_severity_level = SILENT
    end = time.process_time() + seconds

    def watch() -> None:
        while not done.wait(0.2):
            if time.process_time() > end:
                options.terminate = True
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield options
    finally:
        done.set()


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
    if not inside or file.resolve() != path.parent.resolve() / place or not file.is_file():
        raise ModelError(
            f"{path} has weights in {place}, which is no file in its folder: export it again, or"
            " put the file there."
        )
    return file


def _flat(outputs: list[Any]) -> bool:
    return all(len(output.shape) == 2 and isinstance(output.shape[1], int) for output in outputs)


def _session(path: str | Path, threads: int) -> Any:
    if not Path(path).is_file():
        raise ModelError(f"No model at {path}: check the path.")
    # ONNX Runtime would follow a path out of the folder to any file of the machine.
    files(path)
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{path} needs ONNX Runtime: pip install 'keras-kd[onnx]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # It would print errors itself, with names from the file as they are; they are raised besides.
    options.log_severity_level = SILENT
    onnxruntime.set_default_logger_severity(SILENT)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"{path} can't be loaded by ONNX Runtime ({_reason(error)}): export it again."
        ) from error


def _reason(error: Exception) -> str:
    """The first line of what ONNX Runtime raised; its exceptions have no public type in common."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
