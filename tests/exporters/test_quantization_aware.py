"""Quantization-aware fine-tuning for real, in its own process, on a small network."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax

from keras_kd.errors import ConfigError, DataError, ExportError
from keras_kd.exporters import quantization_aware
from keras_kd.exporters._quantization import training_data, worker_process
from keras_kd.exporters._quantization.stage_training import Batches, distillation_loss
from keras_kd.exporters.quantization_aware import FineTuning, export_quantization_aware
from keras_kd.runtimes import litert, tflite_graph, tflite_operators
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


@pytest.mark.slow
def test_pruned_clustered_and_quantized_file_keeps_its_zeros(tmp_path):
    model, images = _network(), _images(96)
    teacher, told = model.predict(images, verbose=0), []
    report = export_quantization_aware(
        model,
        tmp_path / "model.tflite",
        images,
        teacher.argmax(1),
        teacher,
        checkpoint=tmp_path / "kept",
        fine_tuning=FineTuning(epochs=2, batch_size=16, prune=0.5, cluster=6),
        tell=told.append,
        min_agreement=0,
    )
    stages = [
        f"{stage}: epoch {epoch}/2"
        for stage in ("pruned", "clustered", "quantized")
        for epoch in (1, 2)
    ]
    assert [line.partition("  loss")[0] for line in told] == stages
    weights = _weights_of_second_convolution(report.path)
    assert (weights == 0).mean() >= 0.5
    # One scale a channel: up to six values in each.
    assert max(len(np.unique(channel)) for channel in weights) <= 7
    assert not tflite_operators.custom_or_flex(report.path)
    assert litert.LiteRTModel(report.path).predict(images).shape == (96, 3)
    assert {file.name for file in tmp_path.iterdir()} == {
        "model.tflite",
        *(
            f"kept.{stage}.{end}"
            for stage in ("pruned", "clustered", "quantized")
            for end in ("h5", "json")
        ),
    }


def test_views_meet_their_logits():
    """Images and logits both say their row and whether they are mirrored."""
    rows = np.arange(50)
    images = np.zeros((50, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0] = rows + 1
    answers = [np.stack([rows, 0 * rows + view], 1) for view in (0, 1)]
    teacher = np.stack(answers, 1).astype(np.float32)
    data = {"images": images, "labels": np.eye(50, 2, dtype=np.float32), "teacher": teacher}
    views = {"kind": "mirror", "rows": 50, "count": 8, "seed": 0}
    options = {"batch_size": 16, "seed": 3, "views": views, "pixels": {"value_range": [0, 255]}}
    batches, orders = Batches(data, options, (4, 4, 3), 0), []
    for _ in range(2):
        shown = [batches[number] for number in range(len(batches))]
        pixels, targets = (np.concatenate(parts) for parts in zip(*shown, strict=True))
        assert pixels.shape == (50, 4, 4, 3) and targets.shape == (50, 4)
        assert (pixels[:, 0, [0, 3], 0].max(axis=1) == targets[:, 2] + 1).all()
        assert ((pixels[:, 0, 3, 0] > 0) == targets[:, 3]).all()
        assert 10 < targets[:, 3].sum() < 40
        assert (targets[:, :2] == np.eye(50, 2)[targets[:, 2].astype(int)]).all()
        orders.append(targets[:, 2].tolist())
        batches.on_epoch_end()
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]) == list(range(50))


@pytest.mark.parametrize("name", ["kl", "hard"])
def test_losses_are_those_of_the_student(name):
    """The reference is numpy and scipy."""
    random = np.random.default_rng(0)
    labels, teacher, student = np.eye(3)[[0, 2, 1, 1]], *random.normal(size=(2, 4, 3))
    p, q = log_softmax(teacher / 4, 1), log_softmax(student / 4, 1)
    hard = -(labels * log_softmax(student, 1)).sum(1)
    soft = {
        "kl": 16 * (np.exp(p) * (p - q)).sum(1),
        "hard": -log_softmax(student, 1)[np.arange(4), teacher.argmax(1)],
    }[name]
    targets = np.concatenate([labels, teacher], 1).astype(np.float32)
    loss = distillation_loss({"alpha": 0.3, "beta": 0.6, "temperature": 4.0, "soft_loss": name})
    found = loss(keras.ops.convert_to_tensor(targets), keras.ops.cast(student, "float32"))
    np.testing.assert_allclose(found, 0.3 * hard + 0.6 * soft, rtol=1e-5)


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
    report = export_quantization_aware(
        student,
        tmp_path / "model.tflite",
        images,
        wanted.argmax(1),
        wanted,
        io="app",
        app_input=(12, 12, 3),
        fine_tuning=FineTuning(
            temperature=1.0, alpha=0.0, epochs=30, batch_size=32, learning_rate=3e-3
        ),
        min_agreement=0,
    )
    found = litert.LiteRTModel(report.path).predict(images)
    shares = np.exp(wanted) / np.exp(wanted).sum(axis=1, keepdims=True)
    logits = student.predict(images, verbose=0)
    start = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert before > 0
    assert np.abs(found - shares).mean() < 0.5 * np.abs(start - shares).mean()


def _foreign(kind, softmax):
    """Dilated, grouped, depthwise and separable convolutions, a shared layer, a nested model."""
    keras.utils.set_random_seed(2)
    inner = keras.Sequential(
        [
            keras.Input((12, 12, 8)),
            layers.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
        ]
    )
    shared = layers.Conv2D(8, 3, padding="same", groups=2, activation="relu", name="shared")
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same", dilation_rate=2)(layers.Rescaling(1 / 255)(image))
    x = layers.Add()([shared(inner(x)), shared(x)])
    x = layers.Conv2D(8, 3, dilation_rate=(1, 2))(layers.SeparableConv2D(8, 3)(x))
    x = layers.GlobalAveragePooling2D()(x)
    last = {
        "layer": lambda x: layers.Softmax()(layers.Dense(3)(x)),
        "dense": layers.Dense(3, "softmax"),
        "operation": lambda x: keras.ops.softmax(layers.Dense(3)(x)),
    }
    model = keras.Model(image, last[softmax](x) if softmax else layers.Dense(3)(x))
    if kind == "functional":
        return model
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            *(
                [model]
                if kind == "nested"
                else [
                    layers.Rescaling(1 / 255),
                    layers.Conv2D(8, 3, activation="relu"),
                    layers.GlobalAveragePooling2D(),
                    layers.Dense(3, "softmax" if softmax else None),
                ]
            ),
        ]
    )


SLIGHTLY = FineTuning(epochs=1, batch_size=16, learning_rate=1e-6)


@pytest.mark.parametrize(("kind", "softmax"), [
    pytest.param("functional", None, marks=pytest.mark.slow),
    pytest.param("functional", "operation", marks=pytest.mark.slow),
    pytest.param("nested", "layer", marks=pytest.mark.slow), ("sequential", "dense"),
])  # fmt: skip
def test_foreign_models_keep_their_settings_and_one_softmax(kind, softmax, tmp_path):
    model, images = _foreign(kind, softmax), _images(64)
    expected = model.predict(images, verbose=0)
    report = export_quantization_aware(
        model, tmp_path / "m.tflite", images, expected.argmax(1), fine_tuning=SLIGHTLY
    )
    file = litert.LiteRTModel(report.path)
    assert list(file.output_shapes) == ["probabilities" if softmax else "logits"]
    assert report.max_difference < 0.2
    np.testing.assert_allclose(file.predict(images), expected, atol=0.2 * np.ptp(expected))


@pytest.mark.parametrize(
    "softmax", [pytest.param(None, marks=pytest.mark.slow), "operation"], ids=str
)
def test_the_profile_of_apps_has_one_softmax_whatever_a_model_ends_in(softmax, tmp_path):
    model, images = _foreign("functional", softmax), _images(64)
    expected = model.predict(images, verbose=0)
    shares = expected if softmax else np.asarray(keras.ops.softmax(expected))
    app = export_quantization_aware(
        model, tmp_path / "app.tflite", images, expected.argmax(1), io="app",
        app_input=(12, 12, 3), fine_tuning=SLIGHTLY,
    )  # fmt: skip
    np.testing.assert_allclose(litert.LiteRTModel(app.path).predict(images), shares, atol=0.05)


def _told_apart_by_brightness():
    """A model that is right on all of its dark and bright images; and those, and their labels."""
    image = keras.Input((8, 8, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(1, 1)(layers.Rescaling(1 / 127.5, -1)(image)))
    model = keras.Model(image, layers.Dense(2)(x))
    model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1), np.array([[-3.0, 3.0]]), np.zeros(2)])
    labels = np.arange(40) % 2
    images = np.random.default_rng(0).integers(0, 100, (40, 8, 8, 1), np.uint8)
    return model, images + (150 * labels).astype(np.uint8)[:, None, None, None], labels


def test_fine_tuning_that_spoils_answers_is_refused_by_their_share(tmp_path):
    model, images, labels = _told_apart_by_brightness()
    spoilt = np.broadcast_to(np.float32([9, -9]), (40, 2))  # a teacher that knows one class
    settings = FineTuning(alpha=0.0, epochs=20, batch_size=8, learning_rate=0.1)
    with pytest.raises(
        ExportError,
        match=r"qat file predicts .* on 50.0 % of 40 .* 97 % .*100.0 %.*--min-agreement",
    ):
        export_quantization_aware(
            model, tmp_path / "m.tflite", images, labels, spoilt, fine_tuning=settings
        )
    assert not list(tmp_path.iterdir())


def test_fine_tuning_that_mends_answers_is_kept(tmp_path):
    model, images, labels = _told_apart_by_brightness()
    settings = FineTuning(epochs=20, batch_size=8, learning_rate=0.1)
    report = export_quantization_aware(
        model, tmp_path / "m.tflite", images, 1 - labels, fine_tuning=settings
    )
    assert report.answers.same < 0.97
    assert report.answers.accuracy > report.answers.keras_accuracy == 0


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


def test_programs_of_the_earlier_spelling_still_run():
    assert quantization_aware.export_quantisation_aware is export_quantization_aware


def test_int8_input_is_refused(tmp_path):
    with pytest.raises(ExportError, match="offers io='float' or 'app'"):
        export_quantization_aware(
            _network(), tmp_path / "m.tflite", _images(4), np.zeros(4, int), io="int8"
        )


def test_data_of_different_numbers_is_refused(tmp_path):
    arguments = (_network(), tmp_path / "m.tflite", _images(4), np.zeros(4, int))
    with pytest.raises(DataError, match="Received: 4 images, 4 labels, 3 logits"):
        export_quantization_aware(*arguments, np.zeros((3, 3), np.float32))
    with pytest.raises(DataError, match="of 3 views, but 2 are given"):
        export_quantization_aware(*arguments, np.zeros((4, 3, 3), np.float32), Views("mirror", 4))


def test_the_converters_reason_names_the_layer():
    """What TensorFlow 2.21 said of DenseNet's pooling, shortened."""
    said = (
        'ConverterError: <unknown>:0: error: loc(callsite(fused["AvgPool:", '
        '"model/quant_twin_17_pool2_pool/AvgPool@__inference_serve_1"] at "x")): '
        "'tfl.average_pool_2d' op quantization parameters violate the same scale constraint\n"
        '<unknown>:0: note: loc(fused["StatefulPartitionedCall:"]): called from\n'
    )
    told = "layer pool2_pool: quantization parameters violate the same scale constraint"
    assert worker_process._reason(said) == told
    assert worker_process._reason("Traceback\nValueError: no\n") == "ValueError: no"


