"""Train a student on several hosts, each with its part of every batch: Keras' distribution API on
JAX (extra jax).

On every host, with the address of host 0 and the host's own number:

    export KERAS_BACKEND=jax KERAS_DISTRIBUTION_JOB_ADDRESSES=HOST0:1234
    export KERAS_DISTRIBUTION_NUM_PROCESSES=2 KERAS_DISTRIBUTION_PROCESS_ID=0
    .venv/bin/python benchmarks/several_hosts.py --data fer2013.csv --soft-labels STORE --student C
    --out student.keras

STORE is what `kerakd teach --soft-labels STORE` makes. Gradients, batch normalisation and dropout
are those of the joined batch, so the student is that of one host with this batch, but for rounding.
Without these addresses the devices of this host share the batch. Host 0 writes the student, for
`kerakd evaluate` and `kerakd export`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import Distiller, compact, expand, models
from keras_kd.datasets import splits
from keras_kd.models import keras_file
from keras_kd.teachers import soft_labels
from keras_kd.teachers.soft_labels import Key, image_fingerprint
from keras_kd.teachers.views import named
from keras_kd.training import optimizers, scores
from keras_kd.training.batches import TrainingBatches


def main() -> None:
    given = _arguments()
    if keras.backend.backend() != "jax":
        raise SystemExit(
            "Set KERAS_BACKEND=jax: on other backends Keras' distribution trains on one device."
        )
    if "KERAS_DISTRIBUTION_JOB_ADDRESSES" in os.environ:
        keras.distribution.initialize()
    # Each process brings its own part of a batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    hosts = int(os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", 1))
    host = int(os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", 0))
    devices = len(keras.distribution.list_devices())
    if given.batch_size % devices:
        raise SystemExit(
            f"--batch-size must be a multiple of {devices}, the devices. Received:"
            f" {given.batch_size}."
        )

    data = splits.load(given.data, size=given.image_size)
    batches = _batches(data, given)
    student = compact(
        models.build(given.student, len(data.class_names), data.image_shape, seed=given.seed)
    )
    distiller = Distiller(student, temperature=given.temp, alpha=given.alpha)
    optimizer = optimizers.sgd(
        "cosine", given.learning_rate, 1e-4, batches.steps * given.epochs, clip_norm=1.0
    )
    distiller.compile(optimizer, metrics=scores.metrics(None))
    distiller.fit(
        _part(batches.from_step(0, 0), hosts, host),
        steps_per_epoch=batches.steps,
        epochs=given.epochs,
        shuffle=False,
        verbose=2 if host == 0 else 0,
    )
    # On every host: JAX compares a new variable's values between them.
    published = expand(student)
    if host == 0:
        keras_file.save(
            published,
            given.out,
            keras_file.ModelSpec(data.class_names, input_shape=data.image_shape),
        )


def _batches(data: splits.Data, given: argparse.Namespace) -> TrainingBatches:
    """Batches of the data with the stored logits that belong to it."""
    train = data.train
    names = soft_labels.open_store(given.soft_labels).key.views
    store = soft_labels.open_store(
        given.soft_labels, Key("", image_fingerprint(train.images), names, data.class_names)
    )
    logits = store.logits[..., : len(data.class_names)]
    return TrainingBatches(
        train.images, train.labels, named(names, len(train)), given.batch_size, given.seed, logits
    )


def _part(batches: Iterator[Any], hosts: int, host: int) -> Iterator[Any]:
    """This host's rows of every batch."""
    for batch in batches:
        yield keras.tree.map_structure(lambda rows: np.split(rows, hosts)[host], batch)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--soft-labels", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="STUDENT.keras")
    parser.add_argument("--student", default="C")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--temp", type=float, default=3.0)
    parser.add_argument("--alpha", type=float, default=0.15)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128, help="of all hosts together")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
