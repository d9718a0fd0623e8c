"""People's votes on the training images as a teacher of the data set's own classes.

FER+ has ten people's votes on each image of FER2013, for emotions that are not quite FER2013's
classes. The relation between votes and FER2013's labels is learnt from the images that have both.
People then teach as a model would, without a model: kerakd distill --votes.
"""

from __future__ import annotations

import numpy as np

from keras_kd.errors import DataError

FOLDS = 5
# Votes that predict labels no better than this over the commonest class are of other images.
SMALLEST_GAIN = 0.05


def logits(votes: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return log P(label | votes) for each image, from trees fitted on the other images (five
    folds).

    Args:
        votes: int (N, columns), rows as in `labels`; only their shares are used.
        labels: int (N,) in 0..classes-1, each class on at least five images.
        classes: number of classes.

    Returns:
        float32 (N, classes), finite; its softmax sums to 1 at T = 1.

    Raises:
        DataError: the numbers of votes and labels differ, a class is too rare, or the votes do not
            predict the labels.
    """
    # Imported here, because it takes a third of a second and few runs need it.
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    if len(votes) != len(labels):
        raise DataError(
            f"There are votes on {len(votes)} training images and labels of {len(labels)}: give"
            " both files complete."
        )
    counts = np.bincount(labels, minlength=classes)
    if counts.min() < FOLDS:
        raise DataError(
            f"A class has {counts.min()} training images, votes need {FOLDS} or more: give the"
            " whole data."
        )
    shares = votes / np.maximum(votes.sum(axis=1, keepdims=True), 1)
    trees = HistGradientBoostingClassifier(learning_rate=0.05, early_stopping=False, random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(trees, shares, labels, cv=folds, method="predict_proba")
    accuracy, commonest = np.mean(predicted.argmax(axis=1) == labels), counts.max() / len(labels)
    if accuracy < commonest + SMALLEST_GAIN:
        raise DataError(
            f"The votes predict {accuracy:.0%} of the labels, and the most frequent class"
            f" {commonest:.0%}: they belong to other images, or are in another order."
        )
    # The logarithm of 0 would be no number that a store can hold.
    return np.log(np.maximum(predicted, 1e-6)).astype(np.float32)
