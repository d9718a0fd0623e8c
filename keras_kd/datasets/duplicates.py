"""Images with exactly the same pixels."""

from __future__ import annotations

import hashlib

import numpy as np


def digests(images: np.ndarray) -> list[bytes]:
    """Return 16 bytes of BLAKE2b over each image of uint8 (N, H, W, C); equal for equal pixels."""
    return [
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        for image in images
    ]


def copies(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return bool (N,): which of `images` have exactly the pixels of one of `others`."""
    known = set(digests(others))
    return np.array([digest in known for digest in digests(images)], bool)


def public_private_subsets(
    train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return FER2013's test sets as (mask of validation rows, mask of test rows), from the images
    of each split.

    `public` is PublicTest (the validation split), `private` PrivateTest (the test split), `both`
    the two together; `private_without_copies` leaves out what has exactly the pixels of a training
    image.
    """
    all_public, all_private = np.ones(len(validation), bool), np.ones(len(test), bool)
    return {
        "public": (all_public, ~all_private),
        "private": (~all_public, all_private),
        "both": (all_public, all_private),
        "private_without_copies": (~all_public, ~copies(test, train)),
    }
