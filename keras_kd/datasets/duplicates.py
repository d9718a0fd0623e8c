"""Images with exactly the same pixels, and those that look almost alike.

Near copies (another size, compression or brightness) are found by imagehash's perceptual hash of
16x16 coefficients: at most NEAR of its 256 bits differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set

import numpy as np
from PIL import Image

HASH_SIDE = 16
NEAR = 24
_CHUNK = 4096


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


def are_blank(images: np.ndarray) -> np.ndarray:
    """Which images have one colour alone, and so look like all others that do.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        bool (N,).
    """
    return (images.min(axis=(1, 2)) == images.max(axis=(1, 2))).all(axis=-1)


def near_copies(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find images that look almost like others.

    Args:
        images: uint8 (N, H, W, C).
        others: uint8 (M, H, W, C).

    Returns:
        bool (N,): whether an image nearly equals one of `others`.
    """
    return near(perceptual_hashes(images), perceptual_hashes(others))


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """Return the bits that images which look almost alike have in common.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        bool (N, 256).
    """
    import imagehash

    squeezed = images[..., 0] if images.shape[-1] == 1 else images
    hashes = [imagehash.phash(Image.fromarray(picture), HASH_SIDE).hash for picture in squeezed]
    return np.array(hashes, bool).reshape(len(images), HASH_SIDE**2)


def near(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find images that look almost like others by their hashes.

    Args:
        hashes: bool (N, 256) of `perceptual_hashes`.
        others: bool (M, 256), likewise.

    Returns:
        bool (N,): whether an image nearly equals one of the others.
    """
    nearest = np.full(len(hashes), np.inf)
    for start in range(0, len(hashes), _CHUNK):
        rows = slice(start, start + _CHUNK)
        for other in range(0, len(others), _CHUNK):
            distances = _distances(hashes[rows], others[other : other + _CHUNK])
            nearest[rows] = np.minimum(nearest[rows], distances.min(axis=1))
    return nearest <= NEAR


def _distances(bits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many bits differ, of bool (N, B) and (M, B): float32 (N, M)."""
    # One matrix product: the bits of either less twice the common ones.
    bits, others = bits.astype(np.float32), others.astype(np.float32)
    return bits.sum(axis=1)[:, None] + others.sum(axis=1) - 2 * bits @ others.T


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
