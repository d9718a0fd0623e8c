"""A check of a model's assumed classes and pixel values, for files without metadata."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from keras_kd._common.arrays import evenly
from keras_kd._common.user_warnings import warn
from keras_kd.datasets import Samples
from keras_kd.datasets.class_names import as_typed, shortened
from keras_kd.datasets.class_permutation import columns
from keras_kd.datasets.pixel_values import USUAL, PixelValues
from keras_kd.errors import ModelError
from keras_kd.runtimes import pixel_check, predictors
from keras_kd.runtimes.pixel_check import ASSUMED_PIXELS
from keras_kd.runtimes.predictors import FilePredictor, Predictor
from keras_kd.runtimes.stated import NOTHING

# Images a class that a check needs, and how much more often another order must be right to be
# believed; chance alone gives a tenth at most with so many images.
IMAGES_A_CLASS = 10
# How many images are tried, if these are enough for the classes.
CHECKED = 500
GAIN = 0.2
UNTRAINED = (
    "has the weights that Keras begins with (all biases are 0): it has learnt nothing, so its"
    " pixels and its order of classes can't be checked"
)


def require_plausible(
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    other_pixels: PixelValues | None = None,
) -> None:
    """Check an assumed order of classes against labels.

    Args:
        logits: float (N, C) of a model that does not name its classes.
        labels: int (N,) numbers of `class_names`.
        class_names: the data's class names, in the order assumed for the model's outputs.
        other_pixels: other pixel values that would also explain the outputs, or None.

    Raises:
        ModelError: in another order, which the message names, the model is right far more often.
    """
    better = _better_order(logits, labels, len(class_names))
    if better:
        meant, assumed, best = better
        order = as_typed(class_names[label] for label in meant)
        instead = f"; or state its pixels, {other_pixels}, which would do as well" * bool(
            other_pixels
        )
        raise ModelError(
            f"The model names no classes. In the data's order it is right on {100 * assumed:.1f} % "
            f"of the images, in the order {order} on {100 * best:.1f} %; name its classes by "
            f"--classes, or in a labels.txt beside it, one a line{instead}."
        )


def _better_order(
    logits: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, float, float] | None:
    """Return the classes that outputs mean if that fits the labels far better than their own order,
    with the accuracies of their own order and of this one.
    """
    # With few images a class, some order fits by chance.
    if logits.shape[1] != classes or not _are_enough(len(labels), classes):
        return None
    answers = np.zeros((classes, classes))
    np.add.at(answers, (logits.argmax(axis=1), labels), 1)
    # The assignment of classes to outputs that makes most answers right.
    outputs, meant = linear_sum_assignment(-answers)
    assumed, best = np.trace(answers) / len(labels), answers[outputs, meant].sum() / len(labels)
    return (meant, assumed, best) if best - assumed > GAIN else None


def _are_enough(images: int, classes: int) -> bool:
    return images >= IMAGES_A_CLASS * classes


def require_order_of_data(
    predictor: Predictor, samples: Samples, other_pixels: PixelValues | None = None
) -> None:
    """Check the assumption that a model's classes are in the data's order.

    Args:
        predictor: a model that does not name its classes.
        samples: labelled images, of which CHECKED or IMAGES_A_CLASS a class are tried.
        other_pixels: see `require_plausible`.

    Raises:
        ModelError: see `require_plausible`.
    """
    names = samples.class_names
    some = evenly(samples, max(CHECKED, IMAGES_A_CLASS * len(names)))
    require_plausible(predictor.logits(some.images), some.hard_labels, names, other_pixels)


def assume_order_of_data(
    predictor: FilePredictor, samples: Samples, tell: Callable[[str], None]
) -> None:
    """Tell that a model's classes are assumed to be in the data's order, and check it unless the
    model is untrained, which is told too.

    Args:
        predictor: a model that does not name its classes.
        samples: labelled images.
        tell: told what is assumed, as the end of a sentence about the model.

    Raises:
        ModelError: see `require_plausible`.
    """
    _tell_order(samples, tell)
    if predictor.is_untrained:
        tell(UNTRAINED)
    else:
        require_order_of_data(predictor, samples)


def _tell_order(samples: Samples, tell: Callable[[str], None]) -> None:
    assumed = "names no classes: the data's order is assumed"
    if not _are_enough(len(samples), len(samples.class_names)):
        assumed += f", and not checked, because a check needs {IMAGES_A_CLASS} images a class"
    tell(assumed)


def in_order_of_data(
    predictor: Predictor,
    samples: Samples,
    stated: tuple[str, ...] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    these_alone: bool = False,
) -> Predictor:
    """Return a model with its classes in the data's order.

    A model may have more classes than the data, which is told. Data without images of a class have
    that class nevertheless: its logits stand behind those of the data's classes, and an answer of
    it is wrong (`Samples.among` has the labels for that). A teacher gives its logits of the data's
    classes alone (`these_alone`), because its student has no others.

    If neither the user nor the file states pixel values and class names, pixels 0..255 and the
    data's order are assumed, and checked on some of the images, unless the model is untrained.
    What the user states of a file is used; a warning tells where the labels speak against it.

    Args:
        predictor: the model.
        samples: labelled images.
        stated: class names that the user stated, or None.
        tell: told what is assumed, as the end of a sentence about the model.
        these_alone: leave all other classes of the model out.

    Returns:
        The model, with its logits in the order of the samples' class names; its `spec` names all
            classes that are left.

    Raises:
        ModelError: see `require_plausible` and `predictors.reordered`; or other pixel values suit
            the model far better.
    """
    names = stated or predictor.spec.class_names
    of_file = predictor if isinstance(predictor, FilePredictor) else None
    assuming = of_file if of_file and of_file.assumes_pixels else None
    if assuming:
        tell(ASSUMED_PIXELS)
    if names is None and predictor.tells_classes:
        _tell_order(samples, tell)
    if of_file and of_file.is_untrained and (assuming or names is None):
        tell(UNTRAINED)
    elif predictor.tells_classes and len(samples):
        if of_file and of_file.stated != NOTHING and not (assuming or of_file.is_untrained):
            _doubt_statement(of_file, samples, names)
        other = _require_right_pixels(assuming, samples, names) if assuming else None
        if names is None:
            require_order_of_data(predictor, samples, other)
    if not predictor.tells_classes:
        return predictor
    ordered = predictors.reordered(predictor, names, samples.class_names)
    if others := (ordered.spec.class_names or ())[len(samples.class_names) :]:
        what = "their logits are left out" if these_alone else "such answers are wrong"
        tell(
            f"has {len(others)} class{'es' * (len(others) > 1)} more than the data"
            f" ({shortened(others)}): {what}"
        )
    if these_alone:
        return predictors.reordered(predictor, names, samples.class_names, these_alone=True)
    return ordered


def _doubt_statement(
    predictor: FilePredictor, samples: Samples, names: tuple[str, ...] | None
) -> None:
    """Warn where other pixels than the user's, or classes in another order, suit a model far
    better.
    """
    some = evenly(samples, pixel_check.TRIED)
    logits, labels = _by_pixels(predictor, some, names), some.hard_labels
    taken, pixels = predictor.spec.expected_pixels, predictor.stated.pixels
    doubt = None
    if pixels and not predictor.takes_whole_numbers:
        channels, ordered = predictor.spec.input_shape[2], names is not None
        doubt = pixel_check.contradiction("The model", pixels, logits, labels, channels, ordered)
    if doubt := doubt or _doubtful_names(logits(taken), labels, names, samples.class_names):
        warn(doubt)


def _by_pixels(
    predictor: FilePredictor, samples: Samples, names: tuple[str, ...] | None
) -> Callable[[PixelValues], np.ndarray]:
    """The model's logits of the data's classes, in their order, by the pixels that it is shown."""
    names = names or samples.class_names
    order = columns(names, samples.class_names)

    @functools.cache
    def logits(pixels: PixelValues) -> np.ndarray:
        # The model records that its outputs were reported, so that copies do not repeat it.
        own = pixels == predictor.spec.expected_pixels
        shown = predictor if own else predictor.with_pixels(pixels)
        found = shown.logits(samples.images)
        return found[:, order] if found.shape[1] == len(names) else found

    return logits


def _require_right_pixels(
    predictor: FilePredictor, samples: Samples, names: tuple[str, ...] | None
) -> PixelValues | None:
    """Compare the model's answers for the usual kinds of pixels; a doubt is a warning.

    Returns:
        What pixels would suit the model if its unnamed classes are in the data's order; None where
        0..255 do.
    """
    some = evenly(samples, pixel_check.TRIED)
    logits = _by_pixels(predictor, some, names)
    channels, labels = predictor.spec.input_shape[2], some.hard_labels
    found = pixel_check.scores(logits, labels, channels, names is not None)
    problem = pixel_check.complaint("The model", found) if found else None
    doubtful = _doubtful_names(logits(USUAL), labels, names, samples.class_names)
    if problem:
        raise ModelError(f"{problem} {doubtful}".strip())
    if doubtful:
        warn(doubtful)
    if found and (doubt := pixel_check.doubt("The model", found)):
        warn(doubt)
    ordered = pixel_check.better(pixel_check.scores(logits, labels, channels))
    return None if ordered is None else ordered.pixels


def _doubtful_names(
    logits: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...] | None,
    class_names: tuple[str, ...],
) -> str:
    """Return a warning where the model is right far more often in another order than it is named;
    `logits` are in the data's order by these names.
    """
    better = _better_order(logits, labels, len(class_names)) if names else None
    if names is None or better is None:
        return ""
    meant, assumed, best = better
    places = columns(names, class_names)
    order = as_typed(class_names[meant[place]] for place in np.argsort(places))
    named = as_typed(names[place] for place in np.sort(places))
    return (
        f"By its class names {named} the model is right on {100 * assumed:.1f} % of the"
        f" images, in the order {order} on {100 * best:.1f} %: check --classes and its list of"
        " labels."
    )
