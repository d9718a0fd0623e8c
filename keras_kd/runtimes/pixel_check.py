"""The pixel values that a model was trained on, found by comparing its outputs with labels.

Few images may be right by chance. Accuracies count as different only where McNemar's exact test
says so, and as better than chance only where the exact binomial test does, each at _LEVEL.
Source: Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
percentages", Psychometrika 12(2), 1947.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax

from keras_kd.datasets.pixel_values import USUAL, PixelValues

_RANGES = (PixelValues((0.0, 1.0)), PixelValues((-1.0, 1.0)))
# The mean and deviation of ImageNet, as torchvision and timm have them, and those of MNIST.
_TORCHVISION = PixelValues((0.0, 1.0), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CAFFE = PixelValues((0.0, 255.0), (103.939, 116.779, 123.68), (), "bgr")
_SWAPPED = tuple(
    PixelValues(limits, channel_order="bgr") for limits in ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
)
_MNIST = PixelValues((0.0, 1.0), (0.1307,), (0.3081,))
# The warning about a model whose pixel values nobody states.
ASSUMED_PIXELS = (
    "does not say which pixels it takes: 0..255 are assumed, unless range, mean, std or channel"
    " order are stated"
)
TRIED, _FEWEST, _FAR_BETTER, _ABOUT = 100, 10, 0.2, 0.05
# One-sided, of each comparison: of the seven others than 0..255, one seems better by chance in at
# most one of 28 cases.
_LEVEL = 0.005
# Images below which a statement of the user is not doubted: chance may explain what they show.
_FEWEST_TO_DOUBT = 30

# Without labels, pixel values are doubted by how much the probabilities differ between images, in
# nats. Below _UNMOVED a model sees next to nothing, above _MOVED it sees the images. Models of
# faces reach 1.3 or more with the right pixel values, and 0.05 or less with values _OTHER_SIZE
# times as large or small.
_UNMOVED, _MOVED, _OTHER_SIZE, _SURE, _LEAST = 0.1, 1.0, 50, 0.9, 1e-7


@dataclass(frozen=True)
class Score:
    """How well a model predicts with given pixel values.

    Attributes:
        pixels: the pixel values.
        accuracy: 0..1.
        cross_entropy: in nats.
        entropy: mean of the predicted probabilities' entropies, in nats.
        chance: share of the most frequent class, 0..1.
        right: bool (N,), whether each image was predicted right.
    """

    pixels: PixelValues
    accuracy: float
    cross_entropy: float
    entropy: float
    chance: float
    right: np.ndarray = field(repr=False, compare=False)

    def suits_better_than(self, other: Score) -> bool:
        """Whether these pixel values are clearly the right ones.

        They are if accuracy is far higher, by more than chance, and above that of one answer for
        all images: a model whose classes are named the wrong way round is wrong on most with the
        right pixels, and gives one answer with others. They also are at equal accuracy if the
        cross-entropy is far lower than that of probabilities that are too sure, because pixel
        values that are too large make logits too large.
        """
        far_better = self.accuracy > other.accuracy + _FAR_BETTER and self.is_above_chance
        if far_better and self.is_more_often_right_than(other):
            return True
        gain = other.cross_entropy - max(self.cross_entropy, other.entropy)
        return self.suits_as_well_as(other) and gain > max(_ABOUT, self.cross_entropy)

    def suits_as_well_as(self, other: Score) -> bool:
        """Whether the model is better than chance with these pixel values, and about as
        accurate.
        """
        return self.has_learnt and self.accuracy >= other.accuracy - _ABOUT

    @property
    def can_not_be_far_worse(self) -> bool:
        """Whether no other pixel values can suit the model clearly better."""
        too_sure = self.cross_entropy > self.entropy + _ABOUT
        return self.accuracy >= 1 - _FAR_BETTER and not too_sure

    @property
    def has_learnt(self) -> bool:
        """Whether the model is far better than chance."""
        return self.accuracy > self.chance + _FAR_BETTER and self.is_above_chance

    @property
    def is_above_chance(self) -> bool:
        """Whether so many right answers are no chance: one that is right as often as the most
        frequent class gives them with a probability below _LEVEL (exact binomial test).
        """
        count = int(self.right.sum())
        return _probability(count, len(self.right), self.chance) < _LEVEL

    def is_more_often_right_than(self, other: Score) -> bool:
        """Whether accuracies on the same images differ by more than chance: if each of the images
        that only one of both is right on were as likely the other's, so many would be this one's
        with a probability below _LEVEL (exact test of McNemar, one-sided).
        """
        gained = int((self.right & ~other.right).sum())
        lost = int((other.right & ~self.right).sum())
        if not gained:
            return False
        return _probability(gained, gained + lost, 0.5) < _LEVEL


def _probability(count: int, tries: int, chance: float) -> float:
    """The probability of so many successes or more in so many tries of this chance each."""
    # Imported here, as most models are not doubted and the import takes longer.
    from scipy.stats import binomtest

    return float(binomtest(count, tries, chance, "greater").pvalue)


def candidates(channels: int) -> tuple[PixelValues, ...]:
    """Return the pixel values that models commonly expect, the usual 0..255 first.

    Args:
        channels: number of channels.

    Returns:
        The pixel values.
    """
    others = (_TORCHVISION, _CAFFE, *_SWAPPED) if channels == 3 else (_MNIST,)
    return (USUAL, *_RANGES, *others)


def scores(
    logits: Callable[[PixelValues], np.ndarray],
    labels: np.ndarray,
    channels: int,
    ordered: bool = True,
) -> list[Score]:
    """Return how well a model predicts with each of `candidates`.

    Args:
        logits: a function from pixel values to float (N, C) for the labelled images.
        labels: int (N,).
        channels: number of channels of the model's input.
        ordered: whether the outputs are in the labels' order; otherwise the best order is used.

    Returns:
        One score for each; empty if the images do not decide it.
    """
    if len(labels) < _FEWEST:
        return []
    usual = logits(USUAL)
    if usual.ndim != 2 or labels.max() >= usual.shape[1]:
        return []
    found = [_score(USUAL, usual, labels, ordered)]
    for pixels in candidates(channels)[1:]:
        found.append(_score(pixels, logits(pixels), labels, ordered))
    return found


def contradiction(
    name: str,
    stated: PixelValues,
    logits: Callable[[PixelValues], np.ndarray],
    labels: np.ndarray,
    channels: int,
    ordered: bool = True,
) -> str | None:
    """Return a warning if other pixel values than the stated ones suit a model far better, by more
    than chance (exact test of McNemar, see the module).

    Args:
        name: the model's name.
        stated: what the user states.
        logits: as for `scores`.
        labels: int (N,).
        channels: number of channels of the model's input.
        ordered: as for `scores`.

    Returns:
        The warning, or None.
    """
    outputs = logits(stated) if len(labels) >= _FEWEST_TO_DOUBT else np.empty(0)
    if outputs.ndim != 2 or labels.max() >= outputs.shape[1]:
        return None
    own = _score(stated, outputs, labels, ordered)
    if own.can_not_be_far_worse:
        return None
    others = [pixels for pixels in candidates(channels) if pixels != stated]
    found = (_score(pixels, logits(pixels), labels, ordered) for pixels in others)
    fitting = [score for score in found if score.has_learnt and score.suits_better_than(own)]
    best = max(fitting, key=lambda score: (score.accuracy, -score.cross_entropy), default=None)
    if best is None:
        return None
    return (
        f"{name} is stated to take pixels of {named(stated)}, but seems to take"
        f" {named(best.pixels)}: with the statement, which is used, it is right on"
        f" {100 * own.accuracy:.0f} % of {len(labels)} images, and with {best.pixels} on"
        f" {100 * best.accuracy:.0f} %."
    )


def unmoved(
    name: str, taken: PixelValues, logits: Callable[[PixelValues], np.ndarray], channels: int
) -> str | None:
    """Return a warning if a model gives the same for all images by the pixels that it is shown, and
    not by far larger or smaller ones; this needs no labels.

    Args:
        name: the model's name.
        taken: the pixel values that it is shown.
        logits: a function from pixel values to float (N, C) for N images that differ.
        channels: number of channels of the model's input.

    Returns:
        The warning, or None.
    """
    spread, sure = _spread(logits(taken))
    if spread > _UNMOVED:
        return None
    for other in (USUAL, *_RANGES):
        ratio = _size(other, channels) / _size(taken, channels)
        # A model may be sure of all images, and larger pixels then change its answers anyhow.
        far = ratio <= 1 / _OTHER_SIZE or (ratio >= _OTHER_SIZE and sure < _SURE)
        if far and _spread(logits(other))[0] > _MOVED:
            return (
                f"{name} is shown pixels of {named(taken)} and gives the same for all images, which"
                f" it does not for pixels of {named(other)}: check --range, --mean and --std."
            )
    return None


def _spread(logits: np.ndarray) -> tuple[float, float]:
    """How far the logarithms of probabilities differ from image to image, in nats; and the mean
    largest probability.
    """
    logs = log_softmax(logits.astype(np.float64), axis=1)
    largest = float(np.exp(logs.max(axis=1)).mean())
    return float(np.maximum(logs, np.log(_LEAST)).std(axis=0).max()), largest


def _size(pixels: PixelValues, channels: int) -> float:
    return float(np.abs(pixels.line(channels)[0]).mean())


def _score(pixels: PixelValues, outputs: np.ndarray, labels: np.ndarray, ordered: bool) -> Score:
    # Pixels of a wrong range can overflow a model; its score is to be bad, not NaN.
    values = np.nan_to_num(outputs.astype(np.float64), posinf=1e30, neginf=-1e30)
    classes = values.shape[1]
    if not ordered:
        answers = np.zeros((classes, classes))
        np.add.at(answers, (values.argmax(axis=1), labels), 1)
        # The order of classes that gives most right answers (Hungarian method).
        meant = linear_sum_assignment(-answers)[1]
        values = values[:, np.argsort(meant)]
    logs = log_softmax(values, axis=1)
    likelihood = logs[np.arange(len(labels)), labels]
    entropy = -np.sum(np.exp(logs) * np.maximum(logs, -1e30), axis=1)
    chance = np.bincount(labels).max() / len(labels)
    right = values.argmax(1) == labels
    accuracy = float(right.mean())
    return Score(pixels, accuracy, float(-likelihood.mean()), float(entropy.mean()), chance, right)


def better(found: Sequence[Score]) -> Score | None:
    """Return the best of the pixel values that suit a model far better than 0..255, by more than
    chance (exact test of McNemar, see the module).

    Args:
        found: the scores that `scores` returned.

    Returns:
        The best score, or None.
    """
    fitting = [score for score in found[1:] if score.suits_better_than(found[0])]
    return max(fitting, key=lambda score: (score.accuracy, -score.cross_entropy), default=None)


def complaint(name: str, found: Sequence[Score]) -> str | None:
    """Return an error message if other pixel values than 0..255 suit a model far better.

    Args:
        name: the model's name.
        found: the scores that `scores` returned.

    Returns:
        The message, or None.
    """
    usual, best = found[0], better(found)
    if best is None:
        return None
    return (
        f"{name} seems to take pixels of {named(best.pixels)}, not of 0..255: it is"
        f" right on {100 * best.accuracy:.0f} and {100 * usual.accuracy:.0f} % of the images,"
        f" with a cross-entropy of {best.cross_entropy:.2g} and {usual.cross_entropy:.2g}: state"
        f" what it takes, {best.pixels} or {USUAL} (in Python a PixelValues)."
    )


def doubt(name: str, found: Sequence[Score]) -> str | None:
    """Return a warning for a model at chance level, or one that other pixel values suit as well.

    Args:
        name: the model's name.
        found: the scores that `scores` returned.

    Returns:
        The warning, or None.
    """
    usual, *others = found
    if not any(score.accuracy > score.chance + _ABOUT for score in found):
        return (
            f"{name} is no better than chance on these images, whatever of the usual pixels it is"
            f" shown ({', '.join(named(score.pixels) for score in found)}): state what it takes"
            " (--range, --mean, --std, --channel-order), and its classes (--classes)."
        )
    best = max(others, key=lambda score: score.accuracy)
    differs = best.is_more_often_right_than(usual)
    if best.accuracy > usual.accuracy + _ABOUT and best.has_learnt and differs:
        return (
            f"{name} is taken to want pixels of 0..255, though it is right more often"
            f" ({100 * best.accuracy:.0f} instead of {100 * usual.accuracy:.0f} %) on pixels of"
            f" {named(best.pixels)}: state what it takes, {best.pixels} or {USUAL}."
        )
    return None


def named(pixels: PixelValues) -> str:
    """Describe pixel values in words.

    Args:
        pixels: the pixel values.

    Returns:
        A phrase.
    """
    low, high = pixels.value_range
    if pixels.range_alone:
        return f"{low:g}..{high:g}"
    return str(pixels)
