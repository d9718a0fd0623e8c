"""An optimizer with one momentum for the labels and another for the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd.distiller import _settings
from keras_kd.distiller.step_decay import StepDecay
from keras_kd.errors import ConfigError


@keras.saving.register_keras_serializable("keras_kd")
class DistillationOrientedSGD(StepDecay, keras.optimizers.SGD):
    """SGD with a larger momentum for the teacher's gradients than for those of the labels (DOT).

    Zhao et al. 2023 (DOT: A Distillation-Oriented Trainer, ICCV): g is the gradient of the labels'
    terms and of regularisers, h that of the teacher's terms, and

        v = (momentum - difference)·v + g      u = (momentum + difference)·u + h
        weights = weights - learning_rate·(v + u)

    Here v and u contain the learning rate of each step, as the momentum of Keras' SGD does. The
    Distiller computes both gradients on TensorFlow, which costs a second backward pass. Without a
    teacher, or in `keras.Model.fit`, this is SGD with momentum - difference.

    Args:
        learning_rate: a number above 0, or a schedule.
        momentum: 0 or more; momentum + difference must be below 1.
        difference: 0..momentum; the paper uses 0.075 on CIFAR-100 and 0.09 on ImageNet.
        weight_decay: as for `keras.optimizers.SGD`; it is applied once a step.
        clip_norm: largest global norm of g + h, by whose excess both are divided; 0 for no
            clipping.
        use_ema: as for `keras.optimizers.SGD`.
        ema_momentum: as for `keras.optimizers.SGD`.
        name: the optimizer's name.

    Raises:
        ConfigError: momentum - difference or clip_norm is below 0, or momentum + difference is not
            below 1.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.9,
        difference: float = 0.075,
        weight_decay: float | None = None,
        clip_norm: float = 0.0,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        name: str = "distillation_oriented_sgd",
    ) -> None:
        _settings.require_not_negative(
            momentum=momentum, difference=difference, clip_norm=clip_norm
        )
        if difference > momentum or momentum + difference >= 1:
            raise ConfigError(
                "momentum - difference must be 0 or more and momentum + difference below 1. "
                f"Received: momentum={momentum}, difference={difference}."
            )
        super().__init__(
            learning_rate,
            momentum - difference,
            weight_decay=weight_decay,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            name=name,
        )
        # Not Keras' `global_clipnorm`, which would clip the two gradients each on its own.
        self.difference, self.clip_norm = difference, clip_norm
        # The rate is asked for at each step, as callbacks and schedules change it; decay acts once.
        self.of_teacher = keras.optimizers.SGD(lambda: self.learning_rate, momentum + difference)

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create both momenta of each variable."""
        super().build(variables)
        self.of_teacher.build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """The optimizer's variables: both momenta, the learning rate and the step counts."""
        return [*super().variables, *self.of_teacher.variables]

    def apply_parts(self, of_labels: Any, of_teacher: Any, weights: Any) -> None:
        """Take one step with both gradients."""
        if self.clip_norm:
            of_labels, of_teacher = self._clipped(of_labels, of_teacher)
        # Before `self.apply`, which counts the step, so that both see the same learning rate.
        self.of_teacher.apply(of_teacher, weights)
        self.apply(of_labels, weights)

    def _clipped(self, of_labels: Any, of_teacher: Any) -> tuple[list[Any], list[Any]]:
        """Both gradients, scaled by the factor that brings their sum to the largest norm."""
        sums = [ops.add(g, h) for g, h in zip(of_labels, of_teacher, strict=True)]
        norm = ops.sqrt(sum(ops.sum(ops.square(ops.cast(one, "float32"))) for one in sums))
        factor = self.clip_norm / ops.maximum(norm, self.clip_norm)
        scaled = [[ops.cast(factor, g.dtype) * g for g in part] for part in (of_labels, of_teacher)]
        return scaled[0], scaled[1]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments by name."""
        config = super().get_config()
        return {
            "learning_rate": config["learning_rate"],
            # Keras' own momentum is momentum - difference here; the argument is given back.
            "momentum": self.momentum + self.difference,
            "difference": self.difference,
            "weight_decay": config["weight_decay"],
            "clip_norm": self.clip_norm,
            "use_ema": config["use_ema"],
            "ema_momentum": config["ema_momentum"],
            "name": config["name"],
        }


def require_usable(optimizer: keras.optimizers.Optimizer) -> None:
    """Check that a `DistillationOrientedSGD` can get its two gradients.

    Args:
        optimizer: as `compile` keeps it, in a LossScaleOptimizer for float16.

    Raises:
        ConfigError: the backend is not TensorFlow, or the precision is float16.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not isinstance(inner, DistillationOrientedSGD):
        return
    if inner is not optimizer or keras.backend.backend() != "tensorflow":
        raise ConfigError(
            "DistillationOrientedSGD (optimizer dot) needs the TensorFlow backend and float32 or"
            " bfloat16: choose those, or SGD."
        )
