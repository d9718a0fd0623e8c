"""TensorFlow.js' graph models: a graph in JSON with a list of its weights, and files of raw arrays.

Nothing in them is run: the graph is read as a chain of operations, see `Graph.chain`.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.text import plain_reason
from keras_kd.errors import ModelError

_WEIGHT = {"name": str, "shape": [int], "dtype": str, "quantization": (dict, None)}
_NODE = {"name": str, "op": str, "input": ([str], None), "attr": (dict, None)}
_SCHEMA = {
    "modelTopology": {"node": [_NODE]},
    "weightsManifest": [{"paths": [str], "weights": [_WEIGHT]}],
}
# TensorFlow.js stores little-endian numbers, whatever the machine.
_TYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int32": np.dtype("<i4"),
}
LARGEST_WEIGHTS = 2**30


@dataclass(frozen=True)
class Step:
    """One operation of a chain.

    Attributes:
        operation: TensorFlow's name, e.g. "Conv2D".
        array: its second input, which the file holds; None without one.
        attributes: as JSON has them.
    """

    operation: str
    array: np.ndarray | None
    attributes: dict[str, Any]

    @property
    def strides(self) -> tuple[int, ...]:
        """Of a convolution: all four."""
        return tuple(int(number) for number in self.attributes["strides"]["list"]["i"])

    def text(self, name: str) -> str:
        """Return an attribute that is a text, e.g. the padding."""
        return base64.b64decode(self.attributes[name]["s"], validate=True).decode()


@dataclass(frozen=True)
class Graph:
    """The nodes of a graph model and its arrays, both by name."""

    nodes: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def chain(self, last: str) -> list[Step]:
        """Return the operations from the image to the first one named `last`, each fed by the one
        before.

        Raises:
            ValueError: the graph has not one image, or forks or ends before `last`.
        """
        readers: dict[str, list[dict[str, Any]]] = {}
        for node in self.nodes:
            if node["input"]:
                readers.setdefault(node["input"][0], []).append(node)
        images = [node["name"] for node in self.nodes if node["op"] == "Placeholder"]
        if len(images) != 1:
            raise ValueError(f"it has {len(images)} inputs instead of one image")
        steps: list[Step] = []
        name = images[0]
        while not steps or steps[-1].operation != last:
            # A ring would be longer than the graph.
            if len(readers.get(name, ())) != 1 or len(steps) > len(self.nodes):
                raise ValueError(f"it is no chain of operations to {last}: see {name[:80]}")
            node = readers[name][0]
            steps.append(self._step(node))
            name = node["name"]
        return steps

    def _step(self, node: dict[str, Any]) -> Step:
        others = node["input"][1:]
        if len(others) > 1 or any(name not in self.arrays for name in others):
            raise ValueError(f"{node['name'][:80]} reads something else than one array")
        array = self.arrays[others[0]] if others else None
        return Step(node["op"], array, node.get("attr") or {})


def read(path: str | Path) -> Graph:
    """Read a graph model and the arrays in the files beside it.

    Args:
        path: model.json; the files that it names must lie in its folder.

    Raises:
        ModelError: a file is missing, damaged, in another form, or would take another's place.
    """
    path = Path(path)
    try:
        described = read_json(read_text(path), _SCHEMA)
        arrays: dict[str, np.ndarray] = {}
        for group in described["weightsManifest"]:
            arrays |= _arrays(group["weights"], _content(path.parent, group["paths"]))
        nodes = [
            {"input": None, "attr": None, **node} for node in described["modelTopology"]["node"]
        ]
    except FileNotFoundError as error:
        raise ModelError(
            f"No file at {error.filename}: give the model's .json with its .bin beside it."
        ) from error
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{path} can't be read as a TensorFlow.js graph model ({plain_reason(error)}):"
            " download it again."
        ) from error
    return Graph(nodes, arrays)


def _content(folder: Path, names: list[str]) -> bytes:
    """The files' bytes, one after the other."""
    # Names with a folder in them could read any file of the machine.
    wrong = [name for name in names if Path(name).name != name or name in ("", ".", "..")]
    if wrong:
        raise ValueError(f"it asks for {wrong[0][:80]!r}, which is no file beside it")
    for name in names:
        if (folder / name).exists() and not (folder / name).is_file():
            raise ValueError(f"{name[:80]} is no plain file")
    size = sum((folder / name).stat().st_size for name in names)
    if size > LARGEST_WEIGHTS:
        raise ValueError(f"its weights are {size:,} bytes long, more than {LARGEST_WEIGHTS:,}")
    return b"".join((folder / name).read_bytes() for name in names)


def _arrays(weights: list[dict[str, Any]], content: bytes) -> dict[str, np.ndarray]:
    """Cut the bytes into arrays, which must take all of them."""
    arrays, start = {}, 0
    for weight in weights:
        dtype, shape = _type(weight), weight["shape"]
        if len(shape) > 8 or any(size < 0 for size in shape):
            raise ValueError(f"the shape of {weight['name'][:80]} makes no sense")
        count = math.prod(shape)
        if count * dtype.itemsize > len(content) - start:
            raise ValueError(f"{weight['name'][:80]} is declared larger than its numbers")
        arrays[weight["name"]] = np.frombuffer(content, dtype, count, start).reshape(shape)
        start += count * dtype.itemsize
    if start != len(content):
        raise ValueError(f"{len(content) - start:,} bytes of its weights belong to no array")
    return arrays


def _type(weight: dict[str, Any]) -> np.dtype[Any]:
    quantization = weight.get("quantization") or {}
    name = str(quantization.get("dtype", weight["dtype"]))
    if name not in _TYPES or quantization.keys() & {"scale", "min"}:
        raise ValueError(f"{weight['name'][:80]} is of type {name[:20]}")
    return _TYPES[name]
