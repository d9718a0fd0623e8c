"""Zip archives that others may have written."""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from keras_kd._common.files import refuse_special
from keras_kd._common.text import plain_reason

# What zipfile raises of archives that are damaged, encrypted, of another version or packing.
BAD_ARCHIVE = (
    ValueError, OSError, EOFError, RuntimeError, struct.error, zlib.error, lzma.LZMAError,
    zipfile.BadZipFile,
)  # fmt: skip
# Some 40,000 members, which are read in half a second.
LARGEST_DIRECTORY = 2**21


def _directory_bytes(file: str | Path | IO[bytes]) -> int:
    """Return the length of a zip archive's list of members, stated at its end; 0 without such."""
    with open(file, "rb") if isinstance(file, (str, Path)) else nullcontext(file) as opened:
        size = opened.seek(0, os.SEEK_END)
        # The list's end is 22 bytes and a comment of 64 kB at most.
        opened.seek(max(0, size - 2**16 - 22))
        end = opened.read()
        opened.seek(0)
    found = end.rfind(b"PK\5\6")
    # The length of the list stands at byte 12 of the zip format's end record.
    return int.from_bytes(end[found + 12 : found + 16], "little") if found >= 0 else 0


def plain_archive(file: str | Path | IO[bytes], size: int) -> zipfile.ZipFile:
    """Open a zip archive whose content is no larger than its file, as Keras, NumPy and PyTorch
    write them.

    Args:
        file: the archive.
        size: of it, in bytes.

    Raises:
        ValueError: it is no regular file or zip archive, has too many members, or its content
            could grow when read: compressed, or declared too large.
    """
    if isinstance(file, (str, Path)):
        refuse_special(file)
    if _directory_bytes(file) > LARGEST_DIRECTORY:
        raise ValueError(f"its list of members is longer than {LARGEST_DIRECTORY:,} bytes")
    try:
        archive = zipfile.ZipFile(file)
    except BAD_ARCHIVE as error:
        raise ValueError(f"it is no whole zip archive: {plain_reason(error)}") from error
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        archive.close()
        raise ValueError("it is compressed, which such files never are")
    if sum(entry.file_size for entry in entries) > size:
        archive.close()
        raise ValueError("it declares more content than the file holds")
    return archive
