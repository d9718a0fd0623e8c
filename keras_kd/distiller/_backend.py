"""What differs between Keras' backends."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_kd.errors import ConfigError
from keras_kd.models.surgery.keras_internals import all_layers


def array(variable: keras.Variable) -> np.ndarray | None:
    """Return a variable's numbers; None while a step is being traced and none can be read."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # For several replicas this is the sum.
        return np.asarray(variable + 0.0) if tf.executing_eagerly() else None
    if keras.backend.backend() == "jax":
        import jax

        return None if isinstance(variable.value, jax.core.Tracer) else np.asarray(variable.value)
    return keras.ops.convert_to_numpy(variable)


def number(variable: keras.Variable) -> float | None:
    """Return the number of a variable of no dimensions; None as `array`."""
    found = array(variable)
    return None if found is None else float(found)


def refuse_distribution() -> None:
    """Refuse `keras.distribution` where it does nothing, on TensorFlow."""
    if keras.backend.backend() == "tensorflow" and keras.distribution.distribution() is not None:
        raise ConfigError(
            "keras.distribution has no effect on the TensorFlow backend, so one device would do "
            "all "
            "the work: build the Distiller in the scope of a tf.distribute.MirroredStrategy, or "
            "set KERAS_BACKEND=jax."
        )


def require_scope(distiller: Any) -> None:
    """Refuse to work in another scope of `tf.distribute` than the student was built in, which ends
    in a TypeError or an AssertionError of TensorFlow's.

    Args:
        distiller: a Keras model with a `student`.

    Raises:
        ConfigError: the scopes differ.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    student = distiller.student
    # Outside of any scope, Keras enters the one that the Distiller was built in.
    strategy = distiller.distribute_strategy
    if tf.distribute.has_strategy():
        strategy = tf.distribute.get_strategy()
    if not all(strategy.extended.variable_created_in_scope(one.value) for one in student.weights):
        raise ConfigError(
            f"The student {student.name} was not built in the scope of tf.distribute that the "
            "Distiller is built or used in: build the student and build, compile and fit the "
            "Distiller in one `with strategy.scope():`, or all of them outside of it."
        )


def policy(student: keras.Model) -> str:
    """Return a student's dtype policy; a Functional model's own is the global one, so ask its
    layers.
    """
    policies = {layer.dtype_policy.name for layer in all_layers(student)}
    # A single float16 layer is reason enough to scale the loss.
    halves = policies & {"mixed_float16", "float16"}
    return halves.pop() if halves else student.dtype_policy.name


def replicas() -> int:
    """Number of replicas under `tf.distribute`."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
