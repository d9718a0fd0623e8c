"""Image files, decoded by Pillow into uint8 arrays as viewers show them."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_kd._common.files import refuse_special
from keras_kd._common.text import plain_reason
from keras_kd.datasets import _tiff_pages, _viewed_pixels
from keras_kd.datasets.images import MAX_PIXELS
from keras_kd.errors import DataError

MAX_BYTES = 2**29


# Each scan of a JPEG file goes over all pixels, however few bytes it has; cameras write ten.
MAX_SCANS = 100
_JPEG_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd9-\xfe])")


# Pillow's names. Its other formats start programs (EPS), hold no photographs, or were never looked
# at here.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "HEIF")
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
SUFFIXES = (
    ".apng",
    ".avif",
    ".bmp",
    ".dib",
    ".gif",
    ".j2k",
    ".jfif",
    ".jp2",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".jpx",
    ".mpo",
    ".pbm",
    ".pgm",
    ".png",
    ".pnm",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
HEIC_HINT = "pip install 'keras-kd[heic]' reads HEIC"


# How files begin that are often called images and are none.
_OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer: fetch the files with `git lfs pull`",
    b"%!PS": "a PostScript file: save it as PNG",
    b"%PDF": "a PDF file: save its pages as PNG",
    b"<": "a text of HTML, SVG or XML, as failed downloads are: replace or remove it",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"\xff\x0a": "a JPEG XL image: save it as PNG",
    b"\0\0\0\x0cJXL ": "a JPEG XL image: save it as PNG",
    **dict.fromkeys(
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "a TIFF file of pixels that aren't read, as of 64 bits or five channels, or damaged: save"
        " it as PNG",
    ),
}


def read(path: str | Path) -> np.ndarray:
    """Read one image file as viewers show it: turned by its Exif orientation, transparent parts on
    white.

    The first frame or page of a file is read, in TIFF files the first that is no thumbnail. Colour
    profiles are not applied.

    Args:
        path: the file.

    Returns:
        uint8 (H, W, 1) for gray files and (H, W, 3) for all others. The upper 8 of 16 bits are
            kept.

    Raises:
        DataError: the file is missing, empty, not a regular file, larger than MAX_BYTES or
            MAX_PIXELS, broken, of more than MAX_SCANS, or of none of FORMATS; its picture is not
            among its pages; its colours lie in planes that Pillow garbles; or the range of its
            values is unknown: 32 bits, floating point, or 16 bits of which none is used above a
            quarter of the range.
    """
    _check_file(Path(path))
    return _pixels(path, str(path))


def decoded(content: bytes, name: str) -> np.ndarray:
    """Decode the content of an image file as `read` does.

    Args:
        content: the bytes of the file.
        name: what errors call the file.

    Returns:
        uint8 (H, W, 1 or 3).

    Raises:
        DataError: as for `read`.
    """
    if not content:
        raise _empty(name)
    return _pixels(io.BytesIO(content), name)


def mistaken(path: str | Path) -> str | None:
    """Say what a file that can't be read is instead, by its first bytes.

    Args:
        path: a file of any kind.

    Returns:
        What it is and what to do; None where its first bytes are those of nothing known.
    """
    return _other(_start(path))


def channels(sources: Iterable[str | Path | bytes]) -> int:
    """Return the channels of a data set's images: gray if every image is, else RGB.

    Args:
        sources: files, or contents of such, read up to the first in colour. Only their headers are
            looked at.

    Returns:
        1 or 3. Unreadable images count as gray; `read` and `decoded` report them.
    """
    return 1 if all(is_gray(source) is not False for source in sources) else 3


def is_gray(source: str | Path | bytes) -> bool | None:
    """Whether the header of an image file declares no colours.

    Args:
        source: the file, or its content.

    Returns:
        True or False; None if the header can't be read, which `read` reports.
    """
    if isinstance(source, bytes):
        return _declares_gray(io.BytesIO(source))
    with contextlib.suppress(OSError):
        status = os.stat(source)
        # Remembered as long as the file is the same.
        return _is_gray(str(source), status.st_mtime_ns, status.st_size)
    return None


# Every split of a data set asks for the files of all.
@functools.lru_cache(maxsize=2**17)
def _is_gray(path: str, written: int, size: int) -> bool | None:
    return _declares_gray(path)


def _declares_gray(source: str | io.BytesIO) -> bool | None:
    with contextlib.suppress(Exception), _opened(source) as image:  # Pillow raises anything
        return image.mode in _viewed_pixels.GRAY_MODES
    return None


def traits(path: str | Path) -> tuple[str, ...]:
    """Return what `read` does with a file that some viewers do not do, according to its header.

    Args:
        path: the file.

    Returns:
        Phrases for a report, e.g. on orientation or transparency.
    """
    with contextlib.suppress(Exception), _opened(path) as image:
        found = {
            "several frames or pages, the first is read": (
                # Not n_frames: counting the 60,000 pages of a file of 7 MB takes minutes.
                getattr(image, "is_animated", False) and image.format != "MPO" and not image.tell()
            ),
            "a thumbnail before the picture, passed over": image.tell() > 0,
            "transparency, shown on white": image.has_transparency_data,
            "16 bits, the upper 8 are read": _viewed_pixels.bits_of_a_value(image) == 16,
            "CMYK colours, turned into RGB without a profile": image.mode == "CMYK",
        }
        return tuple(words for words, holds in found.items() if holds)
    return ()


@contextlib.contextmanager
def _opened(source: str | Path | io.BytesIO) -> Iterator[Image.Image]:
    if not isinstance(source, io.BytesIO):
        _check_file(Path(source))
    with warnings.catch_warnings(action="ignore"), Image.open(source, formats=formats()) as image:
        _tiff_pages.to_picture(image, str(source))
        yield image


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that this installation reads; HEIF by the extra `heic`."""
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    # Pillow knows most of its formats only after this.
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def suffixes() -> tuple[str, ...]:
    """How the names of files end that this installation reads, in lower case."""
    return (*SUFFIXES, *(HEIC_SUFFIXES if "HEIF" in formats() else ()))


