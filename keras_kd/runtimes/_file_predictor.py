"""What the predictors of all model forms share: images fitted to the input, outputs told apart."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common.arrays import fingerprint
from keras_kd._common.identity import identity
from keras_kd.datasets import images as pixels
from keras_kd.errors import ModelError
from keras_kd.models import keras_file
from keras_kd.models.heads import OutputKind, kind_of_values
from keras_kd.models.keras_file import ModelSpec
from keras_kd.runtimes.prediction import Prediction

SMALLEST_PROBABILITY = 1e-7
# A higher number whenever the facts of a form that a fingerprint is made of change.
FORM_VERSION = 1


class FilePredictor:
    """What all predictors share: the images fitted, the outputs told apart by their widths; pickled
    as their file.
    """

    form: ModelSpec
    values: tuple[str, ...]
    tells_classes: bool
    source: tuple[Callable[..., Any], tuple[Any, ...]]  # what loads it again, and its arguments
    content: list[bytes | str]  # what the file holds, for the fingerprint
    graph_kind: OutputKind  # of the classes

    def __reduce__(self) -> tuple[Any, ...]:
        return self.source

    @property
    def multiply_accumulates(self) -> int | None:
        """Of the published shape for one image; None where that isn't known."""
        return None

    @property
    def fingerprint(self) -> str:
        """Of the file's content and of what it takes and gives."""
        return fingerprint([*self.content, identity("model", FORM_VERSION, asdict(self.form))])

    def settle_output(self, stated: str | None, path: Path) -> None:
        """Decide what the classes' numbers are: the user's statement, then the graph, then the
        outputs for some images.

        Raises:
            ModelError: they are independent sigmoids, or it can't be told.
        """
        if not self.tells_classes:
            return
        kind = self.graph_kind
        if kind == "unknown" and not keras_file.has_spec(path):
            kind = kind_of_values(self._classes_of_noise())
        if stated is not None:
            if kind == "probabilities" and stated == "logits":
                warnings.warn(
                    f"{path} gives probabilities, but is stated to give logits: the statement is "
                    "followed, so softmax is taken of them.",
                    stacklevel=3,
                )
            return
        if kind == "sigmoids":
            raise ModelError(
                "The model gives a number in 0..1 for each class on its own, as independent "
                "sigmoids do, where one class an image is expected: end it in softmax, or say "
                "what it gives by --output."
            )
        if kind == "probabilities":
            self.form = replace(self.form, output="probabilities")

    def _classes_of_noise(self) -> np.ndarray:
        # From black to bright, or logits of images that are too much alike may all lie in 0..1.
        noise = np.random.default_rng(0).random((8, *self.form.input_shape))
        noise *= np.linspace(0, 255, 8)[:, None, None, None]
        outputs = self._outputs(shown(noise.astype(np.uint8), self.form))
        return next(output for name, output in outputs.items() if name not in self.values)

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's outputs by name, each (N, columns), for images as it takes them."""
        raise NotImplementedError

    def _know(self, widths: dict[str, int]) -> None:
        """Tell classes and values apart by the outputs' widths; ModelError for several sets of
        classes.
        """
        classes = [name for name, width in widths.items() if width != 1]
        if len(classes) > 1:
            raise ModelError(
                f"The model has {len(classes)} outputs of classes ({', '.join(classes)}): "
                "expected one at most, and values (N, 1)."
            )
        self.tells_classes = bool(classes)
        self.values = tuple(sorted(name for name, width in widths.items() if width == 1))

    def predict(self, images: np.ndarray) -> Prediction:
        """uint8 (N, H, W, C) -> float32 logits and values; probabilities p become log p, which has
        the same softmax.
        """
        outputs = self._outputs(shown(images, self.form))
        values = {name: outputs.pop(name)[:, 0].astype(np.float32) for name in self.values}
        if not outputs:
            return Prediction(np.empty((len(images), 0), np.float32), values)
        (classes,) = outputs.values()
        return Prediction(as_logits(classes.astype(np.float32), self.form.output), values)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) -> float32 (N, classes)."""
        return self.predict(images).logits


def sized(form: ModelSpec, own: tuple[int | None, ...]) -> ModelSpec:
    """The form with the input that the file fixes itself, where nothing else was stated."""
    if form.input_shape is None and None not in own and len(own) == 3:
        form = replace(form, input_shape=own)
    require_known(form)
    require_shape(own, form)
    return form


def require_known(form: ModelSpec) -> None:
    if form.input_shape is None:
        raise ModelError(
            "The model takes images of any size: say which one, "
            "as --teacher-input HEIGHTxWIDTHxCHANNELS or ModelSpec(input_shape=...)."
        )
    if min(form.input_shape) < 1 or math.prod(form.input_shape[:2]) > pixels.MAX_PIXELS:
        raise ModelError(
            f"The model takes images of shape {form.input_shape}: expected height and width of 1 or"
            f" more, and {pixels.MAX_PIXELS:,} pixels at most."
        )
    if form.output not in keras_file.OUTPUTS:
        raise ModelError(
            f"output must be one of {', '.join(keras_file.OUTPUTS)}. Received: {form.output!r}."
        )


def require_shape(own: tuple[int | None, ...], form: ModelSpec) -> None:
    if len(own) != 3 or any(
        size not in (None, given) for size, given in zip(own, form.input_shape, strict=True)
    ):
        raise ModelError(
            f"The model takes inputs of shape {own}, not images of shape {form.input_shape}: "
            "check --teacher-input and that it takes height, width, channels."
        )


def shown(images: np.ndarray, form: ModelSpec) -> np.ndarray:
    """The images in the size, colour and value range that the model takes."""
    fitted = pixels.fitted(images, form.input_shape)
    low, high = form.value_range
    if (low, high) == (0, 255):
        return fitted
    return (low + (high - low) / 255 * fitted.astype(np.float32)).astype(np.float32)


def as_logits(outputs: np.ndarray, output: str) -> np.ndarray:
    return (
        np.log(np.maximum(outputs, SMALLEST_PROBABILITY)) if output == "probabilities" else outputs
    )
