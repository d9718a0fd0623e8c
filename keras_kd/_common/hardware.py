"""The hardware of this machine."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from keras_kd.errors import ConfigError


def cpu_information() -> str:
    """Return /proc/cpuinfo, or nothing where there is none."""
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def cores() -> int:
    """Number of cores that this process may use: fewer than the machine's in some containers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus() -> list[str]:
    """Names of the GPUs that Keras' backend sees."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return [
            tf.config.experimental.get_device_details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices("GPU")
        ]
    # Asked for GPUs alone, JAX raises where there are none.
    return [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]


def scope(devices: int) -> AbstractContextManager:
    """Where to build and compile a model that trains on so many devices: GPUs, or logical CPUs
    where there are none.

    Raises:
        ConfigError: there are fewer, or Keras' backend isn't TensorFlow.
    """
    if devices == 1:
        return nullcontext()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"devices={devices} needs Keras' TensorFlow backend: on {keras.backend.backend()} set "
            "keras.distribution in your own script, or use devices=1."
        )
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(found) < devices:
        raise ConfigError(
            f"devices must be at most {len(found)}, the number found here. Received:"
            f" devices={devices}."
        )
    return tf.distribute.MirroredStrategy([device.name for device in found[:devices]]).scope()


def describe() -> str:
    """One line: processor, cores, memory and GPUs."""
    models = [
        line.split(":", 1)[1].strip()
        for line in cpu_information().splitlines()
        if line.startswith("model name")
    ]
    name = models[0] if models else platform.processor() or platform.machine()
    parts = [name, f"{cores()} cores"]
    if hasattr(os, "sysconf"):
        parts.append(
            f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB memory"
        )
    return ", ".join([*parts, *(f"GPU {name}" for name in gpus())])
