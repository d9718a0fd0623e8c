"""Arrays that may be larger than memory: mapped files, and the fingerprint of what they hold."""

from __future__ import annotations

import hashlib
import math
import mmap
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from keras_kd._common.files import claim, refusals, refuse_special
from keras_kd.errors import OutputError

LARGEST_IN_MEMORY = 2**29
_ROWS = 1024


def large_array(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """Return zeros of `shape`: in memory, or beyond 512 MB in a nameless file that is mapped into
    memory.

    Raises:
        OutputError: there is no room where temporary files go.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= LARGEST_IN_MEMORY:
        return np.zeros(shape, dtype)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free:
        raise OutputError(
            f"{shape[0]:,} arrays of {'x'.join(map(str, shape[1:])) or 1} take {size / 1e9:,.1f} GB"
            f" where temporary files go, and {tempfile.gettempdir()} has {free / 1e9:,.1f} GB left:"
            " use smaller or fewer images, or set TMPDIR to a larger disk."
        )
    with refusals(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
        claim(file, size)
        # The map outlives the handle; the nameless file's place on the disk goes with the map.
        return np.memmap(file, dtype, "w+", shape=shape)


def mapped_array(path: str | Path) -> np.ndarray:
    """Map a .npy file's array into memory, for reading: no file costs more than it holds, and no
    object is unpickled.

    Raises:
        ValueError: it is no regular file, cut short, damaged, or holds Python objects.
        OSError: it can't be read.
    """
    refuse_special(path)
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:
        # NumPy raises what its parser of the header raises: tokenize.TokenError, OverflowError,
        # SystemError, ...
        raise ValueError(f"it is no whole .npy file: {error}") from error


def read_ahead(array: np.ndarray, rows: np.ndarray) -> None:
    """Have the operating system read some rows of a mapped array side by side, before each is
    waited for in turn.

    Random rows on a disk came 40 times as fast; of an array in memory nothing is done.

    Args:
        array: of any shape, mapped or not.
        rows: int (n,).
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
        return
    size = array.strides[0]
    start = array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    for first in (start + size * np.asarray(rows)).tolist():
        page = first - first % mmap.PAGESIZE
        mapped.madvise(mmap.MADV_WILLNEED, page, first + size - page)


class ImageRows:
    """Images that come one by one, nobody knows how many: kept in a nameless file, not in memory.

    Args:
        shape: of each image.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the object

    def append(self, image: np.ndarray) -> None:
        """Add one image, uint8 of the shape or flat.

        Raises:
            OutputError: there is no room where temporary files go.
        """
        with refusals(tempfile.gettempdir()):
            self._file.write(image.tobytes())

    def array(self) -> np.ndarray:
        """All images, uint8 (N, *shape), mapped into memory; at least one must have come.

        What is written into one such array is seen in no other.
        """
        with refusals(tempfile.gettempdir()):
            self._file.flush()
        return np.memmap(self._file, np.uint8, "c").reshape(-1, *self._shape)


Rows = TypeVar("Rows", bound=Any)


def evenly(rows: Rows, count: int) -> Rows:
    """Return at most `count` rows of an array, or of samples, spread evenly over all."""
    # Not the first ones: data sets in class folders begin with images of one class.
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def first_not_finite(rows: np.ndarray) -> int | None:
    """Return the number of the first row that holds NaN or infinity; None where all numbers are
    finite.

    Args:
        rows: of any type, (N, ...); at most `_ROWS` are in memory at a time.
    """
    if rows.dtype.kind not in "fc":
        return None
    for start in range(0, len(rows), _ROWS):
        finite = np.isfinite(rows[start : start + _ROWS])
        if not finite.all():
            return start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
    return None


def first_outside(numbers: np.ndarray, count: int) -> tuple[int, float] | None:
    """Return the row of the first number outside of 0..count-1, as NaN is, and that number; None
    where there is none.

    Args:
        numbers: (N, ...).
        count: above 0.
    """
    wrong = ~((numbers >= 0) & (numbers < count))
    return (int(np.argwhere(wrong)[0][0]), numbers[wrong][0]) if wrong.any() else None


def row_fingerprints(array: np.ndarray) -> np.ndarray:
    """Return the fingerprint of each row of an array, bytes (N,)."""
    digests = [
        hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest() for row in array
    ]
    return np.array(digests, "S8")


def fingerprint(parts: Iterable[np.ndarray | str | bytes]) -> str:
    """Return 16 hexadecimal digits of SHA-256 over arrays (dtype, shape, bytes) and texts, in
    order.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            # As bytes, since NumPy gives no buffer of types that it doesn't know, as bfloat16.
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
        # Ends a part: "ab", "c" and "a", "bc" differ.
        digest.update(b"\0")
    return digest.hexdigest()[:16]
