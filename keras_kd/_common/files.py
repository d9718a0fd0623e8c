"""Files that are whole or absent, and locks on folders."""

from __future__ import annotations

import errno
import glob
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

import filelock

from keras_kd._common.paths import require_local
from keras_kd._common.system_errors import refusals
from keras_kd.errors import OutputError

LOCK = ".lock"
PARTIAL = "-partial-"


@contextmanager
def none_left_empty(folder: Path) -> Iterator[None]:
    """Remove those of a folder and the folders above it that are missing now, and empty at the
    end.
    """
    missing = [one for one in (folder, *folder.parents) if not os.path.exists(one)]
    try:
        yield
    finally:
        for made in missing:
            with suppress(OSError):  # it holds files, or is gone
                made.rmdir()


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place in one step.

    The temporary name keeps `path`'s suffix, since some writers choose their format by it.
    On any error the temporary file is removed and `path` stays as it was. What a killed process
    left of an earlier attempt is removed first.

    Raises:
        OutputError: where `path` is an address, the operating system refuses (disk full, no
            permission), or another process wrote `path` meanwhile.
    """
    require_local(path)
    path = Path(path)

    def made() -> Path:
        _require_replaceable(path)
        for left in half_written(path):
            left.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=_unfinished(path), suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        return Path(name)

    with temporary_beside(path, made, lambda one: one.unlink(missing_ok=True)) as temporary:
        yield temporary
        _publish(temporary, path)


@contextmanager
def temporary_beside(
    path: Path, make: Callable[[], Path], remove: Callable[[Path], None]
) -> Iterator[Path]:
    """Yield a temporary file or folder in the folder of `path`, which is made if it is missing and
    removed again if it stays empty.

    Args:
        path: what the temporary one will become.
        make: makes it and returns its path.
        remove: removes it, if it is there; called at the end, also after an error.

    Raises:
        OutputError: the operating system refuses, or another process wrote `path` meanwhile.
    """
    with none_left_empty(path.parent):
        temporary = None
        try:
            with refusals(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = make()
                yield temporary
        except FileNotFoundError as error:
            # Gone, it was removed by another process, which took it for a leftover.
            if temporary is None:
                raise no_new_files(path) from error
            if temporary.exists():
                raise
            raise written_meanwhile(path) from error
        finally:
            if temporary is not None:
                remove(temporary)


# What file managers put into folders that they show.
_OF_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini"}


def _require_replaceable(path: Path) -> None:
    """Check that a new file may take a name: a user who may do all would replace a device by it."""
    # /dev/stdout is a link to there, also where it leads on to a file.
    stream = path.is_symlink() and os.readlink(path).startswith("/proc/")
    if stream or (path.exists() and not path.is_file()):
        raise OSError(errno.EISDIR if path.is_dir() else errno.ENXIO, "no regular file", str(path))


def _require_place(path: Path) -> None:
    """Check that the folder of a new file, or the one that it will be made in, takes files."""
    nearest = next((folder for folder in path.absolute().parents if os.path.exists(folder)), None)
    if nearest is not None and not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "no folder", str(nearest))
    # Not those of who started the process, which may have more rights, or fewer.
    effective = os.access in os.supports_effective_ids
    if nearest is not None and not os.access(nearest, os.W_OK, effective_ids=effective):
        # Windows has no statvfs.
        kept = hasattr(os, "statvfs") and os.statvfs(nearest).f_flag & os.ST_RDONLY
        raise OSError(errno.EROFS if kept else errno.EACCES, "not writable", str(nearest))


def _publish(temporary: Path, path: Path) -> None:
    # mkstemp lets the owner alone read its files.
    temporary.chmod(0o666 & ~_umask())
    forced(temporary)
    os.replace(temporary, path)
    names_forced(path.parent)


def forced(path: Path) -> None:
    """Have a file on the disk before anything that follows: a power failure must not leave a name
    without its content.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def names_forced(folder: Path) -> None:
    """Have the names in a folder on the disk before anything that follows, where the system can."""
    with suppress(OSError):
        forced(folder)


class WrittenMeanwhileError(OutputError):
    """Another process wrote the same file or folder at the same time."""


