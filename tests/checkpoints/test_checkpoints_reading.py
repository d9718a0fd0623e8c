"""The reader of weights against damaged and hostile files: no code runs, memory is bounded, one
sentence each.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import tracemalloc
import zipfile

import keras
import numpy as np
import pytest
from command_line import called

from keras_kd import checkpoints, models
from keras_kd.checkpoints import _files, _pickles
from keras_kd.errors import ModelError

GLOBAL_OF_TENSORS = b"ctorch._utils\n_rebuild_tensor_v2\n"
SIX_ZEROS = struct.pack("<q", 6) + bytes(24)


def _text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _number(value):
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def _numbers(values):
    return b"(" + b"".join(map(_number, values)) + b"t"


def _storage(count=6, kind="FloatStorage", key="0"):
    return (
        b"("
        + _text("storage")
        + f"ctorch\n{kind}\n".encode()
        + _text(key)
        + _text("cpu")
        + _number(count)
        + b"tQ"
    )


def _tensor(shape=(2, 3), strides=(3, 1), offset=0, storage=None):
    view = _number(offset) + _numbers(shape) + _numbers(strides)
    return GLOBAL_OF_TENSORS + b"(" + (storage or _storage()) + view + b"\x89}tR"


def _pickled(value, key="weight"):
    """A state dict of one entry."""
    return b"\x80\x02}" + _text(key) + value + b"s."


def _zipped(path, pickled, storages=(bytes(24),), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
        for number, content in enumerate(storages):
            archive.writestr(f"archive/data/{number}", content)
    return path


def _older(path, pickled, keys=("0",), contents=(SIX_ZEROS,)):
    parts = [
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    ]
    path.write_bytes(b"".join([*parts, pickled, pickle.dumps(list(keys), 2), *contents]))
    return path


def _refused(path, message):
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


def test_the_files_made_here_are_good_before_they_are_spoilt(tmp_path):
    numbers = np.arange(6, dtype="<f4")
    for path in (
        _zipped(tmp_path / "new.pth", _pickled(_tensor((3, 2), (1, 3))), [numbers.tobytes()]),
        _older(
            tmp_path / "old.pth",
            _pickled(_tensor((3, 2), (1, 3))),
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
            _zipped(path, pickled)
        elif form == "older":
            _older(path, pickled)
        else:
            path.write_bytes(pickled)
        _refused(path, f"asks for '(builtins\\.|__builtin__\\.)?{name}'")
    assert not marker.exists()


OTHER_OPERATIONS = {
    "INST": b"\x80\x02(ios\nsystem\n.",
    "OBJ": b"\x80\x02(cos\nsystem\n" + _text("touch x") + b"o.",
    "BINBYTES8": b"\x80\x04\x8e" + struct.pack("<Q", 4) + b"abcd.",
    "EXT1": b"\x80\x02\x82\x01.",
    "PERSID": b"\x80\x02Pname\n.",
}


@pytest.mark.parametrize("name", OTHER_OPERATIONS)
def test_operations_that_no_tensor_needs_are_refused(name, tmp_path):
    _refused(
        _zipped(tmp_path / "weights.pth", OTHER_OPERATIONS[name]),
        f"asks for the pickle operation {name}",
    )


HUGE = 2**60
TOO_LARGE = {
    "huge shape": _pickled(_tensor((HUGE, HUGE), (HUGE, 1))),
    "shape repeated by strides of 0": _pickled(_tensor((100_000, 100_000), (0, 0))),
    "end past the numbers": _pickled(_tensor((2, 3), (4, 1))),
    "offset past the numbers": _pickled(_tensor(offset=1)),
    "negative stride": _pickled(_tensor((2, 3), (3, -1))),
    "negative offset": _pickled(_tensor(offset=-1)),
    "negative shape": _pickled(_tensor((-2, -3))),
    "shape and strides of other lengths": _pickled(_tensor((6,))),
    "fractions": _pickled(_tensor().replace(_number(3), b"G" + struct.pack(">d", 3.0))),
    "65 axes": _pickled(_tensor((1,) * 65, (1,) * 65)),
    "storage of another size": _pickled(_tensor(storage=_storage(HUGE))),
    "storage of another type": _pickled(_tensor(storage=_storage(6, "DoubleStorage"))),
    "no such storage": _pickled(_tensor(storage=_storage(key="../../etc/passwd"))),
    "memo far away": b"\x80\x02}r\xff\xff\xff\xffh\x01.",
    "text of 4 GiB": b"\x80\x02X\xff\xff\xff\xff.",
    "text of 4 EiB": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",
    "nothing on the stack": b"\x80\x02}R.",
    "no mark": b"\x80\x02}u.",
    "end without a value": b"\x80\x02.",
    "no end": b"\x80\x02}",
    "a tensor as key": b"\x80\x02}" + _tensor() + _text("x") + b"s.",
    "a tuple as key": b"\x80\x02})" + _tensor() + b"s.",
    "a key that takes an age to hash": (
        b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + _tensor() + b"s."
    ),
    "a list": b"\x80\x02].",
    "empty": b"\x80\x02}.",
    "itself": b"\x80\x02}q\x01" + _text("model") + b"h\x01s" + b".",
    "nested deeply": b"\x80\x02}" + _text("a") + b")" + b"\x85" * 100_000 + b"s.",
    "nested deeply as key": b"\x80\x02})" + b"\x85" * 100_000 + _text("a") + b"s.",
    "complex numbers": _pickled(_tensor(storage=_storage(3, "ComplexFloatStorage"))),
    "not a storage": _pickled(GLOBAL_OF_TENSORS + b"(" + _text("x") + _number(0) + b"))\x89}tR"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_makes_no_sense_is_refused_without_setting_memory_aside(name, tmp_path):
    _refused(_zipped(tmp_path / "new.pth", TOO_LARGE[name]), "can't be read as weights|was refused")
    _refused(_older(tmp_path / "old.pth", TOO_LARGE[name]), "can't be read as weights|was refused")


def test_a_long_description_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(_pickles, "LARGEST_PICKLE", 1000)
    path = _zipped(tmp_path / "weights.pth", b"\x80\x02" + b"]" * 1001 + b"o.")
    _refused(path, "its description of the tensors is longer than 1,000 bytes")


def test_archives_that_grow_are_refused(tmp_path):
    bomb = _zipped(
        tmp_path / "a.pth", _pickled(_tensor()), [bytes(50_000_000)], zipfile.ZIP_DEFLATED
    )
    _refused(bomb, "it is compressed, which such files never are")
    overlapping = bytearray(_zipped(tmp_path / "b.pth", _pickled(_tensor())).read_bytes())
    directory = overlapping.rindex(b"PK\x01\x02")
    overlapping[directory + 20 : directory + 28] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "b.pth").write_bytes(overlapping)
    _refused(tmp_path / "b.pth", "it declares more content than the file holds")


def test_older_files_whose_storages_lie_are_refused(tmp_path):
    for contents in (
        [struct.pack("<q", HUGE) + bytes(24)],
        [struct.pack("<q", -1) + bytes(24)],
        [bytes(4)],
        [],
    ):
        _refused(
            _older(tmp_path / "weights.pth", _pickled(_tensor()), contents=contents),
            "can't be read as weights",
        )
    _refused(
        _older(tmp_path / "weights.pth", _pickled(_tensor()), keys=("1",)),
        "can't be read as weights",
    )
    negative = _pickled(_tensor((1,), (1,), storage=_storage(-4)))
    contents = [struct.pack("<q", -4) + bytes(24)]
    _refused(
        _older(tmp_path / "weights.pth", negative, contents=contents), "can't be read as weights"
    )


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
    _refused(_safetensors(tmp_path / "weights.safetensors", header), "can't be read as weights")


def test_safetensors_declared_too_long_or_cut_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    np.testing.assert_array_equal(
        _files.read(_safetensors(path, {"w": GOOD}))["w"], np.zeros((2, 3))
    )
    _refused(
        _safetensors(path, {"w": GOOD}, length=2**63),
        "its header is declared 9,223,372,036,854,775,808 bytes",
    )
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        _refused(path, "can't be read as weights")


def test_what_is_no_weights_file_at_all_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(ModelError, match="No weights at .*weights.pth: check the path"):
        _files.read(path)
    with pytest.raises(ModelError, match="No weights at"):
        _files.read(tmp_path)
    for content in (b"", b"\x89HDF\r\n", b"P", b"\x80", b"<html>"):
        path.write_bytes(content)
        _refused(path, "can't be read as weights")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    _refused(path, "it is a zip archive, but not PyTorch's")


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


def _outcome(path):
    """The arrays, or None where the reader refused in its own way; any other exception fails the
    test.
    """
    try:
        return _files.read(path)
    except ModelError as error:
        assert str(path) in str(error)
        return None


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_cut_and_flipped_files_give_arrays_or_one_sentence(tmp_path):
    tensors, paths = _real_files(tmp_path)
    random = np.random.default_rng(7)
    for path in paths:
        whole = path.read_bytes()
        np.testing.assert_equal(_files.read(path), tensors)
        damaged = tmp_path / f"damaged{path.suffix}"
        refused = 0
        for length in random.integers(0, len(whole), 60):
            damaged.write_bytes(whole[:length])
            assert _outcome(damaged) is None
        for position, bit in zip(
            random.integers(0, len(whole), 300), random.integers(0, 8, 300), strict=True
        ):
            flipped = bytearray(whole)
            flipped[position] ^= 1 << bit
            damaged.write_bytes(flipped)
            found = _outcome(damaged)
            refused += found is None
            # Sums over each entry are checked in zip archives only.
            if found is not None and path.name == "new.pth":
                np.testing.assert_equal(found, tensors)
        assert refused > 20


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
        _text("touch ran"),
        _text("storage"),
        _text("0"),
        _number(6),
        _storage(),
        _tensor(),
    ]
    path = tmp_path / "weights.pth"
    for _ in range(800):
        chosen = random.integers(0, len(pieces), random.integers(1, 30))
        _zipped(path, b"\x80\x02}" + b"".join(pieces[index] for index in chosen) + b".")
        _outcome(path)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pth"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_are_not_finite_are_named(value, tmp_path):
    tensors = {key: array.astype(np.float64) for key, array in _weights("C").items()}
    tensors["fc4.weight"][0, 0] = value
    _files.write_safetensors(tensors, tmp_path / "c.safetensors")
    with pytest.raises(ModelError, match=r"NaN, infinity or numbers .* in fc4\.weight: give"):
        checkpoints.load(tmp_path / "c.safetensors")


def test_an_efficientformer_without_its_distillation_head_has_one_head(tmp_path):
    keras.utils.set_random_seed(4)
    both = models.build("efficientformer-l1", 3, (32, 32, 3))
    path = tmp_path / "one.safetensors"
    tensors = checkpoints.state_dict(both)
    alone = {key: array for key, array in tensors.items() if not key.startswith("dist_head.")}
    _files.write_safetensors(alone, path)
    found, _ = checkpoints.load(path, input_shape=(32, 32, 3))
    image = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    head = keras.Model(both.inputs, both.get_layer("head").output)
    np.testing.assert_allclose(found(image), head(image), atol=1e-5)
    assert set(checkpoints.state_dict(found)) == set(alone)


def test_an_imported_model_is_compared_with_what_the_original_gave(tmp_path, capsys):
    weights, check, out = (tmp_path / name for name in ("c.safetensors", "c.npz", "c.keras"))
    _files.write_safetensors(_weights("C"), weights)
    inputs = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    outputs = checkpoints.load(weights)[0].predict(inputs, verbose=0)
    given = ["import", str(weights), "--out", str(out), "--check", str(check)]
    np.savez(check, inputs=inputs, outputs=outputs)
    assert called(*given) == 0 and "differs from" in capsys.readouterr().out
    out.unlink()
    for arrays, message in (
        ({"inputs": inputs, "outputs": outputs[:, ::-1]}, "differs by .* more than 0.001"),
        ({"inputs": inputs[:, :32], "outputs": outputs}, "inputs .* expected .N, 64, 64, 3.,"),
        ({"inputs": inputs, "outputs": outputs[:2]}, "outputs .* expected .N, 7., the same N"),
        ({"inputs": inputs[:0], "outputs": outputs[:0]}, "N of 1 or more"),
        ({"inputs": inputs, "outputs": outputs * np.nan}, "outputs .* expected finite numbers"),
        ({"inputs": inputs}, "give an .npz of the arrays inputs, outputs"),
    ):
        np.savez(check, **arrays)
        assert called(*given) == 2
        assert re.search(message, capsys.readouterr().err) and not out.exists()


def test_each_head_is_compared_under_its_own_name(tmp_path):
    keras.utils.set_random_seed(4)
    image = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(image)
    heads = {name: keras.layers.Dense(width)(flat) for name, width in (("kind", 5), ("valence", 1))}
    model, check = keras.Model(image, heads), tmp_path / "heads.npz"
    inputs = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 3), np.uint8)
    outputs = model.predict(inputs, verbose=0)
    np.savez(check, inputs=inputs, **{**outputs, "valence": outputs["valence"][:, 0]})
    assert checkpoints.compare(model, check) < 1e-5
    np.savez(check, inputs=inputs, **{**outputs, "valence": -outputs["valence"]})
    with pytest.raises(ModelError, match="from the valence in .*heads.npz, more than 0.001"):
        checkpoints.compare(model, check)


def _weights(name):
    keras.utils.set_random_seed(4)
    return checkpoints.state_dict(models.build(name))
