"""Images a second of one distillation step: this library, Keras' own, plain torch, and the student
without a teacher.

    .venv/bin/python benchmarks/throughput.py [--students A B C] [--rounds 5] [--steps 8] [--torch]

All contenders see the same images, batch size, teacher (ResEmoteNet) and student, in float32, in
turns within one process; figures are medians over the rounds, ratios are medians of the ratios
within a round. Prints Markdown.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_kd
from keras_kd._common import hardware
from keras_kd.models.spec import ModelSpec
from keras_kd.models.surgery.batch_norm import fused
from keras_kd.runtimes import predictors
from keras_kd.teachers.views import Views
from keras_kd.training.batches import TrainingBatches

logging.getLogger("tensorflow").setLevel(logging.ERROR)
BATCH = 128
FER2013_IMAGES = 28_709
EPOCHS = 80
OURS, KERAS, TORCH, ALONE = "keras_kd", "keras.distillation", "torch", "student alone"

Contender = Callable[[int], None]  # trains so many steps


def ours(name: str, images: np.ndarray, labels: np.ndarray) -> Contender:
    """What `kerakd distill` does in a step: compact student, stored logits of two views."""
    student = fused(keras_kd.compact(keras_kd.models.build(name, seed=0)))
    distiller = keras_kd.Distiller(student)
    distiller.compile(keras.optimizers.SGD(0.01, 0.9), metrics=["accuracy"])
    logits = np.random.default_rng(0).normal(size=(len(images), 2, 7)).astype(np.float16)
    batches = TrainingBatches(images, labels, Views("mirror", len(images)), BATCH, 0, logits)
    return lambda steps: distiller.fit(
        batches.from_step(0, 0), steps_per_epoch=steps, verbose=0, shuffle=False
    )


def keras_own(name: str, images: np.ndarray, labels: np.ndarray, teacher: keras.Model) -> Contender:
    """keras.distillation in its only correct form."""
    distiller = keras.distillation.Distiller(
        teacher=teacher,
        student=keras_kd.models.build(name, seed=0),
        distillation_losses=keras.distillation.LogitsDistillation(
            temperature=3.0, loss=keras.losses.KLDivergence()
        ),
        student_loss_weight=0.15,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.SGD(0.01, 0.9), loss=loss, metrics=["accuracy"])
    return _on_arrays(distiller, images, labels)


def alone(name: str, images: np.ndarray, labels: np.ndarray) -> Contender:
    """The student of the published shape, trained on labels as any Keras model."""
    student = keras_kd.models.build(name, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.SGD(0.01, 0.9), loss=loss, metrics=["accuracy"])
    return _on_arrays(student, images, labels)


def _on_arrays(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Contender:
    return lambda steps: model.fit(
        images[: steps * BATCH], labels[: steps * BATCH], batch_size=BATCH, verbose=0
    )


def torch_loop(name: str, images: np.ndarray, labels: np.ndarray) -> Contender:
    """A plain loop in torch on the same architecture, written for the tests from its
    description.
    """
    import sys

    import torch

    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests"))
    from torch_reference import ResEmoteNet

    divisor = {"A": 2, "B": 4, "C": 8}[name]
    teacher, student = ResEmoteNet(1).eval(), ResEmoteNet(divisor).train()
    optimizer = torch.optim.SGD(student.parameters(), 0.01, 0.9)
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    targets = torch.from_numpy(labels)

    def train(steps: int) -> None:
        for step in range(steps):
            rows = slice(step * BATCH, (step + 1) * BATCH)
            x = pixels[rows].float() / 255
            with torch.no_grad():
                soft = torch.softmax(teacher(x) / 3, 1)
            logits = student(x)
            kl = torch.nn.functional.kl_div(
                torch.log_softmax(logits / 3, 1), soft, reduction="batchmean"
            )
            loss = 0.15 * torch.nn.functional.cross_entropy(logits, targets[rows]) + 0.85 * 9 * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return train


def raced(contenders: dict[str, Contender], steps: int, rounds: int) -> dict[str, list[float]]:
    """Images a second of each contender in each round, in turns; a first round of warming up is
    left out.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, train in contenders.items():
            start = time.perf_counter()
            train(steps)
            if number:
                rates[name].append(steps * BATCH / (time.perf_counter() - start))
    return rates