def written_meanwhile(path: Path) -> WrittenMeanwhileError:
    """The error of a process whose temporary file or folder another one has removed."""
    return WrittenMeanwhileError(
        f"Can't write {path}: another process wrote it at the same time; choose another name for"
        " one of the two."
    )


def no_new_files(path: Path) -> OutputError:
    """The error of a place in which no file can be made, as in /proc."""
    return OutputError(
        f"Can't write {path}: its folder is gone, or takes no new files: choose another one."
    )


def require_own_folder(path: Path, names: Sequence[str]) -> None:
    """Check that a new folder may take a place: that what lies there is empty, or an earlier one of
    its kind without anything else, which would be lost.

    Args:
        path: the folder.
        names: of the files and folders that folders of its kind hold; all have the first.

    Raises:
        OutputError: something else is there.
    """
    found = sorted(set(os.listdir(path)) - _OF_SYSTEM) if path.is_dir() else []
    if path.exists() and (found or not path.is_dir()) and names[0] not in found:
        raise OutputError(
            f"{path} exists already and holds no {names[0]}: choose another path or remove it."
        )
    if others := [name for name in found if name not in names]:
        raise OutputError(
            f"{path} can't be replaced, since {others[0]} in it would be lost: choose another path,"
            " or move that away."
        )


def require_apart(
    written: Iterable[str | Path | None], read: Iterable[str | Path], names: Sequence[str] = ()
) -> None:
    """Check before the work that no file that is written is one that is read, or written twice, and
    that each has a place.

    Args:
        written: the files; None is no file.
        read: files that the command reads.
        names: of what is in the folders that are written, as for `require_own_folder`; () where
            files are.

    Raises:
        OutputError: it is, or something lies there that it can't replace, or its own folder takes
            no files.
    """
    taken = set(map(os.path.realpath, read))
    for path in filter(None, written):
        with refusals(path):
            if names:
                require_own_folder(Path(path), names)
            else:
                _require_replaceable(Path(path))
            _require_place(Path(path))
        if (real := os.path.realpath(path)) in taken:
            raise OutputError(
                f"Can't write {path}: this command reads that file, or writes it twice: choose"
                " another path."
            )
        taken.add(real)


def half_written(path: Path) -> list[Path]:
    """Return the files that killed processes left beside `path` while they wrote it."""
    return list(path.parent.glob(f"{glob.escape(_unfinished(path))}*{glob.escape(path.suffix)}"))


def _unfinished(path: Path) -> str:
    """How the temporary names of a file begin. That of a temporary file's own begins alike, so that
    `half_written` finds it by the final name.
    """
    return f".{path.stem.removeprefix('.')}{PARTIAL}"


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def locked(folder: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Let one process at a time work in `folder`; the lock ends with the process, however that
    ends.

    Args:
        folder: made with those above it where they are missing; these are removed again where they
            stay empty, unless others may wait for it.
        waiting: called with a line before waiting for another process that is at work; None to
            refuse instead.

    Raises:
        OutputError: it is an address, another process is at work there, or the operating system
            refuses.
    """
    require_local(folder)
    with nullcontext() if waiting else none_left_empty(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"Can't make the folder {folder} ({error.strerror}): choose another one."
            ) from error
        lock = filelock.FileLock(folder / LOCK)
        try:
            with refusals(folder / LOCK):
                lock.acquire(timeout=0)
        except filelock.Timeout as error:
            if waiting is None:
                raise OutputError(
                    f"Another run is at work in {folder}: wait for it, or choose another folder."
                ) from error
            waiting(f"Waiting for another process at work in {folder}")
            lock.acquire()
        try:
            yield
        finally:
            # Removed while it is held: a process that has it open sees that, and makes its own.
            (folder / LOCK).unlink(missing_ok=True)
            lock.release()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all; of names that are no UTF-8 as Python
    shows them.
    """
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def claim(file: IO[bytes], size: int) -> None:
    """Claim `size` bytes on the disk now, where the system can: writing to a full one through a map
    kills the process.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)


def refuse_special(path: str | Path) -> None:
    """Check before opening: a pipe would be waited for, a device be read without end.

    Raises:
        ValueError: it is no regular file.
        OSError: it is missing, or can't be looked at.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is no regular file but a folder, pipe, socket or device")
