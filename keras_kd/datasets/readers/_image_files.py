"""Image files in class folders."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd._common import arrays
from keras_kd._common.paths import is_address
from keras_kd.datasets import decoding, images
from keras_kd.datasets.readers import _bad_rows, _tree
from keras_kd.datasets.readers._pixel_numbers import PixelRow
from keras_kd.errors import DataError

_UPLOADED = re.compile(r"/data/upload/\d+/((?:[0-9a-f]{8}-)?([^/]+))")


@dataclass(frozen=True)
class Pictures:
    """What `read` made of some files.

    Attributes:
        images: uint8 (N, H, W, C), the readable files in their order.
        kept: bool (files,), which files were readable.
        sizes: int64 (N, 2), height and width of each file.
        skipped: one line for every unreadable file.
    """

    images: np.ndarray
    kept: np.ndarray
    sizes: np.ndarray
    skipped: tuple[str, ...]


def class_folders(folder: Path) -> dict[str, Path]:
    """Return the folders in `folder` by their names, sorted; without those that hold a run's
    results and no images.
    """
    if not folder.is_dir():
        return {}
    return {child.name: child for child in _tree.listed(folder).folders if not _only_results(child)}


def image_files(folder: Path) -> list[Path]:
    """Return the image files in `folder` at any depth, sorted, by their suffixes; hidden ones
    passed over.
    """
    if not folder.is_dir():
        return []
    known = decoding.suffixes()
    data = _tree.data_folders(folder)
    return sorted(file for part in data for file in part.files if file.suffix.lower() in known)


def _only_results(folder: Path) -> bool:
    """Whether a folder holds results of a run, itself or deeper, and no image besides."""
    top = _tree.listed(folder)
    if top.files or not top.folders:
        return top.holds_results
    return any(part.holds_results for part in _tree.walk(folder)) and not image_files(folder)


def inside(folder: Path, file: Path) -> Path:
    """Return the path of a file that a table names.

    Raises:
        ValueError: it leads out of `folder`, by its words; links within it may.
    """
    # A table may name absolute paths where its own path is relative.
    if not Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder)):
        raise ValueError(
            f"the image {file} lies outside of {folder}, where a table's images have to lie: move"
            " the table to a folder above them all"
        )
    return file


def finder(root: Path) -> Callable[[Path, str, str], Path]:
    """Return a function that finds the file that a table names.

    Args:
        root: the data set's folder.

    Returns:
        A function of the table's folder, the text, and the split that the table tells or "". The
        file lies there, or is the only one below `root` of that name, with its suffix or without,
        and in folders called as the text has them; of several the one in the split's folder, or the
        one of the same capitals. An absolute path that is not on this machine is looked for in the
        second way alone. It raises ValueError where there is none, or more, or for a row of train
        only one in the folder of another split.
    """
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in image_files(root):
        # Tables of competitions leave out the suffix.
        for name in (file.name, file.stem):
            by_name[_composed(name).casefold()].append(file)

    def located(folder: Path, named: Path, split: str) -> list[Path]:
        # An absolute path of another machine tells its last folders and name.
        elsewhere = named.is_absolute() and not os.path.lexists(named)
        file = folder / named if elsewhere else inside(root, folder / named)
        try:
            if file.is_file():
                return [file]
        except OSError as error:  # As of a name that is too long.
            raise ValueError(f"{str(named)[:40]!r} is no file ({error.strerror})") from error
        every = by_name[_composed(named.name).casefold()]
        found = [one.relative_to(root) for one in every]
        found = [one for one in found if _ends_alike(one, named, str.casefold)]
        exact = [one for one in found if _ends_alike(one, named, str)]
        return [root / one for one in _of_split(exact or found, named, split)]

    def find(folder: Path, text: str, split: str) -> Path:
        every = (located(folder, named, split) for named in _meant(text.replace("\\", "/")))
        found = next(filter(None, every), [])
        if len(found) > 1:
            raise ValueError(
                f"{root} has {len(found)} files of the name {text!r:.90}, {found[0]} and {found[1]}"
                " first: name its folder, too"
            )
        if not found and is_address(text):
            raise ValueError(f"{text[:60]!r} is an address: download the image and name its file")
        if not found:
            raise ValueError(f"{root} has no file of the name {text!r:.90}")
        return found[0]

    return find


def _meant(text: str) -> list[Path]:
    """The paths that a text may mean, the first before the others: Label Studio names files of its
    own disk behind ?d=, and those that were uploaded by its own folder and name, which has eight
    digits before the file's.
    """
    path = text.rpartition("?d=")[2]
    uploaded = _UPLOADED.fullmatch(path)
    return [Path(one) for one in (path, *(uploaded.groups() if uploaded else ()))]


def _ends_alike(one: Path, other: Path, folded: Callable[[str], str]) -> bool:
    """Whether the names, with the suffix or without, and the last folders are the same, as many as
    both paths have.
    """
    parts, others = (map(folded, map(_composed, path.parent.parts)) for path in (one, other))
    names = {folded(_composed(name)) for name in (one.name, one.stem)}
    pairs = zip(reversed([*parts]), reversed([*others]), strict=False)
    return folded(_composed(other.name)) in names and all(own == its for own, its in pairs)


def _of_split(found: list[Path], named: Path, split: str) -> list[Path]:
    """Files of one name in the folders of several splits are those of the row's split, unless the
    row names the folder.

    Raises:
        ValueError: a row of train has only files in the folder of another split.
    """
    if not split or _splits_of(named):
        return found
    own = [one for one in found if split in _splits_of(one)]
    if split == "train" and not own and (others := [one for one in found if _splits_of(one)]):
        raise ValueError(
            f"the only file of the name {str(named)!r} is {others[0]}, no {split} image"
        )
    return own or found


def _splits_of(file: Path) -> set[str]:
    return {split for part in file.parent.parts if (split := _tree.split_of(part))}


def _composed(name: str) -> str:
    """A file's name with composed letters; a Mac's are decomposed, and tables mostly are not."""
    return unicodedata.normalize("NFC", name)


def read(
    paths: Sequence[Path | PixelRow],
    shape: tuple[int, int, int],
    skip_bad_rows: bool = False,
    crop: Callable[[np.ndarray, int], np.ndarray] = lambda picture, row: picture,
) -> Pictures:
    """Read files, or rows of pixels, `crop` each (a picture and its row) and fit it to `shape`
    (height, width, channels).

    Many large ones are mapped into memory, see `arrays.large_array`.

    Raises:
        DataError: a file is no image (missing, empty, broken), unless `skip_bad_rows`; or none is.
    """
    fitted = arrays.large_array((len(paths), *shape))
    kept = np.zeros(len(paths), bool)
    sizes = np.empty((len(paths), 2), np.int64)
    skipped = []
    for row, path in enumerate(paths):
        try:
            picture = path.read() if isinstance(path, PixelRow) else decoding.read(path)
        except DataError as error:
            if not skip_bad_rows:
                raise
            skipped.append(str(error))
            continue
        # Rows move up to where unreadable ones would have been.
        fitted[row - len(skipped)] = images.fitted(crop(picture, row)[None], shape)[0]
        sizes[row] = picture.shape[:2]
        kept[row] = True
    if paths and not kept.any():
        raise _bad_rows.none_readable(len(paths), skipped)
    return Pictures(fitted[: int(kept.sum())], kept, sizes[kept], tuple(skipped))
