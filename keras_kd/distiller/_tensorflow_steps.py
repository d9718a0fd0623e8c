"""A step of training on TensorFlow: the student's forward pass, gradients, and new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def step(model: keras.Model, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Take a step along the gradient of the model's loss.

    Args:
        model: compiled.
        x: images of a batch.
        y: what `model.compute_loss` compares their outputs with.
        sample_weight: of the images, or None.

    Returns:
        The outputs before the step, and their loss.
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = model(x, training=True)
        loss = model.compute_loss(x, y, outputs, sample_weight)
        # Unscaled, float16 turns small gradients into 0, and learning stops without a word.
        scaled_loss = model.optimizer.scale_loss(loss)
    weights = model.trainable_weights
    model.optimizer.apply(tape.gradient(scaled_loss, weights), weights)
    return outputs, loss


def step_of_two_gradients(
    model: keras.Model, x: Any, parts_of_loss: Callable[[Any], tuple[Any, Any]]
) -> tuple[Any, Any]:
    """Take a step of a `DistillationOrientedSGD`, which has a momentum for either part of the loss.

    Args:
        model: compiled with such an optimizer.
        x: images of a batch.
        parts_of_loss: gives the labels' and the teacher's part for the model's outputs.

    Returns:
        The outputs before the step, and their loss.
    """
    import tensorflow as tf

    # Persistent, as two gradients are asked of it.
    with tf.GradientTape(persistent=True) as tape:
        outputs = model(x, training=True)
        of_labels, of_teacher = parts_of_loss(outputs)
        loss = of_labels + of_teacher
    weights = model.trainable_weights
    gradients = [tape.gradient(part, weights, None, "zero") for part in (of_labels, of_teacher)]
    model.optimizer.apply_parts(*gradients, weights)
    return outputs, loss
