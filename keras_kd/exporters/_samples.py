"""The images that calibrate and compare: of the file's shape, in the pixels that the model
takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_kd._common.arrays import evenly
from keras_kd._common.user_warnings import warn
from keras_kd.datasets import Samples
from keras_kd.datasets.images import fitted
from keras_kd.datasets.pixel_values import USUAL, PixelValues
from keras_kd.errors import ExportError
from keras_kd.exporters import _fitting_samples
from keras_kd.exporters._serving import outputs_by_name
from keras_kd.models import heads, output_kinds
from keras_kd.models.untrained import is_untrained
from keras_kd.runtimes import pixel_check

CALIBRATION_IMAGES = 500
FEWEST = 10  # different images, below which ranges are those of these images alone
_SLACK = 2.55  # of pixels 0..255


@dataclass(frozen=True)
class Shown:
    """Images for calibration and comparison.

    Attributes:
        images: uint8 (N, H, W, C), pixels.
        labels: int64 (N,), or None.
    """

    images: np.ndarray
    labels: np.ndarray | None


def checked(
    samples: Samples | np.ndarray, model: keras.Model, class_names: tuple[str, ...] | None
) -> Samples | np.ndarray:
    """Return the samples with labels in the model's order of classes.

    Args:
        samples: what the user gives.
        model: with known inputs and outputs.
        class_names: in the model's order, or None.

    Raises:
        ExportError: images or labels don't fit the model.
    """
    shape = tuple(model.inputs[0].shape[1:])
    return _fitting_samples.checked(samples, shape, _classes(model), class_names)


def require_two_classes(samples: Samples | np.ndarray, name: str) -> None:
    """Refuse labels that are not of two classes beside a model of one sigmoid without class names.

    Args:
        samples: what the user gives.
        name: the model's.

    Raises:
        ExportError: the labels are of other classes, or numbers.
    """
    labels = np.array([]) if isinstance(samples, np.ndarray) else np.asarray(samples.labels)
    if labels.shape[1:] != (2,) and not np.isin(labels, (0, 1)).all():
        raise ExportError(
            f"{name} gives one sigmoid, which is taken for the probability of the second of two"
            " classes, and the samples' labels are not 0 and 1: give samples of two classes, or the"
            " images alone (samples.images) where it is a continuous value."
        )


def shown(samples: Samples | np.ndarray, pixels: PixelValues) -> Shown:
    """Return at most CALIBRATION_IMAGES of the samples, spread evenly, as pixels 0..255.

    Args:
        samples: images as uint8, or as float32 as the model takes them; (N, H, W, C), any size.
        pixels: what the model takes for pixels 0..255.

    Raises:
        ExportError: float images lie outside of the range, or fill next to nothing of it.
    """
    images, labels = _parts(samples)
    if labels is not None and len(np.unique(labels)) == 1:
        warn("All samples are of one class: ranges calibrated on them may not fit the others.")
    images = evenly(images, CALIBRATION_IMAGES)
    labels = None if labels is None else evenly(labels, CALIBRATION_IMAGES)
    return Shown(images if images.dtype == np.uint8 else _pixels(images, pixels), labels)


def warn_of_few(images: np.ndarray, format: str) -> None:
    """Warn where a format is calibrated on fewer than FEWEST different images, uint8 (N, ...)."""
    different = len({image.tobytes() for image in images})
    if different < FEWEST:
        warn(
            f"The format {format} is calibrated on {different} different"
            f" image{'s' * (different != 1)}, whose ranges may not fit others: give a hundred or"
            " more of the training data."
        )


def _parts(samples: Samples | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if isinstance(samples, np.ndarray):
        return samples, None
    return samples.images, samples.hard_labels


def _pixels(images: np.ndarray, taken: PixelValues) -> np.ndarray:
    pixels = taken.pixels(images)
    smallest, largest = float(pixels.min()), float(pixels.max())
    # Values 0..1 given for 0..255 lie inside of the range, but fill next to nothing of it.
    if smallest < -_SLACK or largest > 255 + _SLACK or largest - smallest <= _SLACK:
        raise ExportError(
            f"The samples lie in {images.min():g}..{images.max():g}, and as far as is stated the"
            f" model takes {pixel_check.named(taken)}: give images as uint8, or state the values"
            " that the model takes for pixels (value_range, --range)."
        )
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def found_pixels(
    model: keras.Model, samples: Samples | np.ndarray | None, ordered: bool
) -> PixelValues | None:
    """Return pixels 0..255 if the samples' labels confirm them for a model without a statement;
    None if nothing decides it.

    Args:
        model: that it is about.
        samples: as `export` takes them.
        ordered: whether the outputs are known to be in the labels' order.

    Raises:
        ExportError: by the labels other pixels suit the model far better.
    """
    shown = _labelled(model, samples, ordered)
    found = pixel_check.scores(*shown, ordered) if shown else []
    if not found:
        return None
    if problem := pixel_check.complaint(model.name, found):
        raise ExportError(problem)
    usual, *others = found
    doubt = pixel_check.doubt(model.name, found)
    if doubt is None and any(score.suits_as_well_as(usual) for score in others[:2]):
        doubt = (
            f"Pixels of 0..255 are assumed for {model.name}, but smaller values suit it as well: "
            "state its range (--range, value_range) if it is another one."
        )
    if doubt:
        warn(doubt)
    return USUAL if usual.has_learnt else None


def doubt(
    model: keras.Model, samples: Samples | np.ndarray | None, stated: PixelValues, ordered: bool
) -> None:
    """Warn where by the samples' labels other pixels than the stated ones suit a model better;
    arguments as of `found_pixels`.
    """
    if shown := _labelled(model, samples, ordered):
        warning = pixel_check.contradiction(model.name, stated, *shown, ordered)
        if warning:
            warn(warning)


def _labelled(
    model: keras.Model, samples: Samples | np.ndarray | None, ordered: bool
) -> tuple[Callable[[PixelValues], np.ndarray], np.ndarray, int] | None:
    """The model's logits by the pixels that it is shown, of the samples' classes alone if the order
    of outputs is known; the labels and the channels. None where these can't tell.
    """
    if not isinstance(samples, Samples) or not len(samples):
        return None
    images = evenly(samples.images, pixel_check.TRIED)
    labels = evenly(samples.hard_labels, pixel_check.TRIED)
    floats = keras.backend.is_float_dtype(model.inputs[0].dtype)
    if images.dtype != np.uint8 or not floats or labels.max() >= _classes(model):
        return None
    # An untrained model is right by chance, whatever its pixels are.
    if is_untrained(model):
        return None
    shape = tuple(model.inputs[0].shape[1:])
    shown = fitted(images, shape).astype(np.float32)
    # The model may have classes of which there are no samples.
    classes = np.unique(samples.hard_labels) if ordered else np.arange(_classes(model))
    numbers = np.searchsorted(classes, labels)
    return lambda pixels: _logits(model, pixels.of(shown))[:, classes], numbers, shape[-1]


def _classes(model: keras.Model) -> int:
    """The number of classes; 0 unless the model gives one set of classes and nothing else."""
    widths = list(heads.widths(model).values())
    return widths[0] if len(widths) == 1 and len(model.outputs[0].shape) == 2 else 0


def _logits(model: keras.Model, values: np.ndarray) -> np.ndarray:
    (outputs,) = outputs_by_name(model, values).values()
    found = keras.ops.convert_to_numpy(outputs).astype(np.float64)
    kind = heads.output_kind(model)
    if (output_kinds.kind_of_values(found) if kind == "unknown" else kind) == "probabilities":
        return output_kinds.log_probabilities(found)
    return found
