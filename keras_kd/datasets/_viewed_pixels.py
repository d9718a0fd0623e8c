"""The pixels of an open image as viewers show them, and the forms whose values can't be told."""

from __future__ import annotations

import contextlib
import re

import numpy as np
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    TiffImageFile,
)

from keras_kd.errors import DataError

DEEP_MODES = ("I", "I;16", "I;16B", "I;16L")
GRAY_MODES = ("1", "L", "LA", "La", *DEEP_MODES)
# A 16-bit image without a pixel above this has at most 64 of the 256 values of uint8.
DARKEST_PEAK = 2**14


def upright(image: Image.Image, name: str) -> np.ndarray:
    """Return the pixels of an open image, uint8 (H, W) or (H, W, 3).

    Args:
        image: as `PIL.Image.open` gives it.
        name: what errors call it.

    Raises:
        DataError: its colours lie in planes that Pillow garbles, or the range of its values is
            unknown: 32 bits, a sign, floating point, or 16 bits without a bright pixel.
    """
    bits = bits_of_a_value(image)
    if bits > 16 or image.mode == "F" or _has_sign(image):
        kind = "floating-point pixels" if image.mode == "F" else "pixels of 32 bits or with a sign"
        raise DataError(f"{name} holds {kind}, whose range is unknown: save it in 8 or 16 bits.")
    if _garbles_planes(image):
        raise DataError(
            f"{name} holds each of its colours in a plane of its own, in a form that isn't read:"
            " save it with the colours of a pixel side by side, or as PNG."
        )
    # Before what is suppressed: of a file that is cut short only the first loading raises.
    image.load()
    with contextlib.suppress(Exception):  # damaged Exif data raise whatever comes up
        ImageOps.exif_transpose(image, in_place=True)
    if bits == 16:
        _refuse_dark(image, name)
    if image.mode in DEEP_MODES:
        return (_deep_values(image) >> 8).astype(np.uint8)
    if image.has_transparency_data:
        if bits == 16 and "transparency" in image.info:
            # Pillow keeps the upper 8 bits of colours, and 16 of the hidden one.
            image.info["transparency"] = tuple(part >> 8 for part in image.info["transparency"])
        image = _on_white(image)
    return np.asarray(image.convert("L" if image.mode in GRAY_MODES else "RGB"))


def _deep_values(image: Image.Image) -> np.ndarray:
    """The values 0..65535 of a gray image of 16 bits, which Pillow's conversions clip at 255."""
    values = np.clip(np.asarray(image), 0, 2**16 - 1)
    hidden = image.info.get("transparency")
    # Pillow inverts WhiteIsZero of 8 bits, and not of 16.
    if isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
        values = 2**16 - 1 - values
    return values if hidden is None else np.where(values == hidden, 2**16 - 1, values)


def _refuse_dark(image: Image.Image, name: str) -> None:
    gray = image.mode in DEEP_MODES
    peak = (
        int(np.max(np.asarray(image)))
        if gray
        else int(np.max(np.asarray(image.convert("RGB")))) << 8
    )
    # A gray image may be black all over; of colours Pillow keeps the upper 8 bits alone, which
    # can't decide.
    if peak < DARKEST_PEAK and (peak or not gray):
        raise DataError(
            f"{name} holds 16-bit pixels of which none reaches a quarter of the range, as cameras"
            " of 10 to 14 bits write them; in 8 bits they would lose their contrast: scale it to"
            " the full range."
        )


def bits_of_a_value(image: Image.Image) -> int:
    """Return the bits of a value, 8 or fewer as 8; before the image is loaded."""
    if image.mode == "I" and image.format == "TIFF":
        return 32
    # Pillow reads 16-bit colours as 8-bit ones; only its decoder's settings show it. In BMP files
    # BGR;16 stands for 16 bits a pixel.
    settings = str(getattr(image, "tile", ""))
    deep = ";16" in settings and image.format != "BMP"
    largest = re.search(r"'ppm(?:_plain)?'.*\('RGB', (\d+)\)", settings)
    return 16 if image.mode in DEEP_MODES or deep or (largest and int(largest[1]) > 255) else 8


def _has_sign(image: Image.Image) -> bool:
    """Whether a TIFF file's values have a sign, which Pillow passes by where they have 8 bits."""
    return isinstance(image, TiffImageFile) and 2 in image.tag_v2.get(SAMPLEFORMAT, ())


def _garbles_planes(image: Image.Image) -> bool:
    """Whether a TIFF file has a plane for each colour in a form that Pillow 13 gives other values
    of: plain ones of 16 bits as if of 8, LAB, and gray with alpha.
    """
    if not isinstance(image, TiffImageFile) or image.tag_v2.get(PLANAR_CONFIGURATION) != 2:
        return False
    if image.tag_v2.get(SAMPLESPERPIXEL, 1) == 1:
        return False
    bits = image.tag_v2.get(BITSPERSAMPLE, (8,))
    plain = any(tile[0] == "raw" for tile in image.tile)
    return image.mode not in ("RGB", "RGBA", "CMYK") or (plain and max(bits) > 8)


def _on_white(image: Image.Image) -> Image.Image:
    """Transparent parts on white, as on paper: what colours hide there is anyone's guess."""
    white = Image.new("RGBA", image.size, "white")
    # Pillow has no direct way from gray that was multiplied by its alpha.
    shown = image.convert("LA") if image.mode == "La" else image
    white.alpha_composite(shown.convert("RGBA"))
    return white.convert("L") if image.mode in GRAY_MODES else white
