"""A Distiller's settings, files and losses of one's own."""

from __future__ import annotations

import io
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import rel_entr, softmax
from small_students import IMAGES, LABELS, LOGITS, compiled, deep, linear
from test_distiller_entries import ending, first_step, refusal, subclassed
from test_distiller_heads import convolved

from keras_kd.distiller import Distiller, FeatureMatch
from keras_kd.errors import ConfigError, DataError, ModelError, OutputError


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"temperature": "3"}, "temperature must be a number"),
        ({"alpha": True}, "alpha must be a number"),
        ({"beta": [1]}, "beta must be a number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"features": ["conv"]}, "keras_kd.FeatureMatch objects"),
    ],
)
def test_settings_of_another_type_are_refused(options, fact):
    refusal(lambda: Distiller(convolved(0, 2), convolved(1, 2), **options), ConfigError, fact)


@pytest.mark.parametrize(
    "options", [{"loss": "mse"}, {"loss": "nonsense"}, {"loss_weights": [1.0]}]
)
def test_compile_takes_no_loss(options):
    refusal(
        lambda: Distiller(linear()).compile("sgd", **options),
        ConfigError,
        "no loss",
        next(iter(options)),
    )


def test_weights_that_are_all_0_are_refused_unless_something_else_is_learnt():
    refusal(
        lambda: Distiller(linear(), linear(1), alpha=0, beta=0).compile("sgd"),
        ConfigError,
        "Nothing would be learnt",
        "alpha=0, beta=0",
    )
    Distiller(linear(), alpha=0.1, beta=0).compile("sgd")
    student, teacher = convolved(0, 2), convolved(1, 2)
    match = FeatureMatch(student.layers[-2].name, teacher.layers[-2].name, "hint")
    Distiller(student, teacher, alpha=0, beta=0, features=match).compile("sgd")


def test_compile_takes_no_losses_of_the_keras_example():
    refusal(
        lambda: Distiller(linear()).compile("sgd", student_loss_fn="mse", temperature=10),
        ConfigError,
        "takes no student_loss_fn, temperature:",
        "Distiller(student, teacher, temperature=",
    )


def test_names_of_metrics_are_those_that_evaluate_gives():
    for metrics in (
        ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")],
        None,
    ):
        distiller = compiled(linear(), linear(1), metrics=metrics)
        distiller.fit(IMAGES, LABELS, verbose=0)
        values = distiller.evaluate(IMAGES, LABELS, verbose=0)
        named = distiller.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
        assert [named[name] for name in distiller.metrics_names] == pytest.approx(
            np.ravel(values).tolist()
        )
        assert set(named) == set(distiller.metrics_names)


