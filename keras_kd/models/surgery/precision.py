"""The precision that suits a model and this machine, and copies of models that compute in it."""

from __future__ import annotations

import os
import re
from typing import Any

import keras

from keras_kd._common.hardware import cpu_information, gpus
from keras_kd.errors import ConfigError, KerasKDError, ModelError
from keras_kd.models.surgery.copies import copied, remade
from keras_kd.models.surgery.keras_internals import all_layers, is_graph, layer_of

# Between those of C and B, whose last convolutions are wide enough for bfloat16 to pay.
SMALL_MODEL = 1_000_000
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")


def precision(asked: str, parameters: int) -> str:
    """Return the dtype policy for a model.

    "auto" is mixed_bfloat16 on GPUs and, for all but small models, on CPUs that compute in it.
    Measured on two cores each, images per CPU second of bfloat16 relative to float32: with AMX,
    student A 2.1, B 1.3, C 0.6, ResEmoteNet 1.5; with AVX-512 BF16, A 1.2, B 1.4, C 0.3,
    ResEmoteNet 1.5. Other CPUs emulate bfloat16. GPUs before Ampere are fast in float16 only: ask
    for mixed_float16 there.

    Args:
        asked: "auto" or a dtype policy.
        parameters: number of the model's parameters without dead taps.

    Returns:
        The name of a dtype policy.
    """
    if asked != "auto":
        return asked
    flags = cpu_information().split()
    # oneDNN that is held to older instructions refuses bfloat16.
    held = "ONEDNN_MAX_CPU_ISA" in os.environ
    computes = any(flag in flags for flag in BFLOAT16_FLAGS) and not held
    return "mixed_bfloat16" if gpus() or (parameters > SMALL_MODEL and computes) else "float32"


def in_precision(model: keras.Model, asked: str) -> keras.Model:
    """Return a copy of a compact model in the dtype policy that `precision` returns for it.

    Args:
        model: a compact model.
        asked: "auto" or a dtype policy.

    Returns:
        The copy.
    """
    return with_policy(model, precision(asked, model.count_params()))


def with_policy(model: keras.Model, dtype_policy: str) -> keras.Model:
    """Return a copy of a model, weights included, that computes in a dtype policy; outputs stay
    float32.

    Args:
        model: Functional.
        dtype_policy: a name that Keras knows.

    Returns:
        The copy.

    Raises:
        ConfigError: Keras knows no such policy.
        ModelError: a layer of the user's own can't compute in it.
    """
    try:
        # By name: layers without a get_config of their own can't be rebuilt again from an object.
        policy = keras.dtype_policies.get(dtype_policy).name
    except ValueError as error:
        raise ConfigError(
            f"Unknown precision {dtype_policy!r}: expected e.g. float32 or mixed_bfloat16."
        ) from error
    outputs = _of_outputs(model)

    def replaced(layer: keras.layers.Layer) -> keras.layers.Layer:
        chosen = "float32" if layer in outputs else policy
        return remade(layer, lambda config: _with_policy(config, chosen))

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)  # for layers that make others inside
    try:
        return copied(model, replaced)
    except KerasKDError:
        raise
    except Exception as error:  # A foreign `call` may raise anything in another precision.
        raise ModelError(_refusal(model, policy, error)) from error
    finally:
        keras.config.set_dtype_policy(before)


def _refusal(model: keras.Model, policy: str, error: Exception) -> str:
    # Keras puts the layer's class into what it raises.
    called = re.search(r"calling (\w+)\.call", str(error))
    where = f" in {called[1]}" if called else ""
    other = "" if policy == "float32" else ", or choose the precision float32"
    return (
        f"{model.name} can't compute in {policy} ({type(error).__name__}{where}): let each layer of"
        f" your own convert its constants to the type of its input{other}."
    )


def in_float32(model: keras.Model) -> keras.Model:
    """Return a copy that computes in float32, including nested layers.

    Args:
        model: the model.

    Returns:
        The copy; the model itself if it already computes in float32.
    """
    policies = {layer.dtype_policy.name for layer in all_layers(model) if layer is not model}
    # A Functional model has the global policy, whatever its layers have.
    return model if policies <= {"float32"} else with_policy(model, "float32")


def _with_policy(config: Any, policy: str) -> Any:
    """Return a layer's configuration with one policy for it and for the layers inside of it."""
    if isinstance(config, list | tuple):
        return type(config)(_with_policy(value, policy) for value in config)
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        return policy
    return {name: _with_policy(value, policy) for name, value in config.items()}


def _of_outputs(model: keras.Model) -> list[keras.Layer]:
    """The layers that give the outputs, and those whose average is one."""
    last = [layer_of(output) for output in model.outputs]
    averages = [layer for layer in last if isinstance(layer, keras.layers.Average)]
    nested = [layer for layer in last if is_graph(layer)]
    return [
        *last,
        *(layer_of(tensor) for layer in averages for tensor in layer.input),
        *(layer for inner in nested for layer in _of_outputs(inner)),
    ]
