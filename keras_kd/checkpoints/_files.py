"""Tensors from PyTorch's files (.pth, .pt; zip or older form) and .safetensors; nothing in them is
run.
"""

from __future__ import annotations

import importlib.util
import json
import math
import mmap
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from keras_kd._common.archives import plain_archive
from keras_kd._common.paths import advice
from keras_kd._common.text import command_line, first_line
from keras_kd.checkpoints import _pickles
from keras_kd.checkpoints._pickles import Refused, Storage, Tensor
from keras_kd.errors import ModelError
from keras_kd.models import mistaken_files

# Wrappers that training scripts put around a state dict.
WRAPPERS = ("model_state_dict", "state_dict", "model")
PREFIX = "module."
CLASS_NAMES = "class_names"  # in the metadata of .safetensors: a list in JSON

_STORAGES = {
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "torch.LongStorage": np.dtype("<i8"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.ShortStorage": np.dtype("<i2"),
    "torch.CharStorage": np.dtype("i1"),
    "torch.ByteStorage": np.dtype("u1"),
    "torch.BoolStorage": np.dtype("?"),
}
SAFETENSORS = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
# The first pickle of PyTorch's older files holds this number.
_OLDER_MARK = 0x1950A86A20F9469CFC6C
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
    EOFError,
    OSError,
    AttributeError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Read a state dict, bare or in one of WRAPPERS; the prefix `module.` is dropped.

    Memory stays at a small multiple of the file's size, whatever sizes the file declares.

    Returns:
        arrays by key, in the file's types (bfloat16 as ml_dtypes').

    Raises:
        ModelError: the file is missing, damaged, no state dict, or asks for anything else than
            tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"No weights at {path}: {advice(path)}.")
    try:
        with path.open("rb") as file:
            tensors = _read(file, path.suffix, path.stat().st_size)
    except Refused as error:
        raise ModelError(
            f"{path} was refused, since {error}: only tensors are read, "
            "so save the state dict alone, as torch.save(model.state_dict(), ...)."
        ) from error
    except _DAMAGE as error:
        if mistaken_files.is_called_as_model(path):
            raise ModelError(
                f"{path} needs no import: commands read such a model as it is, e.g."
                f" `{command_line(['kerakd', 'distill', '--teacher', path])}`."
            ) from error
        raise ModelError(
            f"{path} can't be read as weights ({first_line(error)[:200]}): download or save it"
            " again."
        ) from error
    return {key.removeprefix(PREFIX): array for key, array in tensors.items()}


def _read(file: BinaryIO, suffix: str, size: int) -> dict[str, np.ndarray]:
    if suffix == ".safetensors":
        return _safetensors(file, size)
    start = file.read(2)
    file.seek(0)
    if start == b"PK":
        return _zipped(file, size)
    if start[:1] == b"\x80":
        # Reads past its end give what there is, and set no memory aside for what a damaged file
        # declares.
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _older(content)
    raise ValueError("it is neither a PyTorch file nor .safetensors")


def _zipped(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """PyTorch 1.6 and later: a zip archive of NAME/data.pkl and, for each storage,
    NAME/data/KEY.
    """
    with plain_archive(file, size) as archive:
        names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(names) != 1:
            raise ValueError("it is a zip archive, but not PyTorch's")
        folder = names[0].removesuffix("data.pkl")
        if (
            f"{folder}byteorder" in archive.namelist()
            and archive.read(f"{folder}byteorder") != b"little"
        ):
            raise ValueError("its bytes are in big-endian order")
        with archive.open(names[0]) as stream:
            described = _state_dict(_pickles.read(stream))
        return _arrays(described, lambda storage: archive.read(f"{folder}data/{storage.key}"))


def _older(file: mmap.mmap) -> dict[str, np.ndarray]:
    """PyTorch before 1.6: mark, version, machine, content, keys; then each storage's count and
    numbers, by key.
    """
    if _pickles.read(file) != _OLDER_MARK:
        raise ValueError("it is a pickle, but not PyTorch's")
    _pickles.read(file)
    _pickles.read(file)
    content = _pickles.read(file)
    described = _state_dict(content)
    # The keys don't say how long each storage is: the tensors that use them do, also those outside
    # the state dict.
    storages = {tensor.storage.key: tensor.storage for tensor in _tensors_in(content)}
    contents = {}
    for key in _pickles.read(file):
        (count,) = struct.unpack("<q", file.read(8))
        storage = storages[key]
        if count != storage.count:
            raise ValueError(
                f"storage {key} holds {count} numbers where {storage.count} were announced"
            )
        contents[key] = file.read(count * _type(storage).itemsize)
    return _arrays(described, lambda storage: contents[storage.key])


def _tensors_in(content: Any) -> list[Tensor]:
    """All tensors in nested containers, each container visited once."""
    found, waiting, seen = [], [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return found


def _state_dict(content: Any) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict) or not content:
        raise ValueError("it holds no state dict")
    others = [str(key)[:80] for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"its state dict holds {', '.join(others[:5])}, which are no tensors")
    return {str(key): value for key, value in content.items()}


def _arrays(
    tensors: dict[str, Tensor], content: Callable[[Storage], bytes]
) -> dict[str, np.ndarray]:
    """Views of the storages; each storage is read once."""
    numbers = {}
    for tensor in tensors.values():
        if tensor.storage not in numbers:
            flat = np.frombuffer(content(tensor.storage), _type(tensor.storage))
            if len(flat) != tensor.storage.count:
                raise ValueError(
                    f"storage {tensor.storage.key} holds {len(flat)} of {tensor.storage.count}"
                    " numbers"
                )
            numbers[tensor.storage] = flat
    return {key: _view(tensor, numbers[tensor.storage], key) for key, tensor in tensors.items()}


def _view(tensor: Tensor, flat: np.ndarray, key: str) -> np.ndarray:
    steps = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    count = math.prod(tensor.shape)
    # The first also refuses a shape repeated by strides of 0, which a small file could make as
    # large as it likes.
    if count > len(flat) or (count and tensor.offset + sum(steps) >= len(flat)):
        raise ValueError(f"{key[:80]} is declared larger than its numbers")
    if not count:
        return np.empty(tensor.shape, flat.dtype)
    strides = [stride * flat.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :], tensor.shape, strides, writeable=False
    )


