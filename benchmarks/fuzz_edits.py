"""Edits that spoil a valid file: bits, lengths, numbers in text and in headers, words of the
format, zip members.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from random import Random

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_NUMBERS = (
    0,
    1,
    -1,
    7,
    127,
    128,
    255,
    256,
    2**15 - 1,
    2**16 - 1,
    100_000,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
)
_TEXTS = (b"-1", b"0", b"1e308", b"nan", b"0.5", b"99999999999999999999", b"100000", b"-0", b"")


def spoilt(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    """Return `content` after one to four edits; of a zip archive sometimes those of one member,
    sums put right.
    """
    if content[:2] == b"PK" and random.random() < 0.7:
        return _member_spoilt(content, tokens, random)
    if content[4:8] == b"TFL3" and random.random() < 0.7:
        return _graph_spoilt(content, random)
    for _ in range(random.randint(1, 4)):
        content = random.choice(_EDITS)(content, tokens, random)
    return content


def _member_spoilt(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = random.choice(list(members))
    members[chosen] = spoilt(members[chosen], tokens, random)
    written = io.BytesIO()
    with zipfile.ZipFile(
        written, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    ) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return written.getvalue()


def _graph_spoilt(content: bytes, random: Random) -> bytes:
    """Numbers of a `.tflite` file's tables replaced: a whole flatbuffer still, whose parts
    contradict each other.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    parts = [
        *graph.tensors,
        *graph.operators,
        *(one.builtinOptions for one in graph.operators),
        *model.operatorCodes,
    ]
    parts += [*model.buffers, graph]
    for _ in range(random.randint(1, 3)):
        part = random.choice([part for part in parts if part is not None])
        name = random.choice(list(vars(part)))
        value = getattr(part, name)
        if type(value) is int:
            setattr(part, name, random.choice((-1, 0, 1, 2, 3, 9, 17, 100, 127)))
        elif isinstance(value, np.ndarray) and value.size:
            place = random.randrange(value.size)
            value = value.astype(np.int64)
            value[place] = random.choice((-1, 0, 1, 2, 3, 64, 100, 127))
            setattr(part, name, value[: random.choice((place, value.size, value.size))])
        elif isinstance(value, list) and value:
            setattr(part, name, random.choice((value[:-1], value[::-1], value + value[:1])))
    builder = flatbuffers.Builder(len(content))
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except (struct.error, TypeError, ValueError, AttributeError):
        # The builder can't write this number there.
        return content[: len(content) // 2]
    return bytes(builder.Output())


def _place(content: bytes, random: Random) -> int:
    # Half of the edits in the first 256 bytes, where headers are.
    return random.randint(0, min(len(content), 256) if random.random() < 0.5 else len(content))


def _bit(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    changed[min(_place(content, random), len(content) - 1)] ^= 1 << random.randint(0, 7)
    return bytes(changed)


def _cut(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    return content[: _place(content, random)]


def _part_gone(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    start = _place(content, random)
    return content[:start] + content[start + random.randint(1, 64) :]


def _part_again(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    start, target = _place(content, random), _place(content, random)
    return content[:target] + content[start : start + random.randint(1, 256)] + content[target:]


def _number(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    """A number of a header, of any width and order of bytes."""
    width = random.choice("bhiq")
    value = random.choice(_NUMBERS) % 2 ** (8 * struct.calcsize(width))
    packed = struct.pack(random.choice("<>") + width.upper(), value)
    start = _place(content, random)
    return content[:start] + packed + content[start + len(packed) :]


def _number_in_text(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    found = list(re.finditer(rb"[0-9]+", content[:100_000]))
    if not found:
        return content
    start, end = random.choice(found).span()
    return content[:start] + random.choice(_TEXTS) + content[end:]


def _word(content: bytes, tokens: tuple[bytes, ...], random: Random) -> bytes:
    word = random.choice(tokens or (b"\0" * 16,))
    start = _place(content, random)
    return content[:start] + word + content[start + random.choice((0, len(word))) :]


_EDITS = (_bit, _cut, _part_gone, _part_again, _number, _number_in_text, _word)
