"""The reader of PyTorch's pickles against code, lies and sizes: no code runs, memory is bounded."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
from weight_files import (
    GLOBAL_OF_TENSORS,
    number_bytes,
    older,
    outcome,
    pickled,
    refused,
    storage_bytes,
    tensor_bytes,
    text_bytes,
    zipped,
)

from keras_kd.checkpoints import _files, _pickles


def test_the_files_made_here_are_good_before_they_are_spoilt(tmp_path):
    numbers = np.arange(6, dtype="<f4")
    for path in (
        zipped(tmp_path / "new.pth", pickled(tensor_bytes((3, 2), (1, 3))), [numbers.tobytes()]),
        older(
            tmp_path / "old.pth",
            pickled(tensor_bytes((3, 2), (1, 3))),
            contents=[struct.pack("<q", 6) + numbers.tobytes()],
        ),
    ):
        read = _files.read(path)
        np.testing.assert_array_equal(read["weight"], numbers.reshape(2, 3).T)
        assert list(read) == ["weight"]


class _Calls:
    def __init__(self, function, *arguments):
        self.called = (function, arguments)

    def __reduce__(self):
        return self.called


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["zip", "older", "bare"])
@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "touch {}", "posix.system"),
        (eval, "open({!r}, 'w')", "eval"),
        (exec, "open({!r}, 'w')", "exec"),
        (getattr, "{}", "getattr"),
    ],
)
def test_code_is_refused_by_name_and_never_run(function, argument, name, form, protocol, tmp_path):
    marker = tmp_path / "ran"
    evil = _Calls(function, argument.format(str(marker)))
    for number, content in enumerate(
        ({"weight": evil}, {"weight": 1, "model_state_dict": {"a": [evil]}}, evil)
    ):
        path, pickled = tmp_path / f"{number}.pth", pickle.dumps(content, protocol)
        if form == "zip":
            zipped(path, pickled)
        elif form == "older":
            older(path, pickled)
        else:
            path.write_bytes(pickled)
        refused(path, f"asks for '(builtins\\.|__builtin__\\.)?{name}'")
    assert not marker.exists()


OTHER_OPERATIONS = {
    "INST": b"\x80\x02(ios\nsystem\n.",
    "OBJ": b"\x80\x02(cos\nsystem\n" + text_bytes("touch x") + b"o.",
    "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 4) + b"abcd.",
    "EXT1": b"\x80\x02\x82\x01.",
    "PERSID": b"\x80\x02Pname\n.",
}


@pytest.mark.parametrize("name", OTHER_OPERATIONS)
def test_operations_that_no_tensor_needs_are_refused(name, tmp_path):
    refused(
        zipped(tmp_path / "weights.pth", OTHER_OPERATIONS[name]),
        f"asks for the pickle operation {name}",
    )


HUGE = 2**60
TOO_LARGE = {
    "huge shape": pickled(tensor_bytes((HUGE, HUGE), (HUGE, 1))),
    "shape repeated by strides of 0": pickled(tensor_bytes((100_000, 100_000), (0, 0))),
    "end past the numbers": pickled(tensor_bytes((2, 3), (4, 1))),
    "offset past the numbers": pickled(tensor_bytes(offset=1)),
    "negative stride": pickled(tensor_bytes((2, 3), (3, -1))),
    "negative offset": pickled(tensor_bytes(offset=-1)),
    "negative shape": pickled(tensor_bytes((-2, -3))),
    "shape and strides of other lengths": pickled(tensor_bytes((6,))),
    "fractions": pickled(tensor_bytes().replace(number_bytes(3), b"G" + struct.pack(">d", 3.0))),
    "65 axes": pickled(tensor_bytes((1,) * 65, (1,) * 65)),
    "storage of another size": pickled(tensor_bytes(storage=storage_bytes(HUGE))),
    "storage of another type": pickled(tensor_bytes(storage=storage_bytes(6, "DoubleStorage"))),
    "no such storage": pickled(tensor_bytes(storage=storage_bytes(key="../../etc/passwd"))),
    "memo far away": b"\x80\x02}r\xff\xff\xff\xffh\x01.",
    "text of 4 GiB": b"\x80\x02X\xff\xff\xff\xff.",
    "text of 4 EiB": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "nothing on the stack": b"\x80\x02}R.",
    "no mark": b"\x80\x02}u.",
    "end without a value": b"\x80\x02.",
    "no end": b"\x80\x02}",
    "a tensor as key": b"\x80\x02}" + tensor_bytes() + text_bytes("x") + b"s.",
    "a tuple as key": b"\x80\x02})" + tensor_bytes() + b"s.",
    "a key that takes an age to hash": (
        b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + tensor_bytes() + b"s."
    ),
    "a list": b"\x80\x02].",
    "empty": b"\x80\x02}.",
    "itself": b"\x80\x02}q\x01" + text_bytes("model") + b"h\x01s" + b".",
    "nested deeply": b"\x80\x02}" + text_bytes("a") + b")" + b"\x85" * 100_000 + b"s.",
    "nested deeply as key": b"\x80\x02})" + b"\x85" * 100_000 + text_bytes("a") + b"s.",
    "complex numbers": pickled(tensor_bytes(storage=storage_bytes(3, "ComplexFloatStorage"))),
    "not a storage": pickled(
        GLOBAL_OF_TENSORS + b"(" + text_bytes("x") + number_bytes(0) + b"))\x89}tR"
    ),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_makes_no_sense_is_refused_without_setting_memory_aside(name, tmp_path):
    refused(zipped(tmp_path / "new.pth", TOO_LARGE[name]), "can't be read as weights|was refused")
    refused(older(tmp_path / "old.pth", TOO_LARGE[name]), "can't be read as weights|was refused")


def test_a_long_description_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_pickles, "LARGEST_PICKLE", 1000)
    path = zipped(tmp_path / "weights.pth", b"\x80\x02" + b"]" * 1001 + b"o.")
    refused(path, "its description of the tensors is longer than 1,000 bytes")


def test_archives_that_grow_are_refused(tmp_path):
    bomb = zipped(
        tmp_path / "a.pth", pickled(tensor_bytes()), [bytes(50_000_000)], zipfile.ZIP_DEFLATED
    )
    refused(bomb, "it is compressed, which such files never are")
    overlapping = bytearray(zipped(tmp_path / "b.pth", pickled(tensor_bytes())).read_bytes())
    directory = overlapping.rindex(b"PK\x01\x02")
    overlapping[directory + 20 : directory + 28] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "b.pth").write_bytes(overlapping)
    refused(tmp_path / "b.pth", "it declares more content than the file holds")


def test_older_files_whose_storages_lie_are_refused(tmp_path):
    for contents in (
        [struct.pack("<q", HUGE) + bytes(24)],
        [struct.pack("<q", -1) + bytes(24)],
        [bytes(4)],
        [],
    ):
        refused(
            older(tmp_path / "weights.pth", pickled(tensor_bytes()), contents=contents),
            "can't be read as weights",
        )
    refused(
        older(tmp_path / "weights.pth", pickled(tensor_bytes()), keys=("1",)),
        "can't be read as weights",
    )
    negative = pickled(tensor_bytes((1,), (1,), storage=storage_bytes(-4)))
    contents = [struct.pack("<q", -4) + bytes(24)]
    refused(
        older(tmp_path / "weights.pth", negative, contents=contents), "can't be read as weights"
    )


def test_random_pickles_never_do_more_than_fail(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(8)
    pieces = [bytes([code]) for code in b"()]}tsuaeRQb.0N\x85\x86\x87\x88\x89\x94\x93\x81"] + [
        b"cos\nsystem\n",
        b"h\x00",
        b"q\x00",
        b"K\x01",
        GLOBAL_OF_TENSORS,
        b"ccollections\nOrderedDict\n",
        text_bytes("touch ran"),
        text_bytes("storage"),
        text_bytes("0"),
        number_bytes(6),
        storage_bytes(),
        tensor_bytes(),
    ]
    path = tmp_path / "weights.pth"
    for _ in range(800):
        chosen = random.integers(0, len(pieces), random.integers(1, 30))
        zipped(path, b"\x80\x02}" + b"".join(pieces[index] for index in chosen) + b".")
        outcome(path)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pth"]
