"""The images that calibrate and compare: of the file's shape, in the pixels that the model takes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import keras
import numpy as np
from scipy.special import log_softmax

from keras_kd.datasets import Samples
from keras_kd.datasets.images import fitted
from keras_kd.errors import ExportError
from keras_kd.exporters._comparison import evenly
from keras_kd.exporters._serving import outputs_by_name
from keras_kd.models import heads

CALIBRATION_IMAGES = 500
Range = tuple[float, float]
PIXELS: Range = (0.0, 255.0)
# What else models take for pixels 0 and 255, apart from their own statement.
_OTHERS: tuple[Range, ...] = ((0.0, 1.0), (-1.0, 1.0))
_TRIED, _FEWEST, _FAR_BETTER, _ABOUT = 100, 10, 0.2, 0.05


@dataclass(frozen=True)
class Shown:
    """Images for calibration and comparison.

    Attributes:
        images: uint8 (N, H, W, C), pixels.
        labels: int64 (N,), or None.
    """

    images: np.ndarray
    labels: np.ndarray | None


def shown(samples: Samples | np.ndarray, value_range: Range) -> Shown:
    """Return at most CALIBRATION_IMAGES of the samples, spread evenly, as pixels 0..255.

    Args:
        samples: images as uint8, or as float32 in `value_range`; (N, H, W, C), any size.
        value_range: what the model takes for pixels 0 and 255.

    Raises:
        ExportError: float images lie outside of the range, or fill next to nothing of it.
    """
    images, labels = _parts(samples)
    if labels is not None and len(np.unique(labels)) == 1:
        warnings.warn(
            "All samples are of one class: ranges calibrated on them may not fit the others.",
            stacklevel=3,
        )
    images = evenly(images, CALIBRATION_IMAGES)
    labels = None if labels is None else evenly(labels, CALIBRATION_IMAGES)
    return Shown(images if images.dtype == np.uint8 else _pixels(images, value_range), labels)


def _parts(samples: Samples | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    if isinstance(samples, np.ndarray):
        return samples, None
    return samples.images, samples.hard_labels


def _pixels(images: np.ndarray, value_range: Range) -> np.ndarray:
    low, high = sorted(value_range)
    smallest, largest = float(images.min()), float(images.max())
    slack = 0.01 * (high - low)
    if smallest < low - slack or largest > high + slack or largest - smallest <= slack:
        raise ExportError(
            f"The samples lie in {smallest:g}..{largest:g}, but the model is said to take "
            f"{value_range[0]:g}..{value_range[1]:g}: give images as uint8, or state the values "
            "that the model takes for pixels 0 and 255 (value_range, --range)."
        )
    pixels = (images - value_range[0]) * (255 / (value_range[1] - value_range[0]))
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def found_range(model: keras.Model, samples: Samples | np.ndarray | None) -> Range:
    """Return pixels 0..255, for a model of which nothing is stated.

    Raises:
        ExportError: by the samples' labels another range suits the model far better.
    """
    scores = _scores(model, samples)
    if PIXELS not in scores:
        return PIXELS
    usual = scores[PIXELS]
    for limits in _OTHERS:
        if scores[limits].suits_better_than(usual):
            low, high = limits
            raise ExportError(
                f"{model.name} seems to take pixels of {low:g}..{high:g}, not of 0..255: it is"
                f" right on {100 * scores[limits].accuracy:.0f} and {100 * usual.accuracy:.0f} % of"
                f" the samples, with a cross-entropy of {scores[limits].cross_entropy:.2g} and"
                f" {usual.cross_entropy:.2g}: state what it takes, --range {low:g},{high:g} or"
                f" --range 0,255 (value_range=({low:g}, {high:g}) or (0, 255))."
            )
    if any(scores[limits].suits_as_well_as(usual) for limits in _OTHERS):
        warnings.warn(
            f"{model.name} is taken to want pixels of 0..255, though it answers as well on smaller "
            "values: state what it takes (--range, value_range) if it is another range.",
            stacklevel=3,
        )
    return PIXELS


@dataclass(frozen=True)
class _Score:
    accuracy: float
    cross_entropy: float
    chance: float

    def suits_better_than(self, other: _Score) -> bool:
        """Whether this range is plainly the right one: more right answers, or as many and, since
        pixels that are too large make logits that are, far more honest ones.
        """
        if self.accuracy > other.accuracy + _FAR_BETTER:
            return True
        gain = other.cross_entropy - self.cross_entropy
        return self.suits_as_well_as(other) and gain > max(_ABOUT, self.cross_entropy)

    def suits_as_well_as(self, other: _Score) -> bool:
        """Whether the model has learnt something that it knows of this range's pixels too."""
        learnt = self.accuracy > self.chance + _FAR_BETTER
        return learnt and self.accuracy >= other.accuracy - _ABOUT


def _scores(model: keras.Model, samples: Samples | np.ndarray | None) -> dict[Range, _Score]:
    """Return how right the model is with pixels of each range; nothing where that can't be told."""
    if not isinstance(samples, Samples) or len(samples) < _FEWEST:
        return {}
    images, labels = evenly(samples.images, _TRIED), evenly(samples.hard_labels, _TRIED)
    floats = keras.backend.is_float_dtype(model.inputs[0].dtype)
    if images.dtype != np.uint8 or not floats or labels.max() >= _classes(model):
        return {}
    pixels = fitted(images, tuple(model.inputs[0].shape[1:])).astype(np.float32)
    return {limits: _score(model, pixels, limits, labels) for limits in (PIXELS, *_OTHERS)}


def _classes(model: keras.Model) -> int:
    """The number of classes; 0 unless the model gives one set of classes and nothing else."""
    widths = list(heads.widths(model).values())
    return widths[0] if len(widths) == 1 and len(model.outputs[0].shape) == 2 else 0


def _score(model: keras.Model, pixels: np.ndarray, limits: Range, labels: np.ndarray) -> _Score:
    low, high = limits
    (outputs,) = outputs_by_name(model, pixels * np.float32((high - low) / 255) + low).values()
    values = keras.ops.convert_to_numpy(outputs).astype(np.float64)
    if heads.output_kind(model) == "probabilities":
        values = np.log(np.maximum(values, 1e-12))
    likelihood = log_softmax(values, axis=1)[np.arange(len(labels)), labels]
    chance = np.bincount(labels).max() / len(labels)
    return _Score(float(np.mean(values.argmax(1) == labels)), float(-likelihood.mean()), chance)
