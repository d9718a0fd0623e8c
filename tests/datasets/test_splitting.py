from __future__ import annotations

import numpy as np
import pytest

from keras_kd.datasets.readers._splitting import stratified
from keras_kd.errors import DataError

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def test_every_part_has_its_share_of_every_class():
    labels = np.random.default_rng(3).permutation(np.repeat([0, 1, 2], [100, 50, 3]))
    parts = stratified(labels, ("a", "b", "c"), SHARES)
    counts = {name: np.bincount(labels[rows]).tolist() for name, rows in parts.items()}
    assert counts == {"train": [80, 40, 1], "validation": [10, 5, 1], "test": [10, 5, 1]}
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(153))


def test_the_seed_decides():
    labels = np.repeat([0, 1], 50)
    first, again = stratified(labels, ("a", "b"), SHARES), stratified(labels, ("a", "b"), SHARES)
    other = stratified(labels, ("a", "b"), SHARES, seed=1)
    assert all(np.array_equal(first[name], again[name]) for name in SHARES)
    assert not np.array_equal(first["test"], other["test"])


def test_a_class_too_small_to_split_is_named():
    with pytest.raises(DataError, match="Class b has 2 images.*at least 3"):
        stratified(np.array([0, 0, 0, 1, 1]), ("a", "b"), SHARES)


def test_only_a_doubt_of_the_class_itself_is_told():
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    with pytest.raises(DataError, match="class; the class nan may stand for no label.$"):
        stratified(labels, ("a", "b", "nan"), SHARES)
    with pytest.raises(DataError, match="remove the class.$"):
        stratified(labels, ("nan", "b", "a"), SHARES)
