"""What other calibrations than one temperature would give a classifier of FER2013.

    python benchmarks/calibrations.py data/fer2013.csv exports/*/model.tflite

Each is fitted on two thirds of PublicTest and scored on the other third, in 30 random splits:
temperature scaling, which is one factor for all logits; temperature scaling with an offset for
each class; vector scaling, which is a factor and an offset for each class (Guo et al. 2017,
section 4.2). "by chance" is the ECE of probabilities that are exactly right on as many images.
PrivateTest is not read. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from keras_kd import datasets
from keras_kd._common.markdown import table
from keras_kd.datasets.readers import fer2013
from keras_kd.evaluation import metrics
from keras_kd.runtimes import predictors

SPLITS = 30
SEED = 0
CLASSES = len(fer2013.CLASS_NAMES)
FITTED_SHARE = 2 / 3
# The number of factors and of offsets of each calibration.
CALIBRATIONS = {"temperature": (1, 0), "with offsets": (1, CLASSES), "vector": (CLASSES, CLASSES)}


def scaled(logits: np.ndarray, labels: np.ndarray, factors: int, offsets: int) -> tuple:
    """The (factors, offsets) of least negative log-likelihood, for float (N, C) logits.

    `factors` and `offsets` say how many there are: C, 1 for a common one, or 0 offsets.
    """
    rows = np.arange(len(labels))

    def parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | float]:
        return np.exp(values[:factors]), values[factors:] if offsets else 0.0

    def loss(values: np.ndarray) -> float:
        factor, offset = parts(values)
        return -float(log_softmax(logits * factor + offset, axis=1)[rows, labels].mean())

    return parts(minimize(loss, np.zeros(factors + offsets), method="L-BFGS-B").x)


def row(path: Path, data: str) -> tuple[str, ...]:
    """A model's mean ECE and accuracy by calibration, in percent."""
    predictor = predictors.load(path)
    names = predictor.spec.class_names
    ordered = predictors.reordered(predictor, names, fer2013.CLASS_NAMES)
    samples = datasets.load(f"fer2013:{data}", "validation", size=predictor.spec.size)
    logits, labels = ordered.predict(samples.images).logits.astype(np.float64), samples.hard_labels
    generator = np.random.default_rng(SEED)
    scores: dict[str, list[tuple]] = {}
    for _ in range(SPLITS):
        order = generator.permutation(len(labels))
        fitted, held = np.split(order, [round(FITTED_SHARE * len(order))])
        found = {"as it is": (1.0, 0.0)} | {
            name: scaled(logits[fitted], labels[fitted], *numbers)
            for name, numbers in CALIBRATIONS.items()
        }
        for name, (factor, offset) in found.items():
            given = metrics.classification(
                logits[held] * factor + offset, labels[held], fer2013.CLASS_NAMES
            )
            scores.setdefault(name, []).append((given["ece"], given["accuracy"]))
        scores.setdefault("by chance", []).append((given["ece_by_chance"],))
    means = [100 * np.mean(values, axis=0) for values in scores.values()]
    return (path.parent.name, *(", ".join(f"{value:.2f}" for value in one) for one in means))


def main() -> None:
    """Fit, score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="fer2013.csv or its folders")
    parser.add_argument("models", nargs="+", type=Path, help="model files")
    given = parser.parse_args()
    header = ("ECE, accuracy", "as it is", *CALIBRATIONS, "by chance")
    print(table(header, [row(path, given.data) for path in given.models]))


if __name__ == "__main__":
    main()
