"""Images as uint8 arrays: read, resized and recoloured as Pillow does."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_kd._common.files import large_array
from keras_kd.errors import DataError

MAX_PIXELS = 50_000_000
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L")
GRAY_MODES = ("1", "L", "LA", *DEEP_MODES)


def read(path: str | Path, upright: bool = False) -> np.ndarray:
    """Read one image file.

    Args:
        path: the file.
        upright: turn the image as its Exif orientation says, as viewers do.

    Returns:
        uint8 (H, W, 1) for gray files and (H, W, 3) for all others (alpha dropped).

    Raises:
        DataError: the file is missing, empty, no image, broken, or larger than MAX_PIXELS pixels.
    """
    return _pixels(path, str(path), upright)


def decoded(content: bytes, name: str) -> np.ndarray:
    """Read the content of an image file as `read` does; `name` is what its errors call it."""
    return _pixels(io.BytesIO(content), name)


def _pixels(source: str | Path | io.BytesIO, name: str, upright: bool = False) -> np.ndarray:
    try:
        with Image.open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{name} is declared {image.width}x{image.height}, more than {MAX_PIXELS} pixels: "
                    "scale it down or leave it out."
                )
            if image.mode == "F":
                raise DataError(
                    f"{name} holds floating-point pixels, whose range is unknown: save it in 8 or 16 bits."
                )
            if upright:
                _turn_upright(image)
            gray = image.mode in GRAY_MODES
            # Pillow would clip 16-bit values at 255 where the upper 8 bits are wanted.
            deep = image.mode in DEEP_MODES
            pixels = (
                _upper_bits(np.asarray(image))
                if deep
                else np.asarray(image.convert("L" if gray else "RGB"))
            )
    except FileNotFoundError as error:
        raise DataError(f"{name} does not exist: check the path.") from error
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise DataError(
            f"{name} can't be read as an image ({error}): replace or remove it."
        ) from error
    return pixels[:, :, None] if gray else pixels


def _turn_upright(image: Image.Image) -> None:
    """As the Exif data says; as it is where they are damaged, since Pillow then raises whatever
    comes up.
    """
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)


def _upper_bits(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 2**16 - 1) >> 8).astype(np.uint8)


def resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 (N, H, W, C) to (N, height, width, C) with Pillow's bilinear filter.

    The filter widens when it shrinks (antialiasing), as in torchvision's Resize on PIL images. Many
    large ones are mapped into memory, see `files.large_array`.
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
    """Turn uint8 (N, H, W, 1 or 3) into 1 (ITU-R 601 luma, as Pillow's mode L) or 3 channels (gray
    repeated).
    """
    if images.shape[3] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=3)
    weights = np.array([19595, 38470, 7471], np.uint32)
    return ((images.astype(np.uint32) @ weights + 0x8000) >> 16).astype(np.uint8)[..., None]


def fitted(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resize and recolour uint8 (N, H, W, C) to (N, *shape)."""
    return resize(with_channels(images, shape[2]), shape[0], shape[1])
