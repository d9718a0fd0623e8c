"""The base of all predictors: images are fitted to the input, outputs sorted by kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from keras_kd._common.arrays import fingerprint, first_not_finite
from keras_kd._common.identity import identity
from keras_kd._common.user_warnings import warn
from keras_kd.datasets import images as pixels
from keras_kd.datasets.class_names import as_typed
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import DataError, ModelError
from keras_kd.models.output_kinds import (
    TWICE,
    VALUES,
    OutputKind,
    are_softmax_twice,
    images_of_noise,
    kind_of_values,
    unclear,
    unclear_number,
)
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes.prediction import Prediction
from keras_kd.runtimes.stated import NOTHING, Stated

# Whose logarithm is taken for that of anything smaller in a file's outputs, which may have been
# rounded to 0: half precision, the finest of what files are rounded to, ends at 6e-8.
SMALLEST_ROUNDED = 1e-7
# A higher number whenever the facts of a specification that a fingerprint is made of change.
SPEC_VERSION = 1
# How far sums of probabilities may be from 1: in half precision, and rounded to 256 steps a class.
_SLACK, _ROUNDING = 0.02, 1 / 400
# Of resized images, as a share of the largest number; of Lanczos' up to an eighth.
_OVERSHOOT = 1 / 6


class FilePredictor:
    """The base of all predictors: images are fitted, outputs sorted by their widths; pickled
    as their file.
    """

    spec: ModelSpec
    values: tuple[str, ...]
    tells_classes: bool
    source: tuple[Callable[..., Any], tuple[Any, ...]]  # what loads it again, and its arguments
    stated: Stated = NOTHING  # by the user
    content: list[bytes | str]  # what the file holds, for the fingerprint
    graph_kind: OutputKind  # of the classes
    head: str | None  # the output of classes
    takes_whole_numbers = False  # pixels 0..255 as they are, whatever is stated
    is_binary = False  # whether one logit or one sigmoid stands for two classes
    names_itself = True  # whether the classes' names are the file's own, not a list's beside it
    is_untrained = False  # its answers tell nothing about its pixels and classes
    _output_stated = False  # whether the user says what it gives
    _undecided = False  # between logits and sigmoids, until images tell
    _contradiction_told = False  # between what is stated of the outputs and what they are

    def __reduce__(self) -> tuple[Any, ...]:
        return self.source

    @property
    def multiply_accumulates(self) -> int | None:
        """Of the published shape for one image; None where that isn't known."""
        return None

    @property
    def assumes_pixels(self) -> bool:
        """Whether neither the file nor its user states the pixel values, so that 0..255 are
        assumed.
        """
        return self.spec.pixels is None and not self.takes_whole_numbers

    @property
    def fingerprint(self) -> str:
        """Of the file's content and of what it takes and gives."""
        return fingerprint([*self.content, identity("model", SPEC_VERSION, self.spec.facts())])

    def settle_output(self, stated: str | None, told: bool) -> None:
        """Decide what the classes' numbers are: the user's statement, then the graph, then the
        outputs for some images.

        Args:
            stated: by the user, or None.
            told: whether the file itself says it.

        Numbers in 0..1 are decided by the first images that are predicted: noise tells too little.

        Raises:
            ModelError: they are independent sigmoids.
        """
        if not self.tells_classes:
            return
        kind = self.graph_kind
        if self.is_binary:
            self._settle_one_number(kind, stated, told)
            return
        if kind == "unknown" and not told:
            kind = kind_of_values(self._classes_of_noise())
        if kind == "sigmoids" and stated is None:
            raise ModelError(
                "The model's outputs are independent sigmoids, one for each class, but one class "
                "for each image is expected: end the model in a softmax, or state its outputs with "
                "--output."
            )
        if kind == "probabilities" and stated == "logits":
            self._tell_contradiction(
                "The model gives probabilities, but is stated to give logits: the statement is "
                "used, so a softmax is applied to them."
            )
        self._output_stated = stated is not None
        self._undecided = kind == "undecided" and stated is None
        self._set_output(kind, stated)

    def _settle_one_number(self, kind: OutputKind, stated: str | None, told: bool) -> None:
        if kind not in ("sigmoids", "logits") and stated is None and not told:
            raise ModelError(
                unclear_number("The model", "say so by --output logits or --output probabilities")
            )
        if kind == "sigmoids" and stated == "logits":
            self._tell_contradiction(
                "The model gives the probability of its second class, but is stated to give its "
                "logit: the statement is used."
            )
        self._set_output(kind, stated)

    def _set_output(self, kind: OutputKind, stated: str | None = None) -> None:
        certain = ("probabilities", "sigmoids") if self.is_binary else ("probabilities",)
        found = "probabilities" if kind in certain else self.spec.output
        self.spec = replace(self.spec, output=stated or found)

    def _know_kind(self, kind: Callable[[str], OutputKind]) -> None:
        """Find out from the graph what the classes' output is; one sigmoid is that of two classes.

        Args:
            kind: a function that returns the kind of an output by its name.
        """
        names = self.spec.class_names
        name = self.values[0] if self.values and not self.head and len(self.values) == 1 else None
        self.graph_kind = kind(self.head or name) if self.head or name else "unknown"
        if name and name not in VALUES and (names or self.graph_kind == "sigmoids"):
            if names is not None and len(names) != 2:
                raise ModelError(
                    f"The model gives one number, but {len(names)} classes are named "
                    f"({as_typed(names)}): mend --classes or its list of labels."
                )
            self.is_binary, self.tells_classes, self.head, self.values = True, True, name, ()
        self._set_output(self.graph_kind)

    def _classes_of_noise(self) -> np.ndarray:
        noise = images_of_noise(self.spec.input_shape)
        return self._classes(self._outputs(shown(noise, self.spec)))

    def _classes(self, outputs: dict[str, np.ndarray]) -> np.ndarray:
        return next(output for name, output in outputs.items() if name == self.head)

    def with_pixels(self, pixels: PixelValues) -> FilePredictor:
        """The same model, shown pixels of another statement."""
        other = type(self).__new__(type(self))  # copy.copy would load the file once more
        other.__dict__.update(self.__dict__)
        other.spec = replace(self.spec, pixels=pixels)
        return other

    def _require_decided(self, outputs: np.ndarray) -> None:
        """Take numbers beyond 0..1 for logits; ask where all are within."""
        if kind_of_values(outputs) in ("sigmoids", "undecided"):
            raise ModelError(
                unclear(
                    "of the model for these images",
                    "If they are logits, say so by --output logits; else end the model in softmax",
                )
            )
        self._undecided = not np.isfinite(outputs).all()

    def _require_expected_values(self, outputs: np.ndarray) -> None:
        """Check on the outputs for images what the model was taken to give."""
        if self._undecided:
            self._require_decided(outputs)
        tolerance = _SLACK + outputs.shape[-1] * _ROUNDING
        sums, low, high = outputs.sum(axis=-1), outputs.min(initial=1), outputs.max(initial=0)
        within = low >= -tolerance and high <= 1 + tolerance
        are = bool(within and (np.abs(sums - 1) < tolerance).all())
        expected = self.spec.output == "probabilities"
        # Only as inexact as float32 or int8 make probabilities, because logits can come near to
        # 100.
        exact = 100 * outputs.shape[-1] * _ROUNDING
        percent = low >= -exact and bool((np.abs(sums - 100) < exact).all())
        if percent and not expected and len(outputs) > 1 and not self._output_stated:
            raise ModelError(
                "The model is taken to give logits, but its outputs for these images are rows that"
                " sum to 100, as percentages do: let it give probabilities in 0..1, or say that"
                " they are logits by --output logits."
            )
        if are and expected and are_softmax_twice(outputs):
            self._tell_softmax_twice()
        # One image may have logits that look like probabilities.
        if are == expected or len(outputs) < 2 or not np.isfinite(outputs).all():
            return
        kind = "probabilities" if expected else "logits"
        problem = (
            f"The model is taken to give {kind}, but its outputs for these images "
            f"{'are rows in 0..1 that sum to 1' if are else 'are no rows in 0..1 that sum to 1'}"
        )
        if not self._output_stated:
            raise ModelError(f"{problem}: state its outputs with --output.")
        if expected and low < -tolerance:
            # Their logarithms, which are learnt from and scored, have nothing to do with them.
            raise ModelError(
                "The model is stated to give probabilities, but the lowest number that it gives"
                f" for these images is {low:.3g}: state --output logits, or leave --output out."
            )
        self._tell_contradiction(f"{problem}: the statement is used.")

    def _tell_softmax_twice(self) -> None:
        self._tell_contradiction(f"The model {TWICE}.")

    def _tell_contradiction(self, text: str) -> None:
        """Warn once of each model, which may predict many batches."""
        if not self._contradiction_told:
            self._contradiction_told = True
            warn(text)

    def _outputs(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's outputs by name, each (N, columns), for images as it takes them."""
        raise NotImplementedError

    def _know(self, widths: dict[str, int], head: str | None) -> None:
        """Tell classes and values apart by the outputs' widths.

        Raises:
            ModelError: there are several sets of classes and none is chosen, or not the one chosen.
        """
        classes = [name for name, width in widths.items() if width != 1]
        if head is not None and head not in classes:
            raise ModelError(
                f"The model has no output {head!r} of classes: choose one of "
                f"{', '.join(classes) or 'none, because it has only values'}."
            )
        if head is None and len(classes) > 1:
            raise ModelError(
                f"The model has {len(classes)} outputs of classes ({', '.join(classes)}): "
                "expected one at most, and values (N, 1); choose one by --head."
            )
        self.head = head or next(iter(classes), None)
        self.tells_classes = bool(classes)
        self.values = tuple(sorted(name for name, width in widths.items() if width == 1))
        names = self.spec.class_names
        if names is not None and self.head and len(names) != widths[self.head]:
            raise ModelError(
                f"The model gives {widths[self.head]} classes, but {len(names)} are named "
                f"({as_typed(names)}): mend --classes, where a name with a comma stands in double"
                " quotes, or its list of labels."
            )

    def predict(self, images: np.ndarray) -> Prediction:
        """uint8 (N, H, W, C) -> float32 logits and values; probabilities p become log p, which has
        the same softmax.

        Raises:
            DataError: there are no images, or they are no array (N, H, W, C) of numbers in 0..255.
            ModelError: the model can't compute them, or its outputs are not what they are taken
                for.
        """
        if not len(images):
            raise DataError("There are no images: give one or more.")
        if len(getattr(images, "shape", ())) != 4:
            given = getattr(images, "shape", type(images).__name__)
            raise DataError(
                f"Images are one array (N, H, W, C). Received: {given}; images[None] makes one"
                " image such an array, and numpy.stack(images) a list of them."
            )
        _require_pixels(np.asarray(images))
        outputs = self._outputs(shown(images, self.spec))
        values = {name: outputs[name][:, 0].astype(np.float32) for name in self.values}
        if not self.tells_classes:
            return Prediction(np.empty((len(images), 0), np.float32), values)
        classes = self._classes(outputs).astype(np.float32)
        if self.is_binary:
            return Prediction(_of_two_classes(classes, self.spec.output), values)
        self._require_expected_values(classes)
        return Prediction(as_logits(classes, self.spec.output), values)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) -> float32 (N, classes)."""
        return self.predict(images).logits


def shown(images: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The images in the size, colour and pixel values that the model takes."""
    return spec.expected_pixels.of(pixels.fitted(images, spec.input_shape))


