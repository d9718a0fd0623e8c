"""Files of weights written byte by byte, and what their reader makes of them."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import zipfile

import pytest

from keras_kd.checkpoints import _files
from keras_kd.errors import ModelError

GLOBAL_OF_TENSORS = b"ctorch._utils\n_rebuild_tensor_v2\n"
SIX_ZEROS = struct.pack("<q", 6) + bytes(24)


def text_bytes(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number_bytes(value):
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def numbers_bytes(values):
    return b"(" + b"".join(map(number_bytes, values)) + b"t"


def storage_bytes(count=6, kind="FloatStorage", key="0"):
    return (
        b"("
        + text_bytes("storage")
        + f"ctorch\n{kind}\n".encode()
        + text_bytes(key)
        + text_bytes("cpu")
        + number_bytes(count)
        + b"tQ"
    )


def tensor_bytes(shape=(2, 3), strides=(3, 1), offset=0, storage=None):
    view = number_bytes(offset) + numbers_bytes(shape) + numbers_bytes(strides)
    return GLOBAL_OF_TENSORS + b"(" + (storage or storage_bytes()) + view + b"\x89}tR"


def pickled(value, key="weight"):
    """A state dict of one entry."""
    return b"\x80\x02}" + text_bytes(key) + value + b"s."


def zipped(path, pickled, storages=(bytes(24),), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for number, content in enumerate(storages):
            archive.writestr(f"archive/data/{number}", content)
    return path


def older(path, pickled, keys=("0",), contents=(SIX_ZEROS,)):
    parts = [
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    ]
    path.write_bytes(b"".join([*parts, pickled, pickle.dumps(list(keys), 2), *contents]))
    return path


def refused(path, message):
    """The reader raises ModelError with one sentence that names the file; nothing else, and in
    little memory.
    """
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=message) as error:
            _files.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(error.value)
    assert str(path) in text and "\n" not in text and len(text) < 600
    # A pickle's objects take up to a hundred times its bytes, of which no more than 2 MiB are read.
    assert peak < 2 * path.stat().st_size + 100 * min(path.stat().st_size, 2 * 2**20) + 1_000_000


def outcome(path):
    """The arrays, or None where the reader refused in its own way; any other exception fails the
    test.
    """
    try:
        return _files.read(path)
    except ModelError as error:
        assert str(path) in str(error)
        return None
