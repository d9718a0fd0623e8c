"""Imported weights that are not finite, and imported models compared with their originals."""

from __future__ import annotations

import math
import re
import struct
import zipfile

import keras
import numpy as np
import pytest
from command_line import called

from keras_kd import checkpoints, models
from keras_kd.checkpoints import _files
from keras_kd.errors import DataError, ModelError


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_are_not_finite_are_named(value, tmp_path):
    tensors = {key: array.astype(np.float64) for key, array in _weights("C").items()}
    tensors["fc4.weight"][0, 0] = value
    _files.write_safetensors(tensors, tmp_path / "c.safetensors")
    with pytest.raises(ModelError, match=r"NaN, infinity or numbers .* in fc4\.weight: give"):
        checkpoints.load(tmp_path / "c.safetensors")


def test_negative_variances_are_refused_and_named(tmp_path):
    # Keras would take the root of a negative number, and every output would be NaN.
    tensors = {key: array.copy() for key, array in _weights("C").items()}
    key = next(key for key in tensors if key.endswith("running_var"))
    tensors[key][0] = -1
    _files.write_safetensors(tensors, tmp_path / "c.safetensors")
    with pytest.raises(ModelError, match=f"has negative variances in {re.escape(key)}: give"):
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


def test_each_head_is_compared_under_its_own_name(tmp_path, monkeypatch):
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
    _declare(check, inputs.shape, (10**5, 10**5))
    with pytest.raises(DataError, match="inputs.npy declares 10,000,000,000 bytes"):
        checkpoints.compare(model, check)
    # NumPy's parser of this header raises tokenize.TokenError.
    for spoilt in (b"{'descr': ((", b"{'shape': (" + b"9" * 5000):
        _archive(check, spoilt, b"")
        with pytest.raises(DataError, match="heads.npz can't be read"):
            checkpoints.compare(model, check)
    # A packed archive of a few kB may hold terabytes.
    monkeypatch.setattr(checkpoints._comparison, "LARGEST", 300)
    np.savez_compressed(check, inputs=inputs, **outputs)
    with pytest.raises(DataError, match="holds [0-9,]+ bytes, more than 300"):
        checkpoints.compare(model, check)


def _declare(path, shape, declared):
    """Arrays of zeros whose headers declare another shape; NumPy takes that much memory first."""
    header = {"descr": "|u1", "fortran_order": False, "shape": declared}
    _archive(path, str(header).encode(), bytes(math.prod(shape)))


def _archive(path, header, numbers):
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("inputs", "kind", "valence"):
            archive.writestr(f"{name}.npy", start + numbers)


def _weights(name):
    keras.utils.set_random_seed(4)
    return checkpoints.state_dict(models.build(name))
