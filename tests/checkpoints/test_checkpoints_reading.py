"""The reader of weights against damaged files: safetensors, archives, cut short, flipped bits."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from weight_files import outcome, pickled, refused, tensor_bytes, zipped

from keras_kd.checkpoints import _files
from keras_kd.errors import ModelError


def _safetensors(path, header, content=bytes(24), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + content)
    return path


GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


@pytest.mark.parametrize(
    "header",
    [
        {"w": {**GOOD, "shape": [2**40, 2**40]}},
        {"w": {**GOOD, "data_offsets": [0, 2**50], "shape": [2**48]}},
        {"w": {**GOOD, "data_offsets": [-24, 0]}},
        {"w": {**GOOD, "shape": [-2, -3]}},
        {"w": {**GOOD, "shape": [2.0, 3]}},
        {"w": {**GOOD, "shape": [True, 6]}},
        {"w": {**GOOD, "dtype": "F8_E4M3"}},
        {"w": {**GOOD, "dtype": ["F32"]}},
        {"w": {"dtype": "F32"}},
        {"w": 3},
        [1, 2],
        b"[" * 100_000,
        b"\xff\xfe",
        b"",
    ],
    ids=str,
)
def test_safetensors_that_make_no_sense_are_refused(header, tmp_path):
    refused(_safetensors(tmp_path / "weights.safetensors", header), "can't be read as weights")


def test_safetensors_declared_too_long_or_cut_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    np.testing.assert_array_equal(
        _files.read(_safetensors(path, {"w": GOOD}))["w"], np.zeros((2, 3))
    )
    refused(
        _safetensors(path, {"w": GOOD}, length=2**63),
        "its header is declared 9,223,372,036,854,775,808 bytes",
    )
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path, "can't be read as weights")


def test_what_is_no_weights_file_at_all_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(ModelError, match="No weights at .*weights.pth: check the path"):
        _files.read(path)
    with pytest.raises(ModelError, match="No weights at"):
        _files.read(tmp_path)
    for content in (b"", b"\x89HDF\r\n", b"P", b"\x80", b"<html>"):
        path.write_bytes(content)
        refused(path, "can't be read as weights")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    refused(path, "it is a zip archive, but not PyTorch's")


def _real_files(folder):
    """The same small checkpoint in every form that is read, with what it holds."""
    torch = pytest.importorskip(
        "torch", reason="the files are written by PyTorch (the extra torch)"
    )
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(3, 2)
    )
    tensors = {key: value.numpy() for key, value in network.state_dict().items()}
    torch.save({"model_state_dict": network.state_dict(), "epoch": 3}, folder / "new.pth")
    torch.save(network.state_dict(), folder / "old.pth", _use_new_zipfile_serialization=False)
    _files.write_safetensors(tensors, folder / "weights.safetensors")
    return tensors, [folder / name for name in ("new.pth", "old.pth", "weights.safetensors")]


@pytest.mark.parametrize("name", ["teacher.keras", "my model.h5", "net.onnx"])
def test_a_model_that_needs_no_import_is_told(name: str, tmp_path: Path) -> None:
    """It was to be downloaded again."""
    (tmp_path / name).write_bytes(b"PK")
    refused(tmp_path / name, f"needs no import: .*distill --teacher '?{tmp_path / name}'?`")
    weights = tmp_path / "net.weights.h5"
    weights.write_bytes(b"PK")
    refused(weights, "can't be read as weights")
    # What a file holds tells more than its name.
    found = _files.read(zipped(tmp_path / name, pickled(tensor_bytes())))
    np.testing.assert_equal(found, {"weight": np.zeros((2, 3), np.float32)})


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_cut_and_flipped_files_give_arrays_or_one_sentence(tmp_path):
    tensors, paths = _real_files(tmp_path)
    random = np.random.default_rng(7)
    for path in paths:
        whole = path.read_bytes()
        np.testing.assert_equal(_files.read(path), tensors)
        damaged = tmp_path / f"damaged{path.suffix}"
        refusals = 0
        for length in random.integers(0, len(whole), 60):
            damaged.write_bytes(whole[:length])
            assert outcome(damaged) is None
        for position, bit in zip(
            random.integers(0, len(whole), 300), random.integers(0, 8, 300), strict=True
        ):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << bit
            damaged.write_bytes(flipped)
            found = outcome(damaged)
            refusals += found is None
            # Sums over each entry are checked in zip archives only.
            if found is not None and path.name == "new.pth":
                np.testing.assert_equal(found, tensors)
        assert refusals > 20
