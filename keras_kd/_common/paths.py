"""Paths as users name them: addresses, `~`, what is missing, and names that tell them apart."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from keras_kd.errors import OutputError

# One letter would be a drive of Windows; `Path` leaves one slash of two.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_HOME = (
    "only a shell takes ~ for the home folder, and only at the beginning of a word: give the whole"
    " path"
)


def _begins_at_home(path: str | Path) -> bool:
    return str(path) == "~" or str(path).startswith("~/")


def is_address(path: str | Path) -> bool:
    """Whether a path begins as an address, e.g. gs://, s3://, http:// or file://."""
    return bool(_ADDRESS.match(str(path)))


def advice(path: str | Path, usual: str = "check the path") -> str:
    """Say what to do where nothing lies at a path.

    Args:
        path: as it was given; `--data=~/photos` and a configuration leave its `~` as it is.
        usual: what to do with others.
    """
    if min(str(path), default="a") < " ":
        # Else the path is shown with the very escapes that were written.
        return (
            "in the double quotes of a configuration \\t, \\n and their like are one character:"
            " write / for \\"
        )
    if is_address(path):
        return "download it, and give its path on this machine"
    return _HOME if _begins_at_home(path) else f"{usual}{_looked_from(path)}"


def _looked_from(path: str | Path) -> str:
    """Where a relative path was looked for and nothing lies: a configuration's may have been meant
    to lie beside it.
    """
    if os.path.isabs(path) or os.path.lexists(path):
        return ""
    try:
        here = os.getcwd()
    except OSError:  # it is gone, or one above it can't be read
        return ""
    return f"; a relative path, also of a configuration, counts from the working folder, {here}"


def shortest_names(paths: Iterable[str | Path]) -> list[str]:
    """Return each path's last part, with as many before it as no other of the paths ends in.

    A path that is given twice has the same name twice.
    """
    whole = [Path(os.path.abspath(path)).parts for path in paths]
    return [
        next(
            str(Path(*end))
            for end in (parts[-length:] for length in range(1, len(parts) + 1))
            if all(other[-len(end) :] != end for other in whole if other != parts)
        )
        for parts in whole
    ]


def require_local(path: str | Path) -> None:
    """Check that a place to write to is no address, not `~` and not `-`: a folder called `gs:` or
    `~`, or a file called `-`, would be made for it.

    Raises:
        OutputError: it begins as an address, e.g. gs://, s3://, http:// or file://, or with `~/`,
            or it is `-`.
    """
    if _begins_at_home(path):
        raise OutputError(f"Can't write {path}: it would be a folder called ~ here, since {_HOME}.")
    if str(path) == "-":
        raise OutputError(
            "Can't write -: it would be a file of that name here, and not standard output: name the"
            " file."
        )
    if found := _ADDRESS.match(str(path)):
        raise OutputError(
            f"Can't write {path}: results go to local files, not to {found[0]}/ addresses. Give a"
            " path on this machine, and copy what lies there afterwards."
        )


def places_of(data: str | None) -> list[str]:
    """Return the paths that a data set as the user names it may mean: `PATH`, or `FORM:PATH`."""
    return [path for path in (data or "", (data or "").partition(":")[2]) if path]
