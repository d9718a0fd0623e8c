"""Which page of a TIFF file is the picture: some programs write a thumbnail before it."""

from __future__ import annotations

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from keras_kd.errors import DataError

# TIFF 6.0: NewSubfileType, whose bit 0 stands for a reduced page and bit 2 for a mask; TIFF/EP:
# SubIFDs, pages inside of a page.
_KIND, _REDUCED, _MASK, _INSIDE = 254, 1, 4, 330
# Pages that are looked at: each step compares the next one's place with all before.
_MOST = 32


def to_picture(image: Image.Image, name: str) -> None:
    """Go to the first page that is neither a thumbnail nor a mask; to the first one if all are.

    Args:
        image: an open image of any format.
        name: what errors call the file.

    Raises:
        DataError: only thumbnails are found, and the picture may lie inside of them or behind.
    """
    if not isinstance(image, TiffImageFile) or _is_picture(image):
        return
    holds_pages = _INSIDE in image.tag_v2
    for number in range(1, _MOST):
        try:
            image.seek(number)
        except EOFError:
            break
        holds_pages |= _INSIDE in image.tag_v2
        if _is_picture(image):
            return
    else:
        holds_pages = True
    if holds_pages:
        raise DataError(
            f"{name} holds a thumbnail in place of its first page, and its picture where it isn't"
            " read: save it as a plain TIFF or PNG file."
        )
    image.seek(0)


def _is_picture(image: TiffImageFile) -> bool:
    kind = image.tag_v2.get(_KIND, 0)
    return not (isinstance(kind, int) and kind & (_REDUCED | _MASK))
