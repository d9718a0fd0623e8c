"""Weight decay by the learning rate that an optimizer computes once a step."""

from __future__ import annotations

from typing import Any

import keras

from keras_kd.models.surgery.keras_internals import WithoutDecay, is_decayed


class StepDecay(WithoutDecay):
    """A Keras optimizer whose weight decay has the rate of the step.

    It computes what Keras' own `weight_decay` does, to the bit. On TensorFlow Keras asks the
    schedule for the rate of the decay once for each variable: of a cosine with a warm-up, that is a
    condition in the graph each time.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay and update one variable."""
        if self.weight_decay and is_decayed(self, variable):
            given = self.weight_decay, learning_rate
            decay, rate = (keras.ops.cast(number, variable.dtype) for number in given)
            self.assign_sub(variable, variable * decay * rate)
        super().update_step(gradient, variable, learning_rate)
