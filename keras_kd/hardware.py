"""What this machine computes on, and the arithmetic that suits it."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import keras

from keras_kd import weights
from keras_kd.errors import ConfigError


def _cpu_information() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def gpus() -> list[str]:
    """Names of the GPUs that Keras' backend sees."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return [
            tf.config.experimental.get_device_details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices("GPU")
        ]
    return keras.distribution.list_devices("gpu") or []


# Between those of C and B, whose last convolutions are wide enough for bfloat16 to pay.
SMALL_MODEL = 1_000_000
BFLOAT16_FLAGS = ("amx_bf16", "avx512_bf16")


def precision(asked: str, parameters: int) -> str:
    """The dtype policy for "auto": mixed_bfloat16 on GPUs and, for all but small models, on CPUs that compute in it.

    Measured on two cores each, images a CPU second of bfloat16 to float32. With AMX: student A 2.1, B 1.3, C 0.6,
    ResEmoteNet 1.5. With AVX-512 BF16: A 1.2, B 1.4, C 0.3, ResEmoteNet 1.5. Other CPUs emulate bfloat16. GPUs
    before Ampere have fast float16 only: ask for mixed_float16 there.

    Args:
        asked: "auto" or a dtype policy.
        parameters: of the model without its dead taps.
    """
    if asked != "auto":
        return asked
    flags = _cpu_information().split()
    computes = any(flag in flags for flag in BFLOAT16_FLAGS)
    return "mixed_bfloat16" if gpus() or (parameters > SMALL_MODEL and computes) else "float32"


def scope(devices: int) -> AbstractContextManager:
    """Where to build and compile a model that trains on so many devices: GPUs, or logical CPUs where there are none.

    Raises:
        ConfigError: there are fewer, or Keras' backend isn't TensorFlow.
    """
    if devices == 1:
        return nullcontext()
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"devices={devices} needs Keras' TensorFlow backend: on {keras.backend.backend()} set "
            "keras.distribution in your own script, or use devices=1."
        )
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) < devices:
        raise ConfigError(f"devices must be at most {len(found)}, the number found here. Received: devices={devices}.")
    return tf.distribute.MirroredStrategy([device.name for device in found[:devices]]).scope()


def describe() -> str:
    """One line: processor, cores, memory and GPUs."""
    models = [
        line.split(":", 1)[1].strip() for line in _cpu_information().splitlines() if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [models[0] if models else platform.processor() or platform.machine(), f"{cores} cores"]
    if hasattr(os, "sysconf"):
        parts.append(f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB memory")
    return ", ".join([*parts, *(f"GPU {name}" for name in gpus())])


def in_precision(model: keras.Model, asked: str) -> keras.Model:
    """A copy of a compact model that computes in what `precision` says of it."""
    return with_policy(model, precision(asked, model.count_params()))


def with_policy(model: keras.Model, dtype_policy: str) -> keras.Model:
    """Return a copy of a Functional model, weights included, that computes in `dtype_policy`; outputs stay float32.

    Raises:
        ConfigError: Keras knows no such policy.
    """
    try:
        # By name: layers without a get_config of their own can't be rebuilt again from an object.
        policy = keras.dtype_policies.get(dtype_policy).name
    except ValueError as error:
        raise ConfigError(f"Unknown precision {dtype_policy!r}: expected e.g. float32 or mixed_bfloat16.") from error
    outputs = _of_outputs(model)

    def rebuilt(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return layer.__class__.from_config({**config, "dtype": "float32" if layer.name in outputs else policy})

    copy = keras.models.clone_model(model, clone_function=rebuilt)
    weights.put(model.get_weights(), copy)
    return copy


def _of_outputs(model: keras.Model) -> set[str]:
    """The names of the layers that give the outputs, and of those whose average is one."""
    last = [output._keras_history.operation for output in model.outputs]
    averages = [layer for layer in last if isinstance(layer, keras.layers.Average)]
    averaged = [tensor._keras_history.operation for layer in averages for tensor in layer.input]
    return {layer.name for layer in [*last, *averaged]}
