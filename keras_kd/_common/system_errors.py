"""Refusals of the operating system, as a sentence that says what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_kd._common.text import plain_reason
from keras_kd.errors import DataError, OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another folder",
    errno.EACCES: "writing there is not permitted: choose another folder or change its permissions",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EEXIST: "part of the path is a file, not a folder: choose another path",
    errno.ENOTDIR: "part of the path is a file, not a folder: choose another path",
    errno.EISDIR: "a folder is there: choose another path",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    errno.EPERM: (
        "the system doesn't permit it, as of a file that is locked against changes: choose "
        "another folder"
    ),
    errno.EFBIG: "it is larger than a file may be there: raise `ulimit -f` or choose another disk",
    errno.ELOOP: "links lead in a circle, or a link lies in a lock's place: choose another path",
    errno.EIO: "the disk failed: check it, or choose another one",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
    errno.ENFILE: "too many files are open on this machine: close other programs",
    errno.EBUSY: "it is in use: close what uses it",
    errno.ESTALE: "the network disk has lost it: check the connection",
    errno.ENOLCK: "the file system has no locks: choose another folder",
    errno.ENXIO: "a pipe or a device is there: choose another path",
    errno.ENODEV: "a device is there: choose another path",
    errno.ETIMEDOUT: "the network disk doesn't answer: check the connection",
    errno.ENOTCONN: "the network disk is not connected: connect it again",
    errno.EHOSTDOWN: "the network disk doesn't answer: check the connection",
    errno.EINVAL: "the file system doesn't take such a name: choose another name or folder",
    errno.EILSEQ: "the file system doesn't take such a name: choose another name or folder",
    errno.EOPNOTSUPP: "the file system can't do that: choose another folder",
    errno.EMLINK: "the folder holds as many as it can: choose another folder",
    errno.ENOMEM: "memory has run out: close other programs, or use a larger machine",
    errno.EAGAIN: "the system starts no further process: close others, or raise `ulimit -u`",
}


def reason(error: OSError) -> str | None:
    """Return why the system refused, and what to do; None where it is no refusal of the
    system's.
    """
    if error.errno == errno.ENOENT and "temporary directory" in str(error.strerror):
        # Python's own, where none of its places takes a file, as in a read-only container.
        return "no folder for temporary files takes any: set TMPDIR to one that can be written to"
    return _REASONS.get(error.errno)


def in_words(error: Exception) -> OSError | None:
    """Return the system's refusal that another library's error has in its text, as TensorFlow's
    "…; No space left on device"; None where it has none.
    """
    code = next((code for code in _REASONS if os.strerror(code) in str(error)), None)
    return None if code is None else OSError(code, os.strerror(code))


def reading_error(path: str | Path, error: OSError) -> DataError:
    """Return the error of data that the system refuses to read."""
    why = plain_reason(error)
    return DataError(f"{path} can't be read ({why}): check the path and its permissions.")


@contextmanager
def refusals(path: str | Path) -> Iterator[None]:
    """Say as an OutputError why the operating system refuses to write `path`."""
    try:
        yield
    except OSError as error:
        if (why := reason(error)) is None:
            raise
        raise OutputError(f"Can't write {path}: {why}.") from error
    except ValueError as error:
        # Of Python's zip archives, on a machine whose clock starts anew with each power failure.
        if "timestamps before 1980" not in str(error):
            raise
        raise OutputError(
            f"Can't write {path}: this machine's clock stands before 1980, which an archive can't"
            " hold: set the clock."
        ) from error
