"""Folders that are whole or absent, and the one for what is kept between runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from keras_kd.errors import OutputError


@contextmanager
def folder_written_whole(path: Path, mark: str) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes `path`'s place, on an error
    nothing remains of it.

    Raises:
        OutputError: `path` exists and is no folder holding the file `mark`, so it isn't ours to
            replace; or the operating system refuses.
    """
    if path.exists() and not (path / mark).is_file():
        raise OutputError(
            f"{path} exists already and holds no {mark}: choose another path or remove it."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise OutputError(f"Can't write {path} ({error.strerror}): choose another path.") from error
    new, old = temporary / "new", temporary / "old"
    new.mkdir()
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    finally:
        shutil.rmtree(temporary)


def cache_folder() -> Path:
    """Where teachers and soft labels are kept: $KERAKD_CACHE, or the user's cache folder."""
    return Path(os.environ.get("KERAKD_CACHE") or platformdirs.user_cache_dir("kerakd"))


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
