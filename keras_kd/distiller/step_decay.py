"""Weight decay by the learning rate that an optimizer computes once a step."""

from __future__ import annotations

from typing import Any

import keras

from keras_kd.models.surgery.keras_internals import is_decayed


class StepDecay(keras.optimizers.Optimizer):
    """A Keras optimizer whose weight decay has the rate of the step.

    It computes what Keras' own `weight_decay` does, to the bit. On TensorFlow Keras asks the
    schedule for the rate of the decay once for each variable: of a cosine with a warm-up, that is a
    condition in the graph each time.

    Attributes:
        decay: as Keras' `weight_decay`: each step takes `decay · rate` of a variable away, unless
            `exclude_from_weight_decay` names it. None for no decay.
    """

    decay: float | None = None

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Decay and update one variable."""
        if self.decay and is_decayed(self, variable):
            decay, rate = (keras.ops.cast(p, variable.dtype) for p in (self.decay, learning_rate))
            self.assign_sub(variable, variable * decay * rate)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments by name, `decay` in place of `weight_decay`."""
        config = super().get_config()
        del config["weight_decay"]
        return {**config, "decay": self.decay}
