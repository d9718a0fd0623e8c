"""Files of shards, on a disk, in an object store or on the web: found and opened by fsspec."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from keras_kd._common.files import refuse_special
from keras_kd._common.system_errors import refusals
from keras_kd._common.text import plain_reason
from keras_kd.datasets.readers import _tree
from keras_kd.errors import DataError

# The facts by which stores show that content has changed; the size alone may stay the same.
_CHANGES = (
    "mtime", "created", "ETag", "etag", "LastModified", "Last-Modified", "last_modified", "updated",
    "modified", "md5Hash", "Content-MD5", "Digest",
)  # fmt: skip


# TensorFlow numbers such files behind the suffix, or in its place.
_TFRECORD = re.compile(r".*(\.tfrec|\.tfrecords?|-\d+-of-\d+)(-\d+-of-\d+)?(\.gz)?", re.DOTALL)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# Wildcards by whether the place is a URL, in which "?" begins a query.
_SIGNS = {True: "*", False: "*?["}
# Files beside shards that hold no images: texts, descriptions, indexes, checksums.
_TEXTS = ("", ".txt", ".md", ".rst", ".json", ".jsonl", ".yaml", ".yml", ".csv", ".py", ".idx",
          ".index", ".crc", ".md5", ".sha256")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A shard as its store lists it.

    Attributes:
        url: a path on this machine's disks, or a URL.
        split: the split that its name or its folder tells; "" where neither does.
        stamp: what changes whenever its content does; "" where its store tells nothing such.
    """

    url: str
    split: str
    stamp: str


def form(name: str) -> str | None:
    """Return the form that a file's name tells: "parquet", "tar", "tfrecord", or None."""
    name = _file_name(name).lower()
    if name.endswith(_TAR):
        return "tar"
    if name.endswith((".parquet", ".pq")):
        return "parquet"
    return "tfrecord" if _TFRECORD.fullmatch(name) else None


def _file_name(url: str) -> str:
    """Without the query of a URL."""
    return PurePosixPath(url.partition("?")[0] if "://" in url else url).name


def listed(path: str | Path) -> tuple[list[Found], list[str]]:
    """Return the shards in a folder, at any depth, of a pattern or at a URL, sorted by name; and
    the other files that are no texts.

    Raises:
        DataError: the place can't be listed, or its kind of store needs a package.
    """
    place = spelled(path)
    with _refusals(place):
        store, root = _store(place)
        folder, pattern = _divided(store, root)
        # In the name of an existing folder, wildcards stand for themselves.
        found = (
            store.glob(glob.escape(folder) + pattern, detail=True)
            if pattern
            else store.find(root, detail=True)
        )
        here = "file" in store.protocol
        if not found and not here:
            # Stores on the web say nothing of a server that doesn't answer until they are asked.
            store.info(folder.rstrip("/") if pattern else root)
        visible = [
            (name, facts)
            for name, facts in sorted(found.items())
            if not PurePosixPath(name).name.startswith((".", "_"))
        ]
        shards = [
            Found(
                name if here else store.unstrip_protocol(name),
                _split(folder, name.removeprefix(folder)),
                _stamp(store, name, facts),
            )
            for name, facts in visible
            if form(name)
        ]
        others = [name for name, _ in visible if not form(name)]
        return shards, [one for one in others if PurePosixPath(one).suffix.lower() not in _TEXTS]


def spelled(path: str | Path) -> str:
    """The text of a path, of which `Path` leaves one slash where a URL has two."""
    place = re.sub(r"^([a-z][a-z0-9+.-]+):/+", r"\1://", str(path))
    return re.sub(r"^(file|local)://", r"\1:///", place)


def _divided(store: Any, root: str) -> tuple[str, str]:
    """The folder that a place names, with a slash at its end, and the pattern below it or ""."""
    signs = _SIGNS["file" not in store.protocol]
    first = next((place for place, sign in enumerate(root) if sign in signs), None)
    if first is not None and not store.exists(root):
        folder = root[:first].rpartition("/")[0]
        # Names of folders may contain wildcards, too.
        while store.isdir(deeper := root[: (root + "/").find("/", len(folder) + 1)]):
            folder = deeper
        return f"{folder}/", root.removeprefix(f"{folder}/")
    return (root.rpartition("/")[0] if form(root) else root.rstrip("/")) + "/", ""


def _stamp(store: Any, name: str, facts: dict[str, Any]) -> str:
    """What is told of a file's content: by the listing, or else by the file's own answer."""
    if not any(facts.get(change) for change in _CHANGES):
        facts = store.info(name)
    parts = [f"{change} {facts[change]}" for change in _CHANGES if facts.get(change)]
    return "; ".join([f"size {facts.get('size')}", *parts]) if parts else ""


def _split(folder: str, name: str) -> str:
    """The split in a file's name, or in that of a folder below the place, or the place's own."""
    *folders, file = PurePosixPath(name).parts
    within = map(_tree.split_of, reversed(folders))
    words = (_tree.split_of_file(file), *within, _tree.called(PurePosixPath(folder).name))
    return next(filter(None, words), "")


def _store(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise DataError("Shards need fsspec: pip install 'keras-kd[shards]'.") from error
    # A path on this machine may have signs that mean something in a URL.
    if "://" in url:
        return fsspec.core.url_to_fs(url)
    return fsspec.filesystem("file"), os.path.abspath(url)


@contextmanager
def _refusals(url: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(f"{url} needs another package ({error}): install it.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # of its temporary copy
            with refusals(tempfile.gettempdir()):
                raise
        raise _unreadable(url, error) from error
    except Exception as error:  # Each kind of store raises errors of its own.
        raise _unreadable(url, error) from error


def _unreadable(url: str, error: Exception) -> DataError:
    cause = error.__cause__ or error
    missing = isinstance(error, FileNotFoundError) and isinstance(cause, FileNotFoundError)
    reason = "nothing is there" if missing else plain_reason(cause) or type(cause).__name__
    return DataError(f"{url} can't be read ({reason}): check it and its permissions.")


@contextmanager
def on_disk(url: str) -> Iterator[Path]:
    """Yield a shard as a file: itself, or a temporary copy of one that lies elsewhere.

    Raises:
        DataError: it can't be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        with _refusals(url):
            store, inner = _store(url)
            if "file" in store.protocol:
                path = Path(inner)
                refuse_special(path)
            else:
                path = Path(folder, PurePosixPath(inner).name)
                store.get_file(inner, str(path))
        yield path


def digest(path: Path, url: str) -> str:
    """Return the SHA-256 of a file, which errors call `url`.

    Raises:
        DataError: it can't be read.
    """
    with _refusals(url), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_beside(place: str | Path, name: str) -> str | None:
    """Return the text of a file beside the shards of a folder or URL; None if there is none."""
    with _refusals(f"{place}/{name}"):
        store, root = _store(spelled(place))
        file = _divided(store, root)[0] + name
        return store.cat_file(file).decode("utf-8-sig") if store.isfile(file) else None
