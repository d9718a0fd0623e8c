"""Folders that are whole or absent, and the one for what is kept between runs."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from keras_kd._common.files import (
    PARTIAL,
    forced,
    names_forced,
    require_own_folder,
    temporary_beside,
)
from keras_kd._common.paths import require_local
from keras_kd.errors import OutputError


@contextmanager
def folder_written_whole(path: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes `path`'s place, on an error
    nothing remains of it. What a killed process left of an earlier attempt is removed first.

    Raises:
        OutputError: `path` is not ours to replace, see `require_own_folder`; the operating system
            refuses; or another process wrote `path` meanwhile.
    """
    require_local(path)
    require_own_folder(path, names)
    prefix = f".{path.name}{PARTIAL}"

    def made() -> Path:
        _remove_left(path.parent, prefix)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))

    with temporary_beside(path, made, _removed) as temporary:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        for place, _, names in os.walk(new):
            for name in names:
                forced(Path(place, name))
            names_forced(Path(place))
        # A folder can't take the place of one that isn't empty.
        if path.exists():
            path.rename(old)
        new.rename(path)
        names_forced(path.parent)


def _removed(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_left(folder: Path, prefix: str) -> None:
    """Remove what other processes left; renamed first, so that one still at work sees it at
    once.
    """
    for left in list(folder.glob(f"{glob.escape(prefix)}*")):
        gone = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
        with contextlib.suppress(OSError):
            left.rename(gone / "left")
        _removed(gone)


def cache_folder(kind: str) -> Path:
    """Return a folder for what is kept between runs, as "teachers" or "soft_labels".

    It lies in $KERAKD_CACHE or the user's cache folder. Both are made for their owner alone.

    Raises:
        OutputError: another user owns one of the two or can write there, so that what lies in it
            may be anyone's.
    """
    cache = Path(os.environ.get("KERAKD_CACHE") or platformdirs.user_cache_dir("kerakd"))
    require_local(cache)
    for folder in (cache, cache / kind):
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_dir() and (fault := _open_to_others(folder)):
            raise OutputError(f"{fault} set KERAKD_CACHE to a folder of your own.")
    return cache / kind


def _open_to_others(folder: Path) -> str | None:
    """Who beside this user and root decides what lies in a folder; None on other systems."""
    found = folder.stat()
    if os.name != "posix":
        return None
    if found.st_uid not in (0, os.geteuid()):
        return f"The cache folder {folder} belongs to another user, number {found.st_uid}:"
    if found.st_mode & 0o022:
        return f"Other users can write to the cache folder {folder}: chmod -R go-w {folder}, or"
    return None


@contextmanager
def private() -> Iterator[None]:
    """Let the files and folders that are made meanwhile belong to their user alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def files_below(folder: str | Path) -> list[Path]:
    """Return the paths of all files in a folder, sorted, however deep it is.

    Links to folders are not followed; folders that can't be opened are passed over.
    """
    found, left = [], [os.fspath(folder)]
    while left:
        # Python's own walks call themselves for each level, and end at a thousand.
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                else:
                    found.append(Path(entry.path))
    return sorted(found)