def _type(storage: Storage) -> np.dtype:
    if storage.kind not in _STORAGES:
        raise Refused(f"it asks for {storage.kind[:80]!r}, which is no storage of plain numbers")
    return _STORAGES[storage.kind]


def _safetensors(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    header = _header(file, size)
    content = file.read()
    header.pop("__metadata__", None)
    return {key: _slice(content, entry, key) for key, entry in header.items()}


def _header(file: BinaryIO, size: int) -> dict[str, Any]:
    """Eight bytes with the header's length, the header in JSON, then the numbers."""
    (length,) = struct.unpack("<Q", file.read(8))
    if length > min(size - 8, _pickles.LARGEST_PICKLE):
        raise ValueError(f"its header is declared {length:,} bytes long")
    return json.loads(file.read(length))


def class_names(path: str | Path) -> tuple[str, ...] | None:
    """Return the class names in a `.safetensors` file that `write_safetensors` wrote.

    Args:
        path: a file that `read` has read.

    Returns:
        The names in the order of the outputs; None if there are none.

    Raises:
        ModelError: what stands there is no list of names.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        return None
    with path.open("rb") as file:
        metadata = _header(file, path.stat().st_size).get("__metadata__")
    stored = metadata.get(CLASS_NAMES) if isinstance(metadata, dict) else None
    if stored is None:
        return None
    try:
        names = json.loads(stored)
    except (TypeError, ValueError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{path} holds damaged class names: export it again.")
    return tuple(names)


def _slice(content: bytes, entry: dict[str, Any], key: str) -> np.ndarray:
    if entry["dtype"] not in SAFETENSORS:
        raise ValueError(f"{key[:80]} is of type {str(entry['dtype'])[:20]}")
    dtype, shape, (start, stop) = SAFETENSORS[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if (
        not all(type(number) is int and number >= 0 for number in (*shape, start, stop))
        or len(shape) > 8
    ):
        raise ValueError(f"the shape of {key[:80]} makes no sense")
    if stop > len(content) or stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{key[:80]} is declared larger than its numbers")
    return np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape)


# Run by Python with PyTorch alone.
_WRITE = """
import sys
import numpy as np
import torch
arrays = np.load(sys.argv[1])
torch.save({key: torch.from_numpy(arrays[key]) for key in arrays.files}, sys.argv[2])
"""


def write_safetensors(
    tensors: dict[str, np.ndarray], path: str | Path, class_names: tuple[str, ...] | None = None
) -> None:
    """Write arrays by key to `path` in the order given.

    Args:
        tensors: of any type in SAFETENSORS.
        path: in an existing folder.
        class_names: in the order of the outputs, for the metadata; None for none.
    """
    types = {dtype: name for name, dtype in SAFETENSORS.items()}
    header, start = dict[str, Any](), 0
    if class_names is not None:
        names = json.dumps(class_names, ensure_ascii=False)
        header["__metadata__"] = {"format": "pt", CLASS_NAMES: names}
    for key, array in tensors.items():
        offsets = [start, start + array.nbytes]
        header[key] = {
            "dtype": types[array.dtype],
            "shape": list(array.shape),
            "data_offsets": offsets,
        }
        start = offsets[1]
    text = json.dumps(header).encode()
    # The format aligns the numbers to 8 bytes.
    text += b" " * (-len(text) % 8)
    with Path(path).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array).tobytes())


def write_torch(tensors: dict[str, np.ndarray], path: str | Path) -> None:
    """Write arrays by key to `path` with PyTorch, in another process: beside TensorFlow in one,
    PyTorch can end it.

    Raises:
        ModelError: PyTorch is not installed, or can't write.
    """
    if importlib.util.find_spec("torch") is None:
        raise ModelError(
            "Writing .pth needs PyTorch: pip install 'keras-kd[torch]', or choose .safetensors,"
            " which needs nothing."
        )
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        np.savez(arrays, allow_pickle=False, **tensors)
        # -P and an empty folder: no file of the user's takes the place of a module.
        command = [sys.executable, "-P", "-c", _WRITE, str(arrays), str(Path(path).absolute())]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        message = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"PyTorch can't write {path} ({message}): choose .safetensors.")
