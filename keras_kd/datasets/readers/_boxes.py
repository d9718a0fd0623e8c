"""Boxes in images, as labels of detection have them: their columns, and what is expected."""

from __future__ import annotations

import re
from collections.abc import Collection

INSTEAD = "classes of whole images are expected; cut the boxes out into"
# Of one box, by the columns' names in lower case without what is no letter or digit.
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"), ("x0", "y0", "x1", "y1"),
    ("x", "y", "w", "h"), ("x", "y", "width", "height"), ("x1", "y1", "width", "height"),
    ("xmin", "ymin", "width", "height"), ("left", "top", "right", "bottom"),
    ("left", "top", "width", "height"), ("xcenter", "ycenter", "width", "height"),
)  # fmt: skip
_WHOLE = {
    "bbox", "bboxes", "bndbox", "boundingbox", "boundingboxes", "boxes", "regionshapeattributes",
}  # fmt: skip
_BEFORE = re.compile("^(bounding|bbox|bndbox|box|roi|rect)+(?=.)")


def columns(names: Collection[str]) -> list[str]:
    """Return the columns that seem to hold boxes, in their order; none where no set is whole.

    Args:
        names: of all columns of a table.
    """
    plain = {re.sub("[^a-z0-9]", "", name.lower()): name for name in names}
    whole = [name for word, name in plain.items() if word in _WHOLE]
    short = {_BEFORE.sub("", word): name for word, name in plain.items() if word not in _WHOLE}
    corners = next((one for one in _CORNERS if short.keys() >= {*one}), ())
    return whole or [short[word] for word in corners]


def remarks(names: Collection[str]) -> list[str]:
    """Say that boxes are not read, where columns seem to hold them.

    Args:
        names: of all columns of a table.
    """
    boxes = ", ".join(columns(names))
    told = f"boxes ({boxes}) are not read, and whole images are: cut them out first if the classes"
    return [f"{told} are theirs"] if boxes else []
