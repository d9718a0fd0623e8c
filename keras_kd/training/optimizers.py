"""The optimizer, its learning rate schedule, and the callbacks that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_kd.distiller import DistillationOrientedSGD
from keras_kd.errors import ConfigError
from keras_kd.training.layer_rates import LayerRatesAdam, LayerRatesSGD
from keras_kd.training.scores import SCORE

MOMENTUM = 0.9
WARM_UP_SHARE = 0.05
PLATEAU_EPOCHS = 5
SMALLEST_RATE = 1e-6


def sgd(
    schedule: str,
    rate: float,
    weight_decay: float,
    steps: int,
    clip_norm: float = 0.0,
    ema: float = 0.0,
    factors: Mapping[str, float] | None = None,
) -> keras.optimizers.Optimizer:
    """Return SGD with Nesterov momentum 0.9.

    Args:
        schedule: "cosine" (linear warm-up over 5 % of the steps, then a cosine down to 0) or
            "plateau" (see `schedule_callbacks`).
        rate: the peak learning rate, above 0.
        weight_decay: factor of the L2 penalty's gradient, as in PyTorch.
        steps: number of steps of the whole training.
        clip_norm: largest global norm of the gradients; 0 for no clipping.
        ema: momentum of an exponential moving average of the weights, which `fit` scores and keeps;
            0 for none.
        factors: factors on the learning rate of some variables, by their path; None for none.

    Returns:
        The optimizer.
    """
    rate = _scheduled(schedule, rate, steps)
    decay = _decay(weight_decay)
    common = {"momentum": MOMENTUM, "nesterov": True, **_common(clip_norm, ema)}
    return LayerRatesSGD(rate, factors=factors or {}, weight_decay=decay, **common)


def adamw(
    schedule: str,
    rate: float,
    weight_decay: float,
    steps: int,
    clip_norm: float = 0.0,
    ema: float = 0.0,
    factors: Mapping[str, float] | None = None,
) -> keras.optimizers.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101). Arguments: see
    `training.optimizers.sgd`.

    Its weight decay is decoupled: each step subtracts rate · weight_decay of a weight from it.
    """
    rate, common = _scheduled(schedule, rate, steps), _common(clip_norm, ema)
    return LayerRatesAdam(rate, factors=factors or {}, weight_decay=weight_decay or None, **common)


def dot(
    schedule: str,
    rate: float,
    weight_decay: float,
    steps: int,
    clip_norm: float = 0.0,
    ema: float = 0.0,
    factors: Mapping[str, float] | None = None,
) -> keras.optimizers.Optimizer:
    """Return SGD with one momentum for the labels and a larger one for the teacher, see
    `DistillationOrientedSGD`. Arguments: see `training.optimizers.sgd`.

    Raises:
        ConfigError: some variables have another learning rate.
    """
    if factors:
        raise ConfigError(
            "The optimizer dot has one learning rate: leave out head_rate and body_rate, or choose"
            " sgd or adamw."
        )
    return DistillationOrientedSGD(
        _scheduled(schedule, rate, steps),
        weight_decay=_decay(weight_decay),
        clip_norm=clip_norm,
        **_average(ema),
    )


def _decay(weight_decay: float) -> float | None:
    """The decay by which Keras' SGD does as PyTorch's: Keras decays outside the momentum, PyTorch
    inside it, where it acts 1/(1 - momentum) times as much.
    """
    return weight_decay / (1 - MOMENTUM) or None


def _scheduled(schedule: str, rate: float, steps: int) -> Any:
    if schedule != "cosine":
        return rate
    warm_up = round(WARM_UP_SHARE * steps)
    # The warm-up starts at 0, and the cosine falls from its target.
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=rate, warmup_steps=warm_up
    )


def _common(clip_norm: float, ema: float) -> dict[str, Any]:
    return {"global_clipnorm": clip_norm or None, **_average(ema)}


def _average(ema: float) -> dict[str, Any]:
    return {"use_ema": True, "ema_momentum": ema} if ema else {}


# By the names that the option `optimizer` takes.
OPTIMIZERS = {"sgd": sgd, "adamw": adamw, "dot": dot}


def schedule_callbacks(schedule: str, patience: int) -> list[keras.callbacks.Callback]:
    """Return the callbacks that react to the validation score.

    With "plateau", the learning rate is multiplied by 0.1 after 5 epochs without a better score.
    With `patience`, training stops after that number of such epochs.

    Args:
        schedule: "plateau" or "cosine".
        patience: number of epochs; 0 for no early stop.

    Returns:
        The callbacks.
    """
    chosen: list[keras.callbacks.Callback] = []
    if schedule == "plateau":
        chosen.append(
            # min_delta=0: any gain counts, where Keras asks for 0.0001.
            keras.callbacks.ReduceLROnPlateau(
                SCORE, 0.1, PLATEAU_EPOCHS, mode="max", min_delta=0, min_lr=SMALLEST_RATE
            )
        )
    if patience:
        chosen.append(keras.callbacks.EarlyStopping(SCORE, mode="max", patience=patience))
    return chosen
