"""The optimizer, its schedule, and the callbacks that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

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
    """SGD with Nesterov momentum 0.9.

    Args:
        schedule: "cosine" (linear warm-up over 5 % of the steps, then a cosine down to 0) or
            "plateau" (`schedule_callbacks`).
        rate: the highest learning rate.
        weight_decay: the L2 penalty's gradient factor in PyTorch's sense.
        steps: of the whole training.
        clip_norm: the largest norm of all gradients together; 0 for any.
        ema: momentum of an exponential moving average of the weights, which `fit` then scores and
            keeps; 0 for none.
        factors: of the learning rate for some variables, by their path; None for none.
    """
    rate = _scheduled(schedule, rate, steps)
    # Keras decays outside the momentum, PyTorch inside it, where it acts 1/(1 - momentum) times as
    # much.
    decay = weight_decay / (1 - MOMENTUM) or None
    common = {"momentum": MOMENTUM, "nesterov": True, **_common(clip_norm, ema)}
    if factors:
        return LayerRatesSGD(rate, factors=factors, decay=decay, **common)
    return keras.optimizers.SGD(rate, weight_decay=decay, **common)


def adamw(
    schedule: str,
    rate: float,
    weight_decay: float,
    steps: int,
    clip_norm: float = 0.0,
    ema: float = 0.0,
    factors: Mapping[str, float] | None = None,
) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), whose weight decay is its own: each
    step takes rate · weight_decay of a weight away. For the arguments see `sgd`.
    """
    rate, common = _scheduled(schedule, rate, steps), _common(clip_norm, ema)
    if factors:
        return LayerRatesAdam(rate, factors=factors, decay=weight_decay or None, **common)
    return keras.optimizers.AdamW(rate, weight_decay=weight_decay, **common)


def _scheduled(schedule: str, rate: float, steps: int) -> Any:
    if schedule != "cosine":
        return rate
    warm_up = round(WARM_UP_SHARE * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=rate, warmup_steps=warm_up
    )


def _common(clip_norm: float, ema: float) -> dict[str, Any]:
    average = {"use_ema": True, "ema_momentum": ema} if ema else {}
    return {"global_clipnorm": clip_norm or None, **average}


# By the names that the option `optimizer` takes.
OPTIMIZERS = {"sgd": sgd, "adamw": adamw}


def schedule_callbacks(schedule: str, patience: int) -> list[keras.callbacks.Callback]:
    """What reacts to the validation score: x0.1 after 5 epochs without a better one, a stop after
    `patience`.

    Args:
        schedule: "plateau", or "cosine" which reacts to nothing.
        patience: epochs; 0 for no early stop.
    """
    chosen: list[keras.callbacks.Callback] = []
    if schedule == "plateau":
        chosen.append(
            keras.callbacks.ReduceLROnPlateau(
                SCORE, 0.1, PLATEAU_EPOCHS, mode="max", min_delta=0, min_lr=SMALLEST_RATE
            )
        )
    if patience:
        chosen.append(keras.callbacks.EarlyStopping(SCORE, mode="max", patience=patience))
    return chosen