def _ratio(left: list[float], right: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(left, right, strict=True))


def teacher_pass(teacher: keras.Model, images: np.ndarray, rounds: int) -> tuple[float, float]:
    """Images a second of our pass over stored views, and its ratio to `model.predict` of the
    published shape.
    """
    spec = ModelSpec(input_shape=(64, 64, 3))
    small = predictors.KerasPredictor(teacher, spec, "auto")
    views = Views("mirror", len(images))
    some = images[:1024]
    rows, numbers = np.arange(512).repeat(2), np.tile([0, 1], 512)
    contenders: dict[str, Contender] = {
        "ours": lambda steps: small.logits(views.show(images, rows, numbers)),
        "predict": lambda steps: teacher.predict(some, batch_size=BATCH, verbose=0),
    }
    rates = raced(contenders, 1024 // BATCH, rounds)
    return statistics.median(rates["ours"]), _ratio(rates["ours"], rates["predict"])


def feed_rate(images: np.ndarray, labels: np.ndarray, kind: str) -> float:
    """Images a second that the input path gives when nothing eats them."""
    batches = TrainingBatches(images, labels, Views(kind, len(images)), BATCH, 0).from_step(0, 0)
    next(batches)
    start = time.perf_counter()
    for _ in range(50):
        next(batches)
    return 50 * BATCH / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--students", nargs="*", default=["A", "B", "C"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument(
        "--torch", action="store_true", help="also race a plain torch loop (needs torch)"
    )
    given = parser.parse_args()
    keras_kd.tune_allocator()
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2048, 64, 64, 3), dtype=np.uint8)
    labels = random.integers(0, 7, len(images))
    teacher = keras_kd.models.build("resemotenet", seed=0)
    print(
        f"{hardware.describe()}; batch {BATCH}, float32, {given.rounds} rounds of {given.steps}"
        " steps\n"
    )
    rate, ratio = teacher_pass(teacher, images, given.rounds)
    once = 2 * FER2013_IMAGES / rate
    lines = [
        "| student | contender | images/s | keras_kd ahead by | 80 epochs of FER2013, once"
        " included |"
    ]
    lines.append("| --- | --- | ---: | ---: | ---: |")
    for name in given.students:
        contenders = {
            OURS: ours(name, images, labels),
            KERAS: keras_own(name, images, labels, teacher),
        }
        if given.torch:
            contenders[TORCH] = torch_loop(name, images, labels)
        contenders[ALONE] = alone(name, images, labels)
        rates = raced(contenders, given.steps, given.rounds)
        total = once + EPOCHS * FER2013_IMAGES / statistics.median(rates[OURS])
        for contender, measured in rates.items():
            other = EPOCHS * FER2013_IMAGES / statistics.median(measured)
            ahead = "" if contender == OURS else f"{_ratio(rates[OURS], measured):.2f}"
            whole = "" if contender == OURS else f"{other / total:.2f}"
            lines.append(
                f"| {name} | {contender} | {statistics.median(measured):,.0f} | {ahead} | {whole} |"
            )
        epoch = FER2013_IMAGES * (
            1 / statistics.median(rates[KERAS]) - 1 / statistics.median(rates[OURS])
        )
        lines.append(f"| {name} | | | | ahead of {KERAS} from epoch {int(once / epoch) + 1} on |")
    print("\n".join(lines))
    print(
        f"\nTeacher's pass over two views: {rate:,.0f} images/s, {ratio:.2f} times `predict` of the"
        " published shape;"
    )
    print(f"FER2013's 28,709 images take {once:,.0f} s, once.")
    for kind in ("mirror", "crops,mirror,jitter"):
        for colour, shown in (("RGB", images), ("gray", images[..., :1])):
            print(
                f"Input path alone, {colour}, views {kind}: {feed_rate(shown, labels, kind):,.0f}"
                " images/s."
            )


if __name__ == "__main__":
    main()
