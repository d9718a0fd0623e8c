"""Images with exactly the same pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Set

import numpy as np


def digests(images: np.ndarray) -> list[bytes]:
    """Return a digest of each image, which is equal for equal pixels.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        N times 16 bytes of BLAKE2b.
    """
    return [
        # hashlib takes contiguous memory alone, which a row of a slice need not be.
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        for image in images
    ]


def copies(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find images that are exact copies of others.

    Args:
        images: uint8 (N, H, W, C).
        others: uint8 (M, H, W, C).

    Returns:
        bool (N,): whether an image has exactly the pixels of one of `others`.
    """
    return among(images, set(digests(others)))


def among(images: np.ndarray, known: Set[bytes]) -> np.ndarray:
    """Find images whose digests are known.

    Args:
        images: uint8 (N, H, W, C).
        known: digests of other images.

    Returns:
        bool (N,).
    """
    return np.array([digest in known for digest in digests(images)], bool)


def public_private_subsets(
    train: np.ndarray, validation: np.ndarray, test: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return FER2013's test sets as masks.

    `public` is PublicTest (the validation split), `private` is PrivateTest (the test split), and
    `both` is the two together. `private_without_copies` leaves out images with exactly the pixels
    of a training image.

    Args:
        train: training images, uint8 (N, H, W, C).
        validation: validation images, uint8.
        test: test images, uint8.

    Returns:
        By name, a mask of the validation rows and a mask of the test rows, both bool.
    """
    all_public, all_private = np.ones(len(validation), bool), np.ones(len(test), bool)
    return {
        "public": (all_public, ~all_private),
        "private": (~all_public, all_private),
        "both": (all_public, all_private),
        "private_without_copies": (~all_public, ~copies(test, train)),
    }
