"""Where Keras' own distillation goes wrong, and what keras_kd does on the same numbers.

    .venv/bin/python benchmarks/keras_distillation.py

Prints one line a question; no data needed, a few seconds on any machine.
"""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras.distillation import Distiller as KerasDistiller
from keras.distillation import FeatureDistillation, LogitsDistillation

import keras_kd

logging.getLogger("tensorflow").setLevel(logging.ERROR)

# The golden numbers of the tests: T²·KL is 5.334700 at T=1 and 10.571520 at T=4 (torch's
# KLDivLoss, batchmean).
STUDENT = 5 * np.sin(np.arange(12.0)).reshape(4, 3).astype("float32")
TEACHER = 5 * np.cos(np.arange(12.0)).reshape(4, 3).astype("float32")


def network(seed: int, regularizer: keras.Regularizer | None = None) -> keras.Model:
    """Two dense layers with a batch normalisation between them; logits of three classes."""
    inputs = keras.Input((4,))
    initial = keras.initializers.GlorotUniform(seed)
    x = keras.layers.Dense(
        8, kernel_initializer=initial, kernel_regularizer=regularizer, name="hidden"
    )(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(inputs, keras.layers.Dense(3, kernel_initializer=initial, name="logits")(x))


def keras_distiller(student: keras.Model, feature: bool = False) -> KerasDistiller:
    loss = (
        FeatureDistillation(loss="mse", student_layer_name="norm", teacher_layer_name="norm")
        if feature
        else LogitsDistillation(temperature=3.0, loss="kl_divergence")
    )
    distiller = KerasDistiller(
        teacher=network(1), student=student, distillation_losses=loss, student_loss_weight=0.15
    )
    distiller.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return distiller


def our_distiller(student: keras.Model) -> keras_kd.Distiller:
    distiller = keras_kd.Distiller(student, network(1), temperature=3.0, alpha=0.15)
    distiller.compile("sgd")
    return distiller


def step_loss(distiller: keras.Model, weight: float) -> float:
    """The loss of one step on fixed data with equal sample weights."""
    images = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    labels = np.arange(8) % 3
    return float(
        np.ravel(distiller.train_on_batch(images, labels, sample_weight=np.full(8, weight)))[0]
    )


def moved(distiller: keras.Model) -> float:
    """How far `evaluate` moves the student's variables."""
    images = np.random.default_rng(0).normal(3, 2, (8, 4)).astype("float32")
    distiller.train_on_batch(images, np.arange(8) % 3)
    before = [keras.ops.convert_to_numpy(variable) for variable in distiller.student.variables]
    distiller.evaluate(images, np.arange(8) % 3, verbose=0)
    return max(
        float(np.abs(keras.ops.convert_to_numpy(v) - b).max())
        for v, b in zip(distiller.student.variables, before, strict=True)
    )


def main() -> None:
    """Print the comparison."""
    rows = [("", "right", "keras.distillation", "keras_kd")]
    for temperature, right in ((1.0, 5.334700), (4.0, 10.571520)):
        default = LogitsDistillation(temperature=temperature, loss="kl_divergence").compute_loss(
            TEACHER, STUDENT
        )
        ours = keras_kd.losses.soft_target_kl(TEACHER, STUDENT, temperature)
        rows.append(
            (
                f'T²·KL at T={temperature:g}, loss="kl_divergence"',
                f"{right:.4f}",
                f"{default:.4f}",
                f"{ours:.4f}",
            )
        )
    theirs, ours = (step_loss(make(network(0)), 0.0) for make in (keras_distiller, our_distiller))
    rows.append(
        ("loss of a batch whose sample weights are 0", "0.0000", f"{theirs:.4f}", f"{ours:.4f}")
    )
    penalty = keras.regularizers.L2(1.0)
    gains = [
        step_loss(make(network(0, penalty)), 1.0) - step_loss(make(network(0)), 1.0)
        for make in (keras_distiller, our_distiller)
    ]
    right = float(np.sum(np.square(network(0).get_layer("hidden").kernel)))
    rows.append(
        (
            "what an L2 regulariser adds to the loss",
            f"{right:.4f}",
            *(f"{gain:.4f}" for gain in gains),
        )
    )
    shifts = (moved(keras_distiller(network(0), feature=True)), moved(our_distiller(network(0))))
    rows.append(
        (
            "largest change of a variable by evaluate()",
            "0.0000",
            *(f"{shift:.4f}" for shift in shifts),
        )
    )
    for row in rows:
        print(f"{row[0]:46}{row[1]:>10}{row[2]:>20}{row[3]:>12}")


if __name__ == "__main__":
    main()
