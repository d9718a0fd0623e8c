"""The metrics after each epoch, and the mean that chooses the best epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd.training.concordance import Concordance

SCORE = "val_score"  # the mean over the heads of accuracy or concordance on the validation images


def metrics(heads: dict[str, int | None] | None) -> Any:
    """Return the metrics for `Distiller.compile`: accuracy of classes, concordance ("ccc") of
    values.

    Args:
        heads: by name the number of classes, or None for a value; None for one head of classes.

    Returns:
        A list of metrics, or a dict of lists by head.
    """
    if heads is None:
        return ["accuracy"]
    return {
        name: [Concordance() if classes is None else "accuracy"] for name, classes in heads.items()
    }


def validation_scores(logs: dict[str, float]) -> dict[str, float]:
    """Return the metrics in an epoch's logs that rate the student on the validation images.

    Args:
        logs: Keras' logs of an epoch.

    Returns:
        The accuracies and concordances of the validation images, by name.
    """
    return {
        name: logs[name]
        for name in logs
        if name.startswith("val_") and name.endswith(("accuracy", "ccc"))
    }


def mean_score(logs: dict[str, float]) -> float:
    """Return the score that chooses the best epoch: the mean of `validation_scores`.

    Args:
        logs: Keras' logs of an epoch.

    Returns:
        The mean.
    """
    return float(np.mean(list(validation_scores(logs).values())))


def best_epoch(history: Sequence[dict[str, float]]) -> int:
    """Return the number of the epoch with the best validation score, whose weights are kept.

    Args:
        history: one row for each epoch, as `fitting.fit` returns it.

    Returns:
        The number, from 1; of equal epochs the first.
    """
    scores = [mean_score(row) for row in history]
    return int(history[int(np.nanargmax(scores))]["epoch"])