def _check_file(path: Path) -> None:
    try:
        refuse_special(path)
        size = path.stat().st_size
    except FileNotFoundError as error:
        if path.is_symlink():
            raise DataError(
                f"{path} is a link to {path.readlink()}, where nothing lies: mend or remove it."
            ) from error
        raise DataError(f"{path} does not exist: check the path.") from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} can't be read ({plain_reason(error)}): replace or remove it."
        ) from error
    if not size:
        raise _empty(path)
    if size > MAX_BYTES:
        raise DataError(f"{path} is {size:,} bytes long, more than {MAX_BYTES:,}: scale it down.")


def _empty(name: str | Path) -> DataError:
    return DataError(f"{name} can't be read as an image (it is empty): replace or remove it.")


def _pixels(source: str | Path | io.BytesIO, name: str) -> np.ndarray:
    try:
        # Pillow's warnings name no file.
        with (
            warnings.catch_warnings(action="ignore"),
            # Opened here: of a path Pillow maps some TIFF files into memory, and garbles turned
            # ones.
            contextlib.nullcontext(source)
            if isinstance(source, io.BytesIO)
            else open(source, "rb") as file,
            Image.open(file, formats=formats()) as image,
        ):
            _tiff_pages.to_picture(image, name)
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{name} is declared {image.width}x{image.height}, more than {MAX_PIXELS}"
                    " pixels: scale it down or leave it out."
                )
            if image.format in ("JPEG", "MPO"):
                _require_few_scans(source, name)
            pixels = _viewed_pixels.upright(image, name)
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{name} can't be read as an image: it is {_what_else(source)}.") from error
    except Exception as error:  # Pillow's decoders raise whatever comes up
        raise DataError(
            f"{name} can't be read as an image ({error or type(error).__name__}): replace or"
            " remove it."
        ) from error
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _require_few_scans(source: str | Path | io.BytesIO, name: str) -> None:
    content = source.getvalue() if isinstance(source, io.BytesIO) else Path(source).read_bytes()
    place = scans = 0
    # What follows the end of the image may be anything, as a phone's film.
    while (found := _JPEG_MARKER.search(content, place)) and found[1] != b"\xd9":
        scans += found[1] == b"\xda"
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
    if scans > MAX_SCANS:
        raise DataError(
            f"{name} holds {scans:,} scans of one image, more than {MAX_SCANS}: save it again as a"
            " JPEG file."
        )


def _what_else(source: str | Path | io.BytesIO) -> str:
    """What a file is that is none of the formats, and what to do."""
    start = source.getvalue()[:64] if isinstance(source, io.BytesIO) else _start(source)
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        readable = "HEIF" in formats()
        return "a damaged HEIC image; replace it" if readable else f"an HEIC image; {HEIC_HINT}"
    return _other(start) or f"none of {', '.join(formats())}, or damaged; replace or remove it"


def _other(start: bytes) -> str | None:
    found = (what for magic, what in _OTHERS.items() if start.lstrip().startswith(magic))
    return next(found, None)


def _start(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(64)
