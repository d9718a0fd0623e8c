"""Images with exactly the same pixels, and those that look almost alike.

Near copies (another size, compression or brightness) are found by imagehash's perceptual hash of
16x16 coefficients: at most NEAR of its 256 bits differ.

Only hashes that agree in one of _BANDS bands of their bits, but for one bit, are compared: where
every band differs in two bits or more, more than NEAR differ. Source: M. Norouzi, A. Punjani, D. J.
Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from PIL import Image

HASH_SIDE = 16
NEAR = 24
_BITS = HASH_SIDE**2
_WORDS = _BITS // 64
_BANDS = NEAR // 2 + 1
_WIDTH = -(-_BITS // _BANDS)  # bits of a band
_PAIRS = 2**20  # of hashes, compared at a time


class Looks:
    """What tells copies among some images; each part is found when it is first asked for.

    Args:
        images: uint8 (N, H, W, C).
    """

    def __init__(self, images: np.ndarray) -> None:
        self._images = images

    @cached_property
    def digests(self) -> list[bytes]:
        """Their `digests`."""
        return digests(self._images)

    @cached_property
    def hashes(self) -> np.ndarray:
        """Their `perceptual_hashes`."""
        return perceptual_hashes(self._images)

    @cached_property
    def blank(self) -> np.ndarray:
        """Which have one colour alone, and so look like all others that do: bool (N,)."""
        return (self._images.min(axis=(1, 2)) == self._images.max(axis=(1, 2))).all(axis=-1)

    def copies_of(self, others: Looks) -> np.ndarray:
        """Which have exactly the pixels of one of the others, bool (N,)."""
        known = set(others.digests)
        return np.array([digest in known for digest in self.digests], bool)

    def near_copies_of(self, others: Looks) -> np.ndarray:
        """Which look almost like one of the others, exact copies and blank images left out: bool
        (N,).
        """
        return look_alike(self.hashes, others.hashes) & ~self.copies_of(others) & ~self.blank


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
    return Looks(images).copies_of(Looks(others))


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """Return the bits that images which look almost alike have in common.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        uint64 (N, 4), 256 bits an image.
    """
    import imagehash

    squeezed = images[..., 0] if images.shape[-1] == 1 else images
    packed = np.empty((len(images), _WORDS), np.uint64)
    for row, picture in enumerate(squeezed):
        bits = imagehash.phash(Image.fromarray(picture), HASH_SIDE).hash
        packed[row] = np.packbits(bits).view(np.uint64)
    return packed


def look_alike(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Find images that look almost like others by their hashes.

    Args:
        hashes: uint64 (N, 4) of `perceptual_hashes`.
        others: uint64 (M, 4), likewise.

    Returns:
        bool (N,): whether an image nearly equals one of the others.
    """
    different, places = np.unique(hashes, axis=0, return_inverse=True)
    others = np.unique(others, axis=0)
    found = np.zeros(len(different), bool)
    for band in range(_BANDS):
        unknown = np.flatnonzero(~found)
        found[unknown] = _near_by(band, different[unknown], others)
    return found[places.reshape(-1)]


def _near_by(band: int, hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which hashes are near to one of the others whose band differs in one bit or none."""
    values, own = _band(band, others), _band(band, hashes)
    order = np.argsort(values, kind="stable")
    starts = np.append(0, np.cumsum(np.bincount(values, minlength=2**_WIDTH)))
    found = np.zeros(len(hashes), bool)
    for flipped in (0, *(1 << bit for bit in range(_WIDTH))):
        unknown = np.flatnonzero(~found)
        value = own[unknown] ^ flipped
        first, counts = starts[value], starts[value + 1] - starts[value]
        for part in _parts(counts):
            rows = np.repeat(unknown[part], counts[part])
            candidates = order[_ranges(first[part], counts[part])]
            found[rows[_distances(hashes[rows], others[candidates]) <= NEAR]] = True
    return found


def _band(band: int, hashes: np.ndarray) -> np.ndarray:
    """Every _BANDS-th bit of each hash as a number, int64 (N,): neighbours are much alike."""
    value = np.zeros(len(hashes), np.int64)
    for bit in range(band, _BITS, _BANDS):
        word, place = divmod(bit, 64)
        value = value << 1 | (hashes[:, word] >> np.uint64(place) & np.uint64(1)).astype(np.int64)
    return value


def _parts(counts: np.ndarray) -> Iterator[slice]:
    """Cut rows into slices whose counts sum to _PAIRS at most, or that have one row."""
    ends, start = np.cumsum(counts), 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _PAIRS, "right")))
        yield slice(start, stop)
        start = stop


def _ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers first, first + 1, … of each row, as many as it counts, row after row."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(first - before, counts)


def _distances(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many bits differ, of two (N, 4), row by row: uint16 (N,)."""
    differing = (np.bitwise_count(hashes[:, word] ^ others[:, word]) for word in range(_WORDS))
    return sum(differing, start=np.zeros(len(hashes), np.uint16))


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