def test_the_best_epochs_file_is_the_student(tmp_path):
    path, weights = tmp_path / "best.keras", tmp_path / "best.weights.h5"
    student = linear()
    callbacks = [
        keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True),
        keras.callbacks.ModelCheckpoint(
            weights, monitor="val_loss", save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, restore_best_weights=True),
    ]
    distiller = compiled(student, linear(1), keras.optimizers.SGD(0.01))
    distiller.fit(
        IMAGES, LABELS, epochs=3, validation_data=(IMAGES, LABELS), callbacks=callbacks, verbose=0
    )
    logits = student.predict(IMAGES, verbose=0)
    again = linear(5)
    again.load_weights(weights)
    for found in (keras.models.load_model(path), again):
        np.testing.assert_allclose(found.predict(IMAGES, verbose=0), logits, atol=1e-6)
    other = Distiller(linear(7))
    other.load_weights(weights)
    np.testing.assert_array_equal(other.student.get_weights()[0], student.get_weights()[0])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best.keras", "best.weights.h5"]
    refusal(lambda: distiller.save(path, overwrite=False), OutputError, "exists")
    refusal(lambda: distiller.save(tmp_path / "best"), OutputError, ".keras")


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("with_features", [False, True])
def test_a_backup_continues_to_the_bit(tmp_path, with_features):
    """Momenta, a schedule, dropout's random numbers and projections, against an unbroken run."""

    def made():
        keras.utils.set_random_seed(3)
        schedule = keras.optimizers.schedules.CosineDecay(0.05, 12)
        student, teacher = (convolved(0, 2), convolved(1, 5)) if with_features else (deep(), None)
        options = {"features": FeatureMatch("maps", "maps")} if with_features else {"beta": 0.0}
        return compiled(student, teacher, keras.optimizers.Adam(schedule), **options)

    def trained(*callbacks):
        distiller = made()
        run = {"batch_size": 8, "epochs": 4, "shuffle": False, "verbose": 0}
        try:
            distiller.fit(IMAGES, LABELS, callbacks=list(callbacks), **run)
        except KeyboardInterrupt:
            return None
        return distiller

    whole = trained()
    assert trained(keras.callbacks.BackupAndRestore(tmp_path / "backup"), Stop()) is None
    again = trained(keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    assert int(again.optimizer.iterations) == 12
    for found, expected in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_weights_of_another_training_are_the_students_with_a_warning(tmp_path):
    distiller = compiled(linear(), linear(1), keras.optimizers.Adam())
    distiller.fit(IMAGES, LABELS, verbose=0)
    distiller.save_weights(tmp_path / "a.weights.h5")
    other = compiled(linear(5), linear(1), keras.optimizers.SGD(0.1))
    other.optimizer.build(other.trainable_variables)
    with pytest.warns(UserWarning, match="optimizer of another training"):
        other.load_weights(tmp_path / "a.weights.h5")
    expected = distiller.student.get_weights()
    for found, weights in zip(other.student.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, weights)
    assert float(other.optimizer.learning_rate) == pytest.approx(0.1)


def test_an_optimizer_that_starts_anew_is_told(tmp_path):
    def trained(path=None, build=False):
        distiller = compiled(linear(), linear(1), keras.optimizers.Adam(0.05))
        if build:
            distiller.optimizer.build(distiller.trainable_variables)
        if path:
            distiller.load_weights(path)
        distiller.fit(IMAGES, LABELS, shuffle=False, verbose=0)
        return distiller

    once = trained()
    path = tmp_path / "a.weights.h5"
    once.save_weights(path)
    once.fit(IMAGES, LABELS, shuffle=False, verbose=0)
    with pytest.warns(UserWarning, match=r"starts anew.*optimizer.build"):
        trained(path)
    again = trained(path, build=True)
    for found, expected in zip(again.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Distiller(linear()).load_weights(path)  # Nothing is to be trained.


def test_a_student_that_can_not_be_saved_leaves_no_file(tmp_path):
    class Own(layers.Layer):
        def __init__(self, what):
            super().__init__()
            self.what = what

        def call(self, x):
            return x

    student = keras.Sequential(
        [keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3), Own(object())]
    )
    refusal(
        lambda: Distiller(student).save(tmp_path / "best.keras"),
        ModelError,
        "can't be saved",
        "save_weights",
    )
    assert not list(tmp_path.iterdir())


def test_files_of_other_runtimes_are_left_to_the_export(tmp_path):
    for write in (Distiller(linear()).save, Distiller(linear()).export):
        refusal(
            lambda: write(tmp_path / "best.tflite"),  # noqa: B023
            OutputError,
            "best.tflite",
            "keras_kd.export(distiller.student,",
        )
    assert not list(tmp_path.iterdir())


def test_settings_survive_get_config():
    distiller = Distiller(
        convolved(0, 2),
        convolved(1, 5),
        temperature=2.0,
        alpha=0.3,
        beta=1.5,
        class_weights={1: 2.0},
        soft_loss="dist",
        features=[FeatureMatch("maps", "maps", "attention", 3.0)],
        seed=4,
        weights_normalised=True,
    )
    config = distiller.get_config()
    again = Distiller.from_config(config, teacher=convolved(1, 5))
    assert again.get_config() == config | {"student": again.get_config()["student"]}
    assert again.student.count_params() == distiller.student.count_params()
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(distiller))
    assert (restored.temperature, restored.beta, restored.teacher) == (2.0, 1.5, None)


