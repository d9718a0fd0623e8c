from __future__ import annotations

import numpy as np

from keras_kd.datasets.duplicates import copies, digests, public_private_subsets


def test_copies_are_told_to_the_last_bit():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), np.uint8)
    others = images[[4, 1]].copy()
    others[1, 7, 7, 0] ^= 1
    assert copies(images, others).tolist() == [False, False, False, False, True, False]


def test_digests_see_the_place_of_a_pixel():
    image = np.zeros((2, 2, 2, 1), np.uint8)
    image[0, 0, 0], image[1, 1, 1] = 1, 1
    assert len(set(digests(image))) == 2


def test_subsets_of_public_and_private():
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1), np.uint8)
    train, validation, test = images[:4], images[[4, 5, 0]], images[[6, 3, 7, 8]]
    masks = public_private_subsets(train, validation, test)
    assert {name: [mask.tolist() for mask in pair] for name, pair in masks.items()} == {
        "public": [[True] * 3, [False] * 4],
        "private": [[False] * 3, [True] * 4],
        "both": [[True] * 3, [True] * 4],
        "private_without_copies": [[False] * 3, [True, False, True, True]],
    }
