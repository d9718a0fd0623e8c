"""What a training is scored by after each epoch: metrics of the heads and their mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_kd.training.concordance import Concordance

SCORE = "val_score"  # the mean over the heads of accuracy or concordance on the validation images


def metrics(heads: dict[str, int | None] | None) -> Any:
    """What `Distiller.compile` takes as metrics: accuracy of classes, concordance ("ccc") of
    values.

    Args:
        heads: by name the number of classes, or None for a value; None for one head of classes.
    """
    if heads is None:
        return ["accuracy"]
    return {
        name: [Concordance() if classes is None else "accuracy"] for name, classes in heads.items()
    }


def validation_scores(logs: dict[str, float]) -> dict[str, float]:
    """Those of an epoch's logs that say how good the student is on the validation images."""
    return {
        name: logs[name]
        for name in logs
        if name.startswith("val_") and name.endswith(("accuracy", "ccc"))
    }


def mean_score(logs: dict[str, float]) -> float:
    """The one number that chooses the best epoch: the mean of `validation_scores`."""
    return float(np.mean(list(validation_scores(logs).values())))
