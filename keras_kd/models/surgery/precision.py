"""The arithmetic that suits a model and this machine, and copies of models that compute in it."""

from __future__ import annotations

import keras

from keras_kd._common.hardware import cpu_information, gpus
from keras_kd.errors import ConfigError
from keras_kd.models.surgery import weights

# Between those of C and B, whose last convolutions are wide enough for bfloat16 to pay.
SMALL_MODEL = 1_000_000
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")


def precision(asked: str, parameters: int) -> str:
    """The dtype policy for "auto": mixed_bfloat16 on GPUs and, for all but small models, on CPUs
    that compute in it.

    Measured on two cores each, images a CPU second of bfloat16 to float32. With AMX: student A 2.1,
    B 1.3, C 0.6, ResEmoteNet 1.5. With AVX-512 BF16: A 1.2, B 1.4, C 0.3, ResEmoteNet 1.5. Other
    CPUs emulate bfloat16. GPUs before Ampere have fast float16 only: ask for mixed_float16 there.

    Args:
        asked: "auto" or a dtype policy.
        parameters: of the model without its dead taps.
    """
    if asked != "auto":
        return asked
    flags = cpu_information().split()
    computes = any(flag in flags for flag in BFLOAT16_FLAGS)
    return "mixed_bfloat16" if gpus() or (parameters > SMALL_MODEL and computes) else "float32"


def in_precision(model: keras.Model, asked: str) -> keras.Model:
    """A copy of a compact model that computes in what `precision` says of it."""
    return with_policy(model, precision(asked, model.count_params()))


def with_policy(model: keras.Model, dtype_policy: str) -> keras.Model:
    """Return a copy of a Functional model, weights included, that computes in `dtype_policy`;
    outputs stay float32.

    Raises:
        ConfigError: Keras knows no such policy.
    """
    try:
        # By name: layers without a get_config of their own can't be rebuilt again from an object.
        policy = keras.dtype_policies.get(dtype_policy).name
    except ValueError as error:
        raise ConfigError(
            f"Unknown precision {dtype_policy!r}: expected e.g. float32 or mixed_bfloat16."
        ) from error
    outputs = _of_outputs(model)

    def rebuilt(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return layer.__class__.from_config(
            {**config, "dtype": "float32" if layer.name in outputs else policy}
        )

    copy = keras.models.clone_model(model, clone_function=rebuilt)
    weights.put(model.get_weights(), copy)
    return copy


def _of_outputs(model: keras.Model) -> set[str]:
    """The names of the layers that give the outputs, and of those whose average is one."""
    last = [output._keras_history.operation for output in model.outputs]
    averages = [layer for layer in last if isinstance(layer, keras.layers.Average)]
    averaged = [tensor._keras_history.operation for layer in averages for tensor in layer.input]
    return {layer.name for layer in [*last, *averaged]}
