"""Optimizers with a different learning rate in some layers, for fine-tuning, that compute a
schedule's rate once a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_kd.distiller.step_decay import StepDecay


class _LayerRates(StepDecay):
    """A Keras optimizer whose learning rate and weight decay are multiplied by a factor for some
    variables.

    Without factors it computes what Keras' own does, to the bit.

    Args:
        factors: by a variable's path; 1 for all others.
        **options: of the optimizer. With `weight_decay` each step takes `weight_decay · rate ·
            factor` of a variable away.
    """

    def __init__(self, *args: Any, factors: Mapping[str, float], **options: Any) -> None:
        super().__init__(*args, **options)
        self.factors = dict(factors)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable."""
        # On TensorFlow it comes as its backend has it, without a path.
        path = self._trainable_variables[self._get_variable_index(variable)].path
        factor = self.factors.get(path)
        rate = learning_rate if factor is None else learning_rate * factor
        super().update_step(gradient, variable, rate)

    def get_config(self) -> dict[str, Any]:
        """Return all arguments."""
        return {**super().get_config(), "factors": self.factors}


class LayerRatesSGD(_LayerRates, keras.optimizers.SGD):
    """Keras' SGD with a factor on the learning rate of some variables."""


class LayerRatesAdam(_LayerRates, keras.optimizers.Adam):
    """Keras' Adam with a factor on the learning rate of some variables; with
    `weight_decay` it is AdamW.
    """
