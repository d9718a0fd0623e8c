"""Running `.tflite` files on LiteRT as an app does: one image at a time, without TensorFlow."""

from __future__ import annotations

import hashlib
import math
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from keras_kd._common.quiet import native_output_hidden
from keras_kd._common.text import first_line
from keras_kd.errors import ModelError
from keras_kd.runtimes import tflite_file, tflite_graph, tflite_operators, trial

# Digests of files that were made or tried in this process.
_SURVIVED: set[bytes] = set()


class LiteRTModel:
    """A `.tflite` image classifier or regressor on LiteRT's CPU kernels.

    Args:
        path: the file; it has one image input (N, H, W, C) or (N, C, H, W).
        threads: number of CPU threads.
        trusted: whether this program wrote the file. LiteRT does not check all that a file
            declares, and a bad file can end the whole process. Any other file is therefore tried in
            a process of its own first.
        size: (H, W, C) of the images, for a file that leaves sides open; a file of a fixed shape
            keeps its own.

    Attributes:
        input_shape: (H, W, C).
        batch: the number of images N that one run computes; most files have 1.
        is_open: whether the file itself leaves sides of the images open.
        channels_first: whether the file takes (N, C, H, W).
        input_dtype: numpy dtype of the input tensor: float32, uint8, int8 or int16.
        input_limits: the numbers that the smallest and largest integer of a quantized input stand
            for; None for other inputs.
        output_shapes: the shape of each output without the batch axis, by its name, in the order of
            the file's outputs.
        output_dtypes: numpy dtype of each output's tensor, by its name.
        output_indices: the number of each output's tensor in the graph, by its name.

    Raises:
        ModelError: the file is missing, damaged, no `.tflite`, or of another form than above.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int = 1,
        trusted: bool = False,
        size: tuple[int, int, int] | None = None,
    ):
        self.path = Path(path)
        content = tflite_file.content(path)
        _require_built_in(path)
        _require_no_state(path)
        self.is_open = tflite_graph.is_open(path)
        digest = _digest(content, size if self.is_open else None)
        if not trusted and digest not in _SURVIVED:
            _require_survival(self.path, content, size if self.is_open else None)
        _SURVIVED.add(digest)
        self._load(content, threads, size)
        inputs, self._outputs = self._tensors()
        [self._input] = self._require_image(inputs, size)
        self._know_input()
        self.output_shapes = {
            name: self._shape_of_one(name, tuple(map(int, tensor["shape"])))
            for name, tensor in self._outputs.items()
        }
        self.output_dtypes = {
            name: np.dtype(tensor["dtype"]) for name, tensor in self._outputs.items()
        }
        self.output_indices = {name: int(tensor["index"]) for name, tensor in self._outputs.items()}

    def _load(self, content: bytes, threads: int, size: tuple[int, int, int] | None) -> None:
        try:
            # LiteRT prints which delegate it creates.
            with native_output_hidden():
                self._interpreter = Interpreter(model_content=content, num_threads=threads)
                [image] = self._require_image(self._interpreter.get_input_details(), size)
                if self.is_open:
                    self._fix(image, size)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = first_line(error).rstrip(".")
            if self.is_open and size:
                raise ModelError(
                    f"{self.path} can't compute images of {'x'.join(map(str, size))} ({reason}):"
                    " give a larger --input."
                ) from error
            raise ModelError(
                f"{self.path} can't be loaded by LiteRT ({reason}): it is damaged or has operators"
                " that LiteRT lacks, so export it again with built-in ops only."
            ) from error

    def _know_input(self) -> None:
        """Take the size and the type of the images from the input's tensor."""
        self.batch, *sizes = (int(size) for size in self._input["shape"])
        # A side of three pixels or fewer can't be distinguished from channels.
        self.channels_first = sizes[0] in (1, 3) and min(sizes[1:]) > 3
        height, width, channels = [*sizes[1:], sizes[0]] if self.channels_first else sizes
        self.input_shape = height, width, channels
        self.input_dtype = np.dtype(self._input["dtype"])
        self.input_limits = _limits(self._input)
        if self.input_dtype in (np.int8, np.int16) and self.input_limits is None:
            raise ModelError(
                f"{self.path} has an {self.input_dtype} input without a scale, so that pixels"
                " can't be converted: export it again with one."
            )

    def predict_heads(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Compute all outputs for images.

        Args:
            images: (N, H, W, C), pixels 0..255.

        Returns:
            float32 (N, ...) by output name.

        Raises:
            ModelError: the images' shape is not the model's.
        """
        if images.shape[1:] != self.input_shape:
            raise ModelError(
                f"{self.path} takes images of shape {self.input_shape}, received"
                f" {images.shape[1:]}: resize them first."
            )
        results = {
            name: np.empty((len(images), *shape), np.float32)
            for name, shape in self.output_shapes.items()
        }
        for start in range(0, len(images), self.batch):
            step = images[start : start + self.batch]
            for name, values in self._step(step).items():
                results[name][start : start + self.batch] = values[: len(step)]
        return results

    def _step(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run the file once; the last images may be fewer than it takes, and are filled up."""
        missing = self.batch - len(images)
        if missing:
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        # LSTMs go on from the images before, unless they are told to begin anew.
        self._interpreter.reset_all_variables()
        self._interpreter.set_tensor(self._input["index"], self.as_input(images))
        self._interpreter.invoke()
        return {
            name: _dequantized(self._interpreter.get_tensor(tensor["index"]), tensor).reshape(
                self.batch, *self.output_shapes[name]
            )
            for name, tensor in self._outputs.items()
        }

    def as_input(self, images: np.ndarray) -> np.ndarray:
        """Return what an app writes into the input for images.

        Args:
            images: (N, H, W, C), in the values that the file takes.

        Returns:
            The same in the file's layout and dtype, quantized by its scale and zero point.
        """
        shown = images.transpose(0, 3, 1, 2) if self.channels_first else images
        return _quantized(shown, self._input)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Compute the only output for images.

        Args:
            images: (N, H, W, C), pixels 0..255.

        Returns:
            float32 (N, classes).

        Raises:
            ModelError: the images' shape is not the model's, or it has several outputs.
        """
        if len(self.output_shapes) != 1:
            raise ModelError(
                f"{self.path} has several outputs ({', '.join(self.output_shapes)}): use"
                " predict_heads."
            )
        return next(iter(self.predict_heads(images).values()))

    def require_one_image(self) -> None:
        """Check that the input is one image of height, width and channels, as an app gives it to
        the main graph.

        Raises:
            ModelError: it has channels first, or several images, or another graph is served.
        """
        tflite_file.require_main_served(self.path)
        if self.batch != 1 or self.channels_first:
            shape = tuple(int(size) for size in self._input["shape"])
            raise ModelError(
                f"{self.path} takes inputs of shape {shape}: expected one image (1, H, W, C), as an"
                " app gives it, so export it again."
            )

    def compute(self) -> None:
        """Compute once with the present content of the input, for timing."""
        self._interpreter.invoke()

    def _require_image(self, inputs: list[dict], size: tuple[int, int, int] | None) -> list[dict]:
        """Return the inputs; raise ModelError for others than images of one size. A file of open
        sizes may not even be allocated.
        """
        shapes = [tuple(int(side) for side in tensor["shape_signature"]) for tensor in inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4:
            raise ModelError(
                f"{self.path} takes inputs of shapes {shapes}: expected images of one fixed shape"
                " (1, H, W, C), so convert a model with one image input of this form."
            )
        if min(shapes[0][1:]) < 1 and size is None:
            raise ModelError(
                f"{self.path} takes inputs of shapes {shapes}: expected images of one fixed shape,"
                " so say which one by --input HEIGHTxWIDTHxCHANNELS."
            )
        return inputs

    def _fix(self, image: dict, size: tuple[int, int, int]) -> None:
        """Set the sides that a file leaves open."""
        batch, *own = (int(side) for side in image["shape_signature"])
        height, width, channels = size
        orders = [size, (channels, height, width)]
        fitting = [
            order
            for order in orders
            if all(side in (-1, given) for side, given in zip(own, order, strict=True))
        ]
        if not fitting:
            raise ModelError(
                f"{self.path} takes inputs of shape {(batch, *own)}, where -1 is any size, not"
                f" images of shape {size}: check --input."
            )
        self._interpreter.resize_tensor_input(image["index"], [max(batch, 1), *fitting[0]])

    def _shape_of_one(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return an output's shape for one image: some converters leave an axis of one out."""
        if self.batch == 1 and len(shape) < 2:
            return shape
        if shape[:1] != (self.batch,):
            if self.batch == 1:
                raise ModelError(
                    f"{self.path} gives {name} of shape {shape} for one image: expected one row,"
                    f" (1, …). Export a model that gives one row an image, such as a classifier."
                )
            raise ModelError(
                f"{self.path} takes {self.batch} images at a time and gives {name} of shape"
                f" {shape}: expected one row for each image, so export it again for one image."
            )
        return shape[1:]

    def _tensors(self) -> tuple[list[dict], dict[str, dict]]:
        """Return the details of the inputs, and of the outputs by their signature's (or else own)
        names.
        """
        if signatures := list(self._interpreter.get_signature_list()):
            # `tflite_file.content` makes the one that is served the main graph.
            only = signatures[0] if len(signatures) == 1 else tflite_file.SERVED
            if only not in signatures or not self._is_main_graph(only):
                raise ModelError(
                    f"{self.path} has the signatures {', '.join(signatures)}: expected one alone,"
                    f" or one that is called {tflite_file.SERVED}. Export the signature that you"
                    " mean alone."
                )
            runner = self._interpreter.get_signature_runner(only)
            named = runner.get_output_details()
            # A signature lists its outputs by name; apps that count them follow the file.
            places = [tensor["index"] for tensor in self._interpreter.get_output_details()]
            ordered = sorted(named.items(), key=lambda item: places.index(item[1]["index"]))
            return list(runner.get_input_details().values()), dict(ordered)
        outputs = self._interpreter.get_output_details()
        # Tools that strip names leave several outputs without one.
        counts = Counter(tensor["name"] for tensor in outputs)
        names = [
            tensor["name"] if counts[tensor["name"]] == 1 else f"output_{number}"
            for number, tensor in enumerate(outputs)
        ]
        return self._interpreter.get_input_details(), dict(zip(names, outputs, strict=True))

    def _is_main_graph(self, signature: str) -> bool:
        """Whether a signature's outputs are those of the graph that `invoke` runs."""
        main = {(one["index"], one["name"]) for one in self._interpreter.get_output_details()}
        named = self._interpreter.get_signature_runner(signature).get_output_details()
        return {(one["index"], one["name"]) for one in named.values()} <= main


def _require_built_in(path: str | Path) -> None:
    """Raise ModelError for operators that are code of somebody else's, or of TensorFlow (Flex)."""
    names = tflite_operators.counts(path)
    if others := [name for name in names if name.startswith(("CUSTOM:", "UNKNOWN:"))]:
        raise ModelError(
            f"{path} holds operators that LiteRT doesn't build in ({', '.join(sorted(others))}):"
            " export it again with built-in ops only."
        )


def _require_no_state(path: str | Path) -> None:
    """Raise ModelError for files that write a variable, on which the next answer depends."""
    if any(one.name == "ASSIGN_VARIABLE" for one in tflite_graph.read(path, "main")):
        raise ModelError(
            f"{path} changes a variable with each image, so that the next answer depends on it:"
            " export a model that takes each image alone."
        )


def _require_survival(path: Path, content: bytes, size: tuple[int, int, int] | None = None) -> None:
    """Compute once in another process; raise ModelError where that ends it."""
    with tempfile.TemporaryDirectory() as folder:
        # The same bytes, whatever happens to the path meanwhile.
        copy = Path(folder) / "model.tflite"
        copy.write_bytes(content)
        sides = [str(side) for side in size or ()]
        trial.require_survival(path, "LiteRT", __name__, copy, others=sides)


def note_made(path: str | Path) -> None:
    """Note that this program made a file and has computed it, so that it is not tried again.

    Args:
        path: a `.tflite` file, to which a description may have been added after it was computed.

    Raises:
        ModelError: the file can't be read or is no `.tflite`.
    """
    _SURVIVED.add(_digest(tflite_file.content(path)))


def _digest(content: bytes, size: tuple[int, int, int] | None = None) -> bytes:
    return hashlib.sha256(content + str(size or "").encode()).digest()


def _try(path: str, seconds: int, memory: int, *size: int) -> None:
    """Compute once on pixels of every value."""
    with trial.bounded(os.stat(path).st_size, seconds, memory):
        sides = (size[0], size[1], size[2]) if size else None
        model = LiteRTModel(path, trusted=True, size=sides)
        pixels = np.arange(math.prod(model.input_shape)) % 256
        model.predict_heads(pixels.astype(np.uint8).reshape(1, *model.input_shape))


def stopped(path: str | Path, error: RuntimeError) -> str:
    """Say which operator LiteRT refused to compute, as part of a sentence.

    Args:
        path: the `.tflite` file.
        error: what LiteRT raised.

    Returns:
        The operator and its output; LiteRT's own words where these name no operator.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    named = tflite_graph.read(path, "main")
    # From the innermost body of a loop outwards; numbers count in their own graph.
    *inside, last = re.findall(r"Node number (\d+) \((\w+)\)", str(error)) or [("", "")]
    if not last[0] or int(last[0]) >= len(named):
        return first_line(error).rstrip(".")
    outer = named[int(last[0])]
    names = " in ".join([*(name for _, name in inside), outer.name])
    return f"{names} of {outer.outputs[0].name} fails"


def _limits(tensor: dict) -> tuple[float, float] | None:
    scale, zero_point = tensor["quantization"]
    if scale == 0 or np.dtype(tensor["dtype"]).kind == "f":
        return None
    limits = np.iinfo(tensor["dtype"])
    return (float(limits.min - zero_point) * scale, float(limits.max - zero_point) * scale)


def _quantized(image: np.ndarray, tensor: dict) -> np.ndarray:
    scale, zero_point = tensor["quantization"]
    if scale == 0:
        return image.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(image / scale) + zero_point, limits.min, limits.max).astype(
        tensor["dtype"]
    )


def _dequantized(values: np.ndarray, tensor: dict) -> np.ndarray:
    scale, zero_point = tensor["quantization"]
    return values if scale == 0 else (values.astype(np.float32) - zero_point) * np.float32(scale)


if __name__ == "__main__":
    _try(sys.argv[1], *map(int, sys.argv[2:]))
