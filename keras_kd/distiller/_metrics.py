"""Keras' metrics that give no number, or a wrong one, for the labels and logits at hand."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from keras import losses, metrics

from keras_kd.errors import ConfigError

# What each compares with the outputs: a row of shares for each image, or a class number.
OF_ROWS = (
    metrics.CategoricalAccuracy,
    metrics.TopKCategoricalAccuracy,
    metrics.CategoricalCrossentropy,
    metrics.BinaryCrossentropy,
    metrics.AUC,
    metrics.FBetaScore,
    metrics.Precision,
    metrics.Recall,
)
OF_NUMBERS = (
    metrics.SparseCategoricalAccuracy,
    metrics.SparseTopKCategoricalAccuracy,
    metrics.SparseCategoricalCrossentropy,
)
OF_PROBABILITIES = (
    metrics.Accuracy,
    metrics.BinaryAccuracy,
    metrics.Precision,
    metrics.Recall,
    metrics.TruePositives,
    metrics.TrueNegatives,
    metrics.FalsePositives,
    metrics.FalseNegatives,
    metrics.SensitivityAtSpecificity,
    metrics.SpecificityAtSensitivity,
    metrics.PrecisionAtRecall,
    metrics.RecallAtPrecision,
    metrics.KLDivergence,
    metrics.Poisson,
    metrics.MeanSquaredError,
    metrics.MeanAbsoluteError,
    metrics.MeanAbsolutePercentageError,
    metrics.MeanSquaredLogarithmicError,
    metrics.RootMeanSquaredError,
    metrics.LogCoshError,
    metrics.CosineSimilarity,
    metrics.R2Score,
)
# Of probabilities too, unless they are told.
WITH_LOGITS = (
    metrics.AUC,
    metrics.BinaryCrossentropy,
    metrics.CategoricalCrossentropy,
    metrics.SparseCategoricalCrossentropy,
)


def require_computable(given: Iterable[metrics.Metric], labels: Any, logits: Any) -> None:
    """Refuse metrics that do not fit the labels' form, or take logits for probabilities.

    Args:
        given: a model's metrics.
        labels: (N,), (N, 1) or (N, C), of one head; a dict of several heads is not looked at.
        logits: (N, C). One column holds a probability already, and all fits.

    Raises:
        ConfigError: the message names the metric and what to give in its place.
    """
    if isinstance(labels, dict) or len(labels.shape) == 0 or logits.shape[-1] == 1:
        return
    rows = len(labels.shape) > 1 and labels.shape[-1] != 1
    for metric in _single(given):
        if problem := _problem(metric, rows, logits.shape[-1]):
            raise ConfigError(f"The metric {metric.name} {problem}.")


def require_metrics(given: Any, columns: int | None) -> None:
    """Refuse losses in the place of metrics, which would be computed from logits as from
    probabilities.

    Args:
        given: as `compile` takes metrics; a dict by head is not looked at.
        columns: of the student's only output; None if there are several.

    Raises:
        ConfigError: one of them is a loss of Keras, or a function of it.
    """
    if isinstance(given, dict) or (columns or 1) == 1:
        return
    functions = [one for one in vars(losses).values() if inspect.isfunction(one)]
    for one in keras.tree.flatten(given):
        if isinstance(one, losses.Loss) or one in functions:
            name = getattr(one, "name", None) or one.__name__
            raise ConfigError(
                f"{name} is a loss, and takes probabilities as a metric: give one of keras.metrics,"
                " with from_logits=True where it has that."
            )


def _single(given: Iterable[metrics.Metric]) -> Iterator[metrics.Metric]:
    """Each metric; Keras keeps those of `compile` in one that holds them."""
    for metric in given:
        yield from getattr(metric, "metrics", [metric])


def _problem(metric: metrics.Metric, rows: bool, columns: int) -> str | None:
    """What is wrong with a metric for class numbers, or for rows of shares."""
    if not type(metric).__module__.startswith("keras."):
        return None  # A subclass may take logits.
    later = "compute it after training from keras.ops.softmax(student.predict(images))"
    by_rank = getattr(metric, "top_k", None) is not None
    thresholded = isinstance(metric, metrics.FBetaScore) and metric.threshold is not None
    if thresholded or (isinstance(metric, OF_PROBABILITIES) and not by_rank):
        return f"takes probabilities, and the student gives logits: {later}"
    if isinstance(metric, WITH_LOGITS) and not metric.get_config().get("from_logits"):
        return f"takes probabilities unless it is made with from_logits=True: do so, or {later}"
    if isinstance(metric, metrics.IoU) and metric.sparse_y_pred:
        return "compares predicted class numbers: make it with sparse_y_pred=False"
    if isinstance(metric, OF_ROWS) and not rows:
        return (
            "compares rows of shares, and the labels are class numbers: choose 'accuracy' or a"
            f" sparse_… metric, or give keras.utils.to_categorical(labels, {columns})"
        )
    if isinstance(metric, OF_NUMBERS) and rows:
        return (
            "compares class numbers, and the labels are rows of shares: give labels.argmax(axis=1),"
            " also of the validation images, or choose a metric without sparse"
        )
    return None