def _require_pixels(images: np.ndarray) -> None:
    """Refuse images that are no pixels 0..255, which a model would answer without a word.

    Raises:
        DataError: an image holds NaN or infinity, or numbers further outside of 0..255 than cubic
            and Lanczos' resizing bring them; or all lie in 0..1 and some are fractions.
    """
    if images.dtype == np.uint8 or images.dtype.kind not in "iuf":
        return
    if (row := first_not_finite(images)) is not None:
        raise DataError(f"Image {row} holds NaN or infinity: correct it or leave it out.")
    low, high = images.min(), images.max()
    beyond = low < -_OVERSHOOT * high or high > (1 + _OVERSHOOT) * 255
    if beyond or (high <= 1 and (images % 1).any()):
        raise DataError(
            f"The images lie in {low:g}..{high:g}, and pixels 0..255 are expected, uint8"
            " (N, H, W, C), of which the file's own statement makes what the model takes: give them"
            " as they are on disk, not scaled."
        )


def _of_two_classes(outputs: np.ndarray, output: str) -> np.ndarray:
    """One column, a logit or the probability of the second class, as two columns of logits.

    Raises:
        ModelError: it is taken for a probability, but lies outside of 0..1.
    """
    if output == "logits":
        return np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    if outputs.min(initial=0) < -_SLACK or outputs.max(initial=0) > 1 + _SLACK:
        raise ModelError(
            "The model is taken to give the probability of its second class, but its output for "
            "these images is not in 0..1: state --output logits if it is a logit."
        )
    return as_logits(np.concatenate([1 - outputs, outputs], axis=1), output)


def as_logits(outputs: np.ndarray, output: str) -> np.ndarray:
    return np.log(np.maximum(outputs, SMALLEST_ROUNDED)) if output == "probabilities" else outputs