def _refused(labels, teacher, tmp_path):
    with pytest.raises((ExportError, DataError)) as refused:
        export_quantization_aware(_network(), tmp_path / "m.tflite", _images(4), labels, teacher)
    assert not list(tmp_path.iterdir())
    return str(refused.value)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([1, 2, 3, 1], "Label 3 is none of the 3 classes"),
        ([0, 1, -1, 2], "Label -1 is none of the 3 classes"),
        ([0.0, 1.0, 2.0, 1.0], "Labels must be whole numbers"),
        (np.full((4, 3), 0.5), "each row must sum to 1"),
    ],
)
def test_labels_of_no_class_are_refused(labels, told, tmp_path):
    assert told in _refused(np.array(labels), None, tmp_path)


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        (np.zeros((4, 5)), "as small gives 3 classes. Received: (4, 5)"),
        (np.array([[0.1, 0.8, 0.4]] * 4), "If they are logits, say so by teacher_output='logits'"),
        (np.array([[0, 1, np.nan]] * 4), "hold NaN or infinity"),
    ],
)
def test_a_teachers_numbers_that_are_no_logits_are_refused(teacher, told, tmp_path):
    assert told in _refused(np.zeros(4, int), teacher.astype(np.float32), tmp_path)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_teachers_probabilities_are_learnt_from_as_logits(dtype):
    """The softmax of what is learnt from is what the teacher gave."""
    shares = np.array([[1, 0, 0], [0.2, 0.5, 0.3]], dtype)
    with pytest.warns(UserWarning, match="gives probabilities p, not logits"):
        logits = training_data.teacher_logits_of_classes(shares, _network(), None)
    found = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, shares.astype("float64"), rtol=1e-3, atol=1e-11)
    stated = training_data.teacher_logits_of_classes(shares, _network(), "logits")
    np.testing.assert_array_equal(stated, shares)
