from __future__ import annotations

import numpy as np
from PIL import Image

from keras_kd.datasets import duplicates
from keras_kd.datasets.duplicates import Looks, copies, digests, look_alike, public_private_subsets


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


def test_near_hashes_are_those_of_all_pairs(monkeypatch):
    """Random hashes and some within and beyond NEAR bits of them, wherever the bits lie."""
    monkeypatch.setattr(duplicates, "_PAIRS", 7)
    random = np.random.default_rng(0)
    others = random.integers(0, 2, (300, 256), np.uint8)
    others = np.concatenate([others, others[:20]])  # some twice
    hashes = others[random.integers(0, 300, 400)]
    for row, (bits, first) in enumerate(zip(np.arange(400) % 50, np.arange(400) * 7, strict=True)):
        # Side by side, 13 apart as the bits of one band are, or anywhere.
        places = [(first + bit * (1, 13)[row % 2]) % 256 for bit in range(bits)]
        chosen = random.permutation(256)[:bits] if row % 3 else places
        hashes[row, chosen] ^= 1
    hashes[-40:] = hashes[:40]
    hashes[-50:-40] = random.integers(0, 2, (10, 256))
    distances = (hashes[:, None] != others).sum(axis=2)
    found = look_alike(*(np.packbits(bits, axis=1).view(np.uint64) for bits in (hashes, others)))
    assert found.tolist() == (distances.min(axis=1) <= 24).tolist()
    assert {24, 25} <= set(distances.min(axis=1).tolist())


def test_no_hashes_are_near_to_none():
    none, some = np.empty((0, 4), np.uint64), np.zeros((2, 4), np.uint64)
    assert look_alike(none, some).tolist() == []
    assert look_alike(some, none).tolist() == [False, False]


def test_a_near_copy_is_no_copy_and_not_blank():
    picture = np.random.default_rng(0).integers(0, 200, (64, 64, 1), np.uint8)
    brighter, blank = picture + 9, np.full((64, 64, 1), 90, np.uint8)
    others, looks = (
        Looks(np.array([picture, blank])),
        Looks(np.array([picture, brighter, blank + 1, picture[::-1]])),
    )
    assert looks.near_copies_of(others).tolist() == [False, True, False, False]
    assert looks.copies_of(others).tolist() == [True, False, False, False]
    assert looks.blank.tolist() == [False, False, True, False]


def test_a_hash_has_the_bits_of_imagehash():
    import imagehash

    image = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    (packed,) = duplicates.perceptual_hashes(image)
    bits = np.unpackbits(packed[None].view(np.uint8))
    assert bits.tolist() == imagehash.phash(Image.fromarray(image[0]), 16).hash.ravel().tolist()
