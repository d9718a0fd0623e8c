"""A `.tflite` file's bytes: with the served graph first, as objects and back, and their damage."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from keras_kd._common.files import refuse_special
from keras_kd._common.paths import advice
from keras_kd._common.text import plain_reason
from keras_kd.errors import ModelError

# The name that TensorFlow gives to the signature that is served, of several.
SERVED, _MOST_SIGNATURES = "serving_default", 32
# Fields of a model and of a signature: a table lists them behind 4 bytes, in 2 bytes each.
_SUBGRAPHS, _SIGNATURES, _SUBGRAPH_INDEX = 4 + 2 * 2, 4 + 2 * 7, 4 + 2 * 4
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, struct.error)


def content(path: str | Path) -> bytes:
    """Read a `.tflite` file.

    Args:
        path: the file.

    Returns:
        Its bytes. The graph of the signature that it serves, its only one or serving_default, is
            the main graph in them, which interpreters run.

    Raises:
        ModelError: it can't be read or is no `.tflite`.
    """
    data = _bytes(path)
    try:
        return _served_first(data)
    except _DAMAGE:  # the reader of the graph, or LiteRT, says what is wrong
        return data


def require_main_served(path: str | Path) -> None:
    """Refuse a file whose served signature is not its main graph, which an app would run instead.

    Args:
        path: a `.tflite` file.

    Raises:
        ModelError: it is such a file, or can't be read, or is no `.tflite`.
    """
    if content(path) != _bytes(path):
        raise ModelError(
            f"{path} serves a signature that is not its main graph, and an app that knows no"
            " signatures runs the main graph: export the signature alone."
        )


def _bytes(path: str | Path) -> bytes:
    try:
        refuse_special(path)
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} can't be read ({plain_reason(error)}): {advice(path)}."
        ) from error
    if data[4:8] != b"TFL3":
        raise ModelError(
            f"{path} is no .tflite file (it lacks the mark TFL3): give a file that `kerakd export`"
            " wrote."
        )
    return data


def _served_first(data: bytes) -> bytes:
    """The file with the served signature alone, and its graph in the first one's place."""
    signatures = schema.Model.GetRootAs(data, 0)
    count = signatures.SignatureDefsLength()
    if not 1 <= count <= _MOST_SIGNATURES:
        return data
    keys = [signatures.SignatureDefs(number).SignatureKey() for number in range(count)]
    name = SERVED.encode()
    if count > 1 and name not in keys:
        return data
    served = keys.index(name) if count > 1 else 0
    graph = signatures.SignatureDefs(served).SubgraphIndex()
    if graph == 0 or graph >= signatures.SubgraphsLength():
        return data
    # Changed in place: a damaged file could unfold to any length.
    changed = bytearray(data)
    model = Table(changed, encode.Get(number_types.UOffsetTFlags.packer_type, changed, 0))
    _exchange(changed, model.Vector(model.Offset(_SUBGRAPHS)), graph)
    listed = model.Vector(model.Offset(_SIGNATURES))
    _exchange(changed, listed, served)
    struct.pack_into("<I", changed, listed - 4, 1)  # the length stands before the elements
    signature = Table(changed, model.Indirect(listed))
    struct.pack_into("<I", changed, signature.Pos + signature.Offset(_SUBGRAPH_INDEX), 0)
    return bytes(changed)


def _exchange(data: bytearray, vector: int, number: int) -> None:
    """Exchange the first table of a vector and another one; each is an offset from its place."""
    places = vector, vector + 4 * number
    targets = [place + struct.unpack_from("<I", data, place)[0] for place in places]
    for place, target in zip(places, reversed(targets), strict=True):
        struct.pack_into("<I", data, place, target - place)


def unpacked(content: bytes) -> schema.ModelT:
    """Return the model of a `.tflite` file, to be changed.

    Args:
        content: the file's bytes.

    Returns:
        Its parts as objects.
    """
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def packed(model: schema.ModelT) -> bytes:
    """Return a model as a `.tflite` file.

    Args:
        model: as `unpacked` returned it, changed or not.

    Returns:
        The file's bytes.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@contextmanager
def damage_reported(path: str | Path) -> Iterator[None]:
    """Raise ModelError for the exceptions that a file's contradictions cause where it is read.

    Args:
        path: the file, for the message.

    Yields:
        Nothing.
    """
    try:
        yield
    except _DAMAGE as error:
        raise ModelError(f"{path} is a damaged .tflite file: copy or export it again.") from error
