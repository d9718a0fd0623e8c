"""Samples whose labels have no class names are refused, whatever they are made for."""

from __future__ import annotations

import numpy as np
import pytest

from keras_kd.datasets import Samples
from keras_kd.errors import DataError

IMAGES, NAMES = np.zeros((4, 2, 2, 1), np.uint8), ("a", "b", "c")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (
            np.array([0, 1, 3, 2]),
            "label in row 2 of the samples is 3: expected class numbers 0 to 2",
        ),
        (np.array([0, -1, 3, 2]), "row 1 of the samples is -1"),
        (np.array([[0], [1], [2], [7]]), "row 3 of the samples is 7"),
        (np.full((4, 2), 0.5, np.float32), "shares of 2 classes, and 3 class names are given"),
    ],
)
def test_labels_without_a_class_name_are_refused(labels, told):
    """Export, calibration and measuring took them."""
    with pytest.raises(DataError, match=told):
        Samples(IMAGES, labels, NAMES)
    # Without names, they are of the model's own classes.
    assert len(Samples(IMAGES, labels, ())) == 4


def test_labels_of_the_named_classes_are_taken():
    for labels in (np.arange(4) % 3, np.arange(4)[:, None] % 3, np.eye(3)[np.arange(4) % 3]):
        assert len(Samples(IMAGES, labels, NAMES)[1:3]) == 2
