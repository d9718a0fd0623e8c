"""Arithmetic that suits the machine, and models rebuilt to compute in it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd import models
from keras_kd._common import hardware
from keras_kd.errors import ConfigError
from keras_kd.models.surgery import precision
from keras_kd.models.surgery.batch_norm import fused, unfused
from keras_kd.models.surgery.compaction import compact

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)


def test_precision_asked_for_is_taken():
    for asked in ("float32", "mixed_bfloat16", "mixed_float16"):
        assert precision.precision(asked, 10) == asked


@pytest.mark.parametrize(
    ("gpus", "flags", "parameters", "expected"),
    [
        ([], "avx2 avx512f", 36_000_000, "float32"),
        ([], "avx512f amx_bf16 amx_tile", 36_000_000, "mixed_bfloat16"),
        ([], "avx512f amx_bf16 amx_tile", 570_000, "float32"),
        (["L4"], "", 570_000, "mixed_bfloat16"),
    ],
)
def test_auto_follows_the_hardware(gpus, flags, parameters, expected, monkeypatch):
    for module in (hardware, precision):
        monkeypatch.setattr(module, "gpus", lambda: gpus)
        monkeypatch.setattr(
            module, "cpu_information", lambda: f"model name\t: Some CPU @ 2GHz\nflags\t: {flags}\n"
        )
    assert precision.precision("auto", parameters) == expected
    assert hardware.describe().startswith("Some CPU @ 2GHz, ")
    assert ("GPU L4" in hardware.describe()) == bool(gpus)


def test_this_machine_is_described():
    assert " cores" in hardware.describe() and "\n" not in hardware.describe()
    assert isinstance(hardware.gpus(), list)


def test_a_model_in_another_precision_keeps_weights_and_float32_logits():
    model = compact(models.build("C", 3, (16, 16, 3), seed=1))
    before = model.get_weights()
    mixed = precision.with_policy(model, "mixed_bfloat16")
    assert (
        mixed.get_layer("conv1").compute_dtype == "bfloat16"
        and mixed.get_layer("fc4").compute_dtype == "float32"
    )
    for old, new in zip(before, mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    exact, rough = np.asarray(model(IMAGES)), np.asarray(mixed(IMAGES))
    assert rough.dtype == np.float32 and 0 < np.abs(rough - exact).max() < 0.05 * np.ptp(exact)
    back = precision.with_policy(mixed, "float32")
    np.testing.assert_allclose(np.asarray(back(IMAGES)), exact, atol=1e-6)
    assert {layer.compute_dtype for layer in back.layers} == {"float32"}


def test_the_copy_has_weights_of_its_own_and_the_global_policy_stays():
    model = models.build("C", 3, (16, 16, 3), seed=1)
    copy = precision.with_policy(model, "mixed_float16")
    copy.set_weights([weight + 1 for weight in copy.get_weights()])
    fresh = models.build("C", 3, (16, 16, 3), seed=1)
    assert all(
        np.array_equal(left, right)
        for left, right in zip(model.get_weights(), fresh.get_weights(), strict=True)
    )
    assert keras.config.dtype_policy().name == "float32"


def test_an_unknown_precision_is_refused():
    with pytest.raises(
        ConfigError, match="Unknown precision 'float3': expected e.g. float32 or mixed_bfloat16"
    ):
        precision.with_policy(models.build("C", 3, (16, 16, 3)), "float3")


@pytest.mark.parametrize("name", ["C", "vgg8", "efficientformer-l1", "mobilenetv2"])
def test_a_model_can_be_rebuilt_in_one_precision_after_another(name):
    model = models.build(name, 3, (32, 32, 3), seed=0, heads={"kind": 3, "size": None})
    mixed = precision.with_policy(model, "mixed_bfloat16")
    back = precision.with_policy(unfused(fused(mixed)), "float32")
    assert set(back.output) == {"kind", "size"}
    for old, new in zip(model.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert {weight.dtype for weight in mixed.weights if "seed" not in weight.path} == {"float32"}


def test_heads_that_are_averaged_stay_exact_too():
    image = keras.Input((4, 4, 1))
    x = keras.layers.Flatten()(image)
    both = [keras.layers.Dense(2, name=name)(x) for name in ("head", "dist_head")]
    mixed = precision.with_policy(
        keras.Model(image, keras.layers.Average()(both)), "mixed_bfloat16"
    )
    assert [mixed.get_layer(name).compute_dtype for name in ("head", "dist_head")] == [
        "float32"
    ] * 2
    assert mixed.get_layer(index=1).compute_dtype == "bfloat16"
