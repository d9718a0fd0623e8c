"""What differs between Keras' backends."""

from __future__ import annotations

import keras

from keras_kd.errors import ConfigError
from keras_kd.models.surgery.keras_internals import all_layers


def is_known(variable: keras.Variable) -> bool:
    """Whether a variable's number can be read now, and no step is being traced."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.executing_eagerly()
    if keras.backend.backend() == "jax":
        import jax

        return not isinstance(variable.value, jax.core.Tracer)
    return True


def refuse_distribution() -> None:
    """Refuse `keras.distribution` where it does nothing, on TensorFlow."""
    if keras.backend.backend() == "tensorflow" and keras.distribution.distribution() is not None:
        raise ConfigError(
            "keras.distribution has no effect on the TensorFlow backend, one device would do all "
            "the work: build the Distiller in the scope of a tf.distribute.MirroredStrategy, or "
            "set KERAS_BACKEND=jax."
        )


def policy(student: keras.Model) -> str:
    """Return a student's dtype policy; a Functional model's own is the global one, so ask its
    layers.
    """
    policies = {layer.dtype_policy.name for layer in all_layers(student)}
    halves = policies & {"mixed_float16", "float16"}
    return halves.pop() if halves else student.dtype_policy.name


def replicas() -> int:
    """Number of replicas under `tf.distribute`."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