@pytest.mark.parametrize("features", [(), FeatureMatch("maps", "maps")])
def test_a_saved_distiller_has_the_student_without_its_teacher(features, tmp_path):
    student, teacher = convolved(0, 2), convolved(1, 2)
    distiller = Distiller(student, teacher, temperature=3.0, features=features)
    distiller.compile("sgd")
    distiller.fit(IMAGES, LABELS, verbose=0)
    path = tmp_path / "distiller.keras"
    keras.saving.save_model(distiller, path)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("model.weights.h5")
    kernels = [weight for weight in teacher.get_weights() if weight.ndim > 1]
    with h5py.File(io.BytesIO(content)) as file:
        stored: list[np.ndarray] = []
        file.visititems(
            lambda _, one: stored.append(np.array(one)) if hasattr(one, "shape") else None
        )
    assert stored and not any(np.array_equal(one, kernel) for one in stored for kernel in kernels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.saving.load_model(path)
    assert loaded.temperature == 3.0 and loaded.teacher is None
    np.testing.assert_array_equal(
        loaded.student.predict(IMAGES, verbose=0), student.predict(IMAGES, verbose=0)
    )
    # Keras would take it for compiled, and fail for want of an optimizer.
    with pytest.raises(ValueError, match=r"call `compile\(\)`"):
        loaded.fit(IMAGES, {"label": LABELS, "teacher": LOGITS}, verbose=0)
    loaded.compile("sgd")
    with pytest.raises(ModelError, match="No teacher to learn from: give Distiller a teacher"):
        loaded.fit(IMAGES, LABELS, verbose=0)
    loaded.fit(IMAGES, {"label": LABELS, "teacher": LOGITS}, verbose=0)


@pytest.mark.parametrize("trainable", [True, False])
def test_a_batch_normalisation_of_both_models_is_refused_unless_it_is_frozen(trainable):
    shared = layers.BatchNormalization(center=False, scale=False, trainable=trainable)
    image = keras.Input((4, 4, 1))
    student, teacher = (
        keras.Model(image, layers.Dense(3)(layers.Flatten()(shared(image)))) for _ in range(2)
    )
    if trainable:
        refusal(lambda: compiled(student, teacher), ModelError, "share weights", "moving_mean")
        return
    before = teacher.predict(IMAGES, verbose=0)
    compiled(student, teacher).fit(IMAGES, LABELS, verbose=0)
    np.testing.assert_array_equal(teacher.predict(IMAGES, verbose=0), before)


def test_a_loss_of_ones_own_is_learnt():
    def squared(labels, teacher, student, temperature):
        return keras.ops.sum((teacher - student) ** 2, axis=-1)

    logits = linear().predict(IMAGES, verbose=0)
    distiller = compiled(linear(), soft_loss=squared)
    logs, _ = first_step(distiller, {"label": LABELS, "teacher": LOGITS})
    assert logs["soft_loss"] == pytest.approx(((LOGITS - logits) ** 2).sum(-1).mean(), rel=1e-5)
    refusal(distiller.get_config, ConfigError, "entry point")
    refusal(lambda: Distiller(linear(), soft_loss="kl(weight=2)"), ConfigError, "settings none")


def test_several_teachers_teach_their_weighed_mean_of_logits():
    """At T the geometric mean of their softened distributions, normalised."""
    teachers = [linear(1), ending(linear(2), layers.Softmax()), linear(3)]
    logits = [linear(seed).predict(IMAGES, verbose=0).astype(float) for seed in (1, 2, 3)]
    shares = np.array([1, 2, 5]) / 8
    product = np.prod(
        [softmax(z / 3, -1) ** share for z, share in zip(logits, shares, strict=True)], axis=0
    )
    p = product / product.sum(-1, keepdims=True)
    q = softmax(linear().predict(IMAGES, verbose=0) / 3, -1)
    with pytest.warns(UserWarning, match="gives probabilities p"):
        distiller = compiled(linear(), teachers, teacher_weights=[1, 2, 5])
    logs, _ = first_step(distiller, LABELS)
    assert logs["soft_loss"] == pytest.approx(9 * rel_entr(p, q).sum(-1).mean(), rel=1e-4)
    assert len(distiller.trainable_variables) == 2
    equal = first_step(compiled(linear(), [linear(1), linear(1)]), LABELS)[0]["soft_loss"]
    assert equal == pytest.approx(
        first_step(compiled(linear(), linear(1)), LABELS)[0]["soft_loss"], rel=1e-5
    )
    for weights in ([1], [0, 0], [1, -1]):
        refusal(
            lambda w=weights: Distiller(linear(), [linear(1), linear(2)], teacher_weights=w),
            ConfigError,
            "teacher_weight",
        )


def test_a_subclassed_teacher_of_probabilities_is_told_in_a_data_set_too():
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8)
    distiller = compiled(linear(), subclassed("softmax"))
    refusal(lambda: distiller.fit(data, verbose=0), DataError, "are probabilities")


def test_each_variable_has_a_path_of_its_own():
    distiller = compiled(linear(), [linear(1), linear(2)])
    names = distiller.get_state_tree()["metrics_variables"]["same_answers"]
    assert {name for name in names if name.startswith("first")} == {
        f"first_{number}_0"
        for number in range(3)  # the third is of stored outputs
    }


def test_its_repr_is_one_line():
    distiller = Distiller(linear(), linear(1), temperature=2)
    student, teacher = distiller.student.name, distiller.teacher.name
    assert (
        repr(distiller)
        == f"<Distiller of {student}, taught by {teacher}: temperature=2, alpha=0.15, beta=0.85>"
    )


def test_a_data_set_that_can_be_indexed_is_not_read_whole():
    class Batches(keras.utils.PyDataset):
        asked = 0

        def __len__(self):
            return 1000

        def __getitem__(self, index):
            type(self).asked += 1
            return IMAGES[:8], LABELS[:8]

    compiled(linear(), subclassed()).fit(Batches(), steps_per_epoch=2, verbose=0)
    assert Batches.asked < 50
