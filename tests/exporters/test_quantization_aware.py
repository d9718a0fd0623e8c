"""Quantisation-aware fine-tuning for real, in its own process, on a small network."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.errors import ConfigError, DataError, ExportError
from keras_kd.exporters.quantization_aware import FineTuning, describe, export_quantisation_aware
from keras_kd.runtimes import litert, tflite_graph
from keras_kd.teachers.views import Views


def _network():
    keras.utils.set_random_seed(4)
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same")(layers.Rescaling(1 / 127.5, -1)(image))
    x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(16, 3, strides=2)(layers.ZeroPadding2D()(layers.Multiply()([x, gate])))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="small")


def _images(count):
    coarse = np.random.default_rng(6).integers(0, 256, (count, 3, 3, 3), np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def _weights_of_second_convolution(path):
    convolutions = [operator for operator in tflite_graph.read(path) if operator.name == "CONV_2D"]
    weights = next(
        operator.inputs[1] for operator in convolutions if operator.inputs[1].shape == (16, 3, 3, 8)
    )
    return np.frombuffer(weights.values.tobytes(), np.int8).reshape(weights.shape)


def test_pruned_clustered_and_quantised_file_keeps_its_zeros(tmp_path):
    model, images = _network(), _images(96)
    teacher, told = model.predict(images, verbose=0), []
    report = export_quantisation_aware(
        model, tmp_path / "model.tflite", images, teacher.argmax(1), teacher, checkpoint=tmp_path / "kept",
        fine_tuning=FineTuning(epochs=2, batch_size=16, prune=0.5, cluster=6), tell=told.append,
    )  # fmt: skip
    stages = [
        f"{stage}: epoch {epoch}/2"
        for stage in ("pruned", "clustered", "quantised")
        for epoch in (1, 2)
    ]
    assert [line.partition("  loss")[0] for line in told] == stages
    weights = _weights_of_second_convolution(report.path)
    assert (weights == 0).mean() >= 0.5
    # One scale a channel: up to six values in each.
    assert max(len(np.unique(channel)) for channel in weights) <= 7
    assert not litert.custom_or_flex(report.path)
    assert litert.LiteRTModel(report.path).predict(images).shape == (96, 3)
    assert {file.name for file in tmp_path.iterdir()} == {
        "model.tflite",
        *(
            f"kept.{stage}.{end}"
            for stage in ("pruned", "clustered", "quantised")
            for end in ("h5", "json")
        ),
    }


def test_every_image_meets_the_logits_of_the_view_that_is_shown():
    """Images and logits both say their row and whether they are mirrored; in a process of its own,
    as the worker.
    """
    code = """if True:
        import numpy as np
        from keras_kd.exporters._quantization_worker import Batches
        rows = np.arange(50)
        images = np.zeros((50, 4, 4, 1), np.uint8)
        images[:, 0, 0, 0] = rows + 1
        teacher = np.stack([np.stack([rows, 0 * rows], 1), np.stack([rows, 0 * rows + 1], 1)], 1).astype(np.float32)
        data = {"images": images, "labels": np.eye(50, 2, dtype=np.float32), "teacher": teacher}
        views = {"kind": "mirror", "rows": 50, "count": 8, "seed": 0}
        batches = Batches(data, {"batch_size": 16, "seed": 3, "views": views}, (4, 4, 3), 0)
        for _ in range(2):
            shown = [batches[number] for number in range(len(batches))]
            pixels, targets = (np.concatenate(parts) for parts in zip(*shown))
            assert pixels.shape == (50, 4, 4, 3) and targets.shape == (50, 4)
            assert (pixels[:, 0, [0, 3], 0].max(axis=1) == targets[:, 2] + 1).all()
            assert ((pixels[:, 0, 3, 0] > 0) == targets[:, 3]).all() and 10 < targets[:, 3].sum() < 40
            assert (targets[:, :2] == np.eye(50, 2)[targets[:, 2].astype(int)]).all()
            print(*targets[:, 2].astype(int))
            batches.on_epoch_end()
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = (line.split() for line in done.stdout.splitlines())
    assert first != second and sorted(map(int, first)) == sorted(map(int, second)) == list(
        range(50)
    )


@pytest.mark.slow
def test_fine_tuning_on_a_teacher_comes_closer_to_it(tmp_path):
    teacher, images = _network(), _images(256)
    wanted = teacher.predict(images, verbose=0)
    student = _network()
    random = np.random.default_rng(1)
    student.set_weights(
        [weight + random.normal(0, 0.05, weight.shape) for weight in student.get_weights()]
    )
    before = np.abs(student.predict(images, verbose=0) - wanted).mean()
    report = export_quantisation_aware(
        student, tmp_path / "model.tflite", images, wanted.argmax(1), wanted, io="app", app_input=(12, 12, 3),
        fine_tuning=FineTuning(temperature=1.0, alpha=0.0, epochs=30, batch_size=32, learning_rate=3e-3),
    )  # fmt: skip
    found = litert.LiteRTModel(report.path).predict(images)
    shares = np.exp(wanted) / np.exp(wanted).sum(axis=1, keepdims=True)
    logits = student.predict(images, verbose=0)
    start = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert before > 0
    assert np.abs(found - shares).mean() < 0.5 * np.abs(start - shares).mean()


def test_layers_without_twin_are_refused():
    image = keras.Input((8, 8, 3))
    model = keras.Model(
        image, layers.GlobalAveragePooling2D()(layers.GaussianNoise(0.1)(image)), name="odd"
    )
    with pytest.raises(
        ExportError, match="of odd is a GaussianNoise, which can't be quantised in training"
    ):
        describe(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prune": 1.5}, "prune must be between 0 and 1. Received: prune=1.5"),
        ({"cluster": 1}, "cluster must be 2 or more"),
        ({"epochs": 0}, "epochs must be 1 or more"),
    ],
)
def test_bad_options_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FineTuning(**arguments)


def test_int8_input_is_refused(tmp_path):
    with pytest.raises(ExportError, match="offers io='float' or 'app'"):
        export_quantisation_aware(
            _network(), tmp_path / "m.tflite", _images(4), np.zeros(4, int), io="int8"
        )


def test_data_of_different_numbers_is_refused(tmp_path):
    arguments = (_network(), tmp_path / "m.tflite", _images(4), np.zeros(4, int))
    with pytest.raises(DataError, match="Received: 4 images, 4 labels, 3 logits"):
        export_quantisation_aware(*arguments, np.zeros((3, 3), np.float32))
    with pytest.raises(DataError, match="of 3 views, but 2 are given"):
        export_quantisation_aware(*arguments, np.zeros((4, 3, 3), np.float32), Views("mirror", 4))
