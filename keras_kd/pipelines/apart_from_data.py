"""What is written lies apart from the data: a picture among the images of a class would be read as
one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_kd import datasets
from keras_kd._common import files
from keras_kd._common.paths import places_of
from keras_kd.datasets import decoding
from keras_kd.errors import OutputError


def require_outside(folder: Path, data: str, mixes: bool = False) -> None:
    """Check that what is written to a folder becomes no part of a data set, and hides none of it: a
    folder of models is passed over as one of results.

    Args:
        folder: the folder.
        data: the data set, as the option `data`.
        mixes: whether pictures and class names are written, as those of a bundle, which the data
            set's own folder must not get either.

    Raises:
        DataError: there is no such data set, or it can't be read.
        OutputError: the folder holds images of the data set or, with `mixes`, any of its files.
    """
    source = datasets.DataSet(data)
    path = source.path
    if path is None:
        return
    holding = {
        file.parent
        for file in source.sources()
        if mixes or file.suffix.lower() in decoding.suffixes()
    }
    root = path if path.is_dir() else path.parent
    holding = {*holding, path} if mixes else holding - {root}
    if folder.resolve() in {place.resolve() for place in holding}:
        raise OutputError(
            f"{folder} is a folder of the data {data}, into which other files must not be mixed:"
            " choose another place to write to."
        )


def require_files_outside(written: Iterable[str | Path | None], data: str | None) -> None:
    """Check as `require_outside` that no file lies among the images of a data set.

    Args:
        written: the files; None is no file.
        data: the data set, as the option `data`, or None.

    Raises:
        DataError: there is no such data set, or it can't be read.
        OutputError: one does.
    """
    folders = {Path(path).parent for path in written if path}
    for folder in folders if data else ():
        require_outside(folder, data or "")


def require_apart(
    written: Iterable[str | Path | None],
    read: Iterable[str | Path],
    data: str | None,
    names: Sequence[str] = (),
) -> None:
    """Check before the work that no file that is written is one that is read, is written twice, or
    lies among the images of a data set.

    Args:
        written: the files; None is no file.
        read: files that the command reads.
        data: the data set that it reads, as the option `data`, or None.
        names: of what is in folders, as for `files.require_apart`.

    Raises:
        DataError: there is no such data set, or it can't be read.
        OutputError: one is.
    """
    paths = [Path(path) for path in written if path]
    files.require_apart(paths, [*read, *places_of(data)], names)
    require_files_outside(paths, data)
