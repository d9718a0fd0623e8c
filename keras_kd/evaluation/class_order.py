"""Whether a model's classes are in the order of the data's, where its file doesn't name them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from keras_kd.datasets import Samples
from keras_kd.errors import ModelError
from keras_kd.runtimes import predictors
from keras_kd.runtimes.predictors import Predictor

# Images a class that a check needs, and how much more often another order must be right to be
# believed; chance alone gives a tenth at most with so many images.
IMAGES_A_CLASS = 10
CHECKED = 500
GAIN = 0.2


def require_plausible(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Check an assumed order of classes against labels.

    Args:
        logits: float (N, C) of a model that names no classes.
        labels: int (N,) numbers of `class_names`.
        class_names: of the data, in the order that the model's outputs are taken to have.

    Raises:
        ModelError: in another order, which the message names, the model is right far more often.
    """
    classes = len(class_names)
    if logits.shape[1] != classes or len(labels) < IMAGES_A_CLASS * classes:
        return
    answers = np.zeros((classes, classes))
    np.add.at(answers, (logits.argmax(axis=1), labels), 1)
    outputs, meant = linear_sum_assignment(-answers)
    assumed, best = np.trace(answers) / len(labels), answers[outputs, meant].sum() / len(labels)
    if best - assumed > GAIN:
        order = ", ".join(class_names[label] for label in meant)
        raise ModelError(
            f"The model names no classes: in the data's order it is right on {100 * assumed:.1f} % "
            f"of the images, in the order {order} on {100 * best:.1f} %; write its classes, one a "
            "line, into a labels.txt beside it."
        )


def in_order_of_data(
    predictor: Predictor, samples: Samples, stated: tuple[str, ...] | None = None
) -> Predictor:
    """Return a model with its classes in the data's order, which is assumed, and checked on up to
    500 of the images, where neither the user nor the file names them.

    Raises:
        ModelError: see `require_plausible` and `predictors.reordered`.
    """
    names = stated or predictor.form.class_names
    if names is None and predictor.tells_classes:
        rows = np.linspace(0, len(samples) - 1, min(CHECKED, len(samples))).astype(int)
        some = samples[rows]
        require_plausible(predictor.logits(some.images), some.hard_labels, samples.class_names)
    return predictors.in_order_of(predictor, names, samples.class_names)
