"""Images as uint8 arrays: resized and converted to other channels as Pillow does."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from PIL import Image

from keras_kd._common.arrays import large_array
from keras_kd._common.vocabulary import MAX_PIXELS as MAX_PIXELS
from keras_kd.errors import DataError

# Of images: the side of a square, or height and width.
Size = int | tuple[int, int]


def height_width(size: Size) -> tuple[int, int]:
    """Return the height and width of a size.

    Args:
        size: the side of a square, or height and width, in pixels.

    Returns:
        Height and width in pixels.

    Raises:
        DataError: it is neither, or a length is below 1.
    """
    sides = list(size) if isinstance(size, (tuple, list)) else [size, size]
    if len(sides) != 2 or not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise DataError(
            "size must be the side of a square in pixels, 1 or more, or (height, width). Received:"
            f" size={size!r}."
        )
    return int(sides[0]), int(sides[1])


def resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize images with Pillow's bilinear filter.

    The filter is widened for shrinking (antialiasing), as in torchvision's Resize on PIL images.
    Many large results are mapped into memory, see `arrays.large_array`.

    Args:
        images: uint8 (N, H, W, C).
        height: new height in pixels.
        width: new width in pixels.

    Returns:
        uint8 (N, height, width, C).
    """
    if images.shape[1:3] == (height, width):
        return images
    resized = large_array((len(images), height, width, images.shape[3]))
    for source, target in zip(images, resized, strict=True):
        picture = Image.fromarray(source if source.shape[2] == 3 else source[:, :, 0])
        # Rows first: left to itself, Pillow 13 and later may begin with the columns, which rounds
        # otherwise.
        picture = picture.resize((width, picture.height), Image.Resampling.BILINEAR)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        target[:] = np.asarray(picture).reshape(target.shape)
    return resized


def with_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Convert images to gray (ITU-R 601 luma, as Pillow's mode L) or to RGB (gray repeated).

    Args:
        images: uint8 (N, H, W, 1 or 3).
        channels: 1 or 3.

    Returns:
        uint8 (N, H, W, channels).
    """
    if images.shape[3] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=3)
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((images.astype(np.uint32) @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]


def fitted(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize images and convert their channels.

    Args:
        images: uint8 (N, H, W, C).
        shape: height, width and channels.

    Returns:
        uint8 (N, *shape).
    """
    return resize(with_channels(images, shape[2]), shape[0], shape[1])
