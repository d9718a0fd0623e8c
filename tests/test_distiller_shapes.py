"""The shapes of labels, teacher's outputs and weights, against NumPy and in refusals."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from scipy.special import log_softmax, softmax
from small_students import IMAGES, LABELS, LOGITS, RANDOM, WEIGHTS, compiled, linear
from test_distiller_entries import refusal
from test_distiller_heads import Y, joint

from keras_kd.distiller import FeatureMatch
from keras_kd.errors import ConfigError, DataError, ModelError

PIXEL_LABELS = RANDOM.integers(0, 3, (24, 4, 4))


class Batches(keras.utils.PyDataset):
    """One batch, as a user's own data set gives it."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.parts


def data_sets(*parts):
    """The same batch in every form that Keras takes, as arguments of `fit`."""
    yield dict(zip(("x", "y", "sample_weight"), parts, strict=False), batch_size=24)
    yield {"x": tf.data.Dataset.from_tensor_slices(parts).batch(24)}
    yield {"x": Batches(*parts)}


def mapped(size=1, seed=0):
    """Logits (N, size, size, 3) of each pixel, or of the mean pixel."""
    image = keras.Input((4, 4, 1))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x) if size == 1 else x
    kernel = keras.initializers.RandomNormal(stddev=1.0, seed=seed)
    return keras.Model(image, layers.Conv2D(3, 1, kernel_initializer=kernel)(x))


def still(student, teacher=None, **options):
    """A Distiller whose fit leaves the student as it is."""
    return compiled(student, teacher, keras.optimizers.SGD(0.0), **options)


def losses_of(distiller, *parts, **data):
    given = data or next(data_sets(*parts))
    history = distiller.fit(**given, verbose=0).history
    return {name: values[0] for name, values in history.items()}


def cross_entropy(labels, logits):
    return -np.take_along_axis(log_softmax(logits.astype(float), -1), labels[..., None], -1)[..., 0]


def divergence(teacher, logits, temperature):
    log_p = log_softmax(teacher.astype(float) / temperature, -1)
    log_q = log_softmax(logits.astype(float) / temperature, -1)
    return temperature**2 * (np.exp(log_p) * (log_p - log_q)).sum(-1)


@pytest.mark.parametrize("of_student", [linear, mapped])
def test_dimensions_of_one_pixel_or_one_view_change_no_loss(of_student):
    student = of_student()
    logits = student.predict(IMAGES, verbose=0).reshape(24, 3)
    hard = cross_entropy(LABELS, logits)
    soft = divergence(LOGITS, logits, 3.0).mean()
    shares = np.eye(3, dtype=np.float32)[LABELS]
    accuracy = (logits.argmax(-1) == LABELS).mean()
    for labels, stored in (
        (LABELS, LOGITS),
        (LABELS[:, None, None], LOGITS[:, None]),
        (shares[:, None], LOGITS[:, None, None]),
    ):
        distiller = still(student, metrics=["accuracy"])
        found = losses_of(distiller, IMAGES, {"label": labels, "teacher": stored})
        assert found["hard_loss"] == pytest.approx(hard.mean(), rel=1e-5)
        assert found["soft_loss"] == pytest.approx(soft, rel=1e-5)
        assert found["accuracy"] == pytest.approx(accuracy)
        scores = distiller.evaluate(IMAGES, labels, sample_weight=WEIGHTS[:, None], verbose=0)
        assert scores[0] == pytest.approx((WEIGHTS * hard).mean(), rel=1e-5)
        assert scores[1] == pytest.approx(accuracy)


def test_a_live_teacher_of_one_pixel_is_one_of_images():
    student, teacher = linear(), mapped(seed=4)
    soft = divergence(
        teacher.predict(IMAGES, verbose=0)[:, 0, 0], student.predict(IMAGES, verbose=0), 2.0
    )
    for data in data_sets(IMAGES, LABELS):
        found = losses_of(still(student, teacher, temperature=2.0), **data)
        assert found["soft_loss"] == pytest.approx(soft.mean(), rel=1e-5)


def test_several_teachers_of_images_and_of_one_pixel_teach_their_mean():
    student, teachers = linear(), [linear(1), mapped(seed=4)]
    mean = sum(one.predict(IMAGES, verbose=0).reshape(24, 3) for one in teachers) / 2
    found = losses_of(still(student, teachers), IMAGES, LABELS)
    soft = divergence(mean, student.predict(IMAGES, verbose=0), 3.0).mean()
    assert found["soft_loss"] == pytest.approx(soft, rel=1e-5)


def test_the_pixels_of_maps_are_learnt_each():
    student, teacher = mapped(4), mapped(4, seed=4)
    logits, of_teacher = (model.predict(IMAGES, verbose=0) for model in (student, teacher))
    weights = WEIGHTS[:, None, None]
    hard = (weights * cross_entropy(PIXEL_LABELS, logits)).mean()
    soft = (weights * divergence(of_teacher, logits, 3.0)).mean()
    shares = np.eye(3, dtype=np.float32)[PIXEL_LABELS]
    for labels in (PIXEL_LABELS, PIXEL_LABELS[..., None], shares):
        distiller = still(student, teacher)
        for data in data_sets(IMAGES, labels, WEIGHTS):
            found = losses_of(distiller, **data)
            assert found["hard_loss"] == pytest.approx(hard, rel=1e-5)
            assert found["soft_loss"] == pytest.approx(soft, rel=1e-5)
    bad = PIXEL_LABELS.copy()
    bad[7, 2, 1] = 3
    for data in data_sets(IMAGES, bad):
        refusal(
            lambda data=data: still(student, teacher).fit(**data, verbose=0), DataError, "row 7"
        )
    refusal(
        lambda: still(student).fit(IMAGES, np.where(bad == 3, 255, bad), verbose=0),
        DataError,
        "row 7 is 255",
        "any class and the sample_weight 0",
    )


def test_weights_of_pixels_apply_to_each():
    """As Keras takes them: a pixel that is not to be learnt weighs 0."""
    student, teacher = mapped(4), mapped(4, seed=4)
    logits, of_teacher = (model.predict(IMAGES, verbose=0) for model in (student, teacher))
    weights = RANDOM.uniform(0, 2, (24, 4, 4)).astype(np.float32) * (PIXEL_LABELS != 1)
    hard = (weights * cross_entropy(PIXEL_LABELS, logits)).mean()
    soft = (weights * divergence(of_teacher, logits, 3.0)).mean()
    right = weights * (logits.argmax(-1) == PIXEL_LABELS)
    distiller = still(student, teacher, weighted_metrics=["accuracy"])
    for given in (weights, weights[..., None]):
        for data in data_sets(IMAGES, PIXEL_LABELS, given):
            found = losses_of(distiller, **data)
            assert found["hard_loss"] == pytest.approx(hard, rel=1e-5)
            assert found["soft_loss"] == pytest.approx(soft, rel=1e-5)
            assert found["accuracy"] == pytest.approx(right.sum() / weights.sum(), rel=1e-5)
    refusal(
        lambda: still(student, teacher).train_on_batch(IMAGES, PIXEL_LABELS, weights[:, :2]),
        DataError,
        "(N, 2, 4)",
        "(N,), or for each pixel, (N, 4, 4)",
    )
    weights[5, 0, 0] = np.nan
    for data in data_sets(IMAGES, PIXEL_LABELS, weights):
        refusal(lambda data=data: distiller.fit(**data, verbose=0), DataError, "row 5")


def test_weights_of_pixels_count_by_their_mean_where_maps_are_matched():
    match = FeatureMatch("maps", "maps", "attention")
    models = [mapped(4), mapped(4, seed=4)]
    for model in models:
        model.layers[-1].name = "maps"
    weights = RANDOM.uniform(0, 2, (24, 4, 4)).astype(np.float32)
    distiller = still(*models, features=match)
    found, expected = (
        losses_of(distiller, IMAGES, PIXEL_LABELS, given)["feature_loss"]
        for given in (weights, weights.mean((1, 2)))
    )
    assert found == pytest.approx(expected, rel=1e-5) and found > 0


@pytest.mark.parametrize(
    ("y", "weights", "facts"),
    [
        ({"label": LABELS, "teacher": np.stack([LOGITS, LOGITS], 1)}, None, ["2 views", "(N, 3)"]),
        (np.stack([LABELS, LABELS, LABELS], 1)[..., None], None, ["labels", "(N, 3, 1)", "(N,)"]),
        (PIXEL_LABELS, None, ["labels", "(N, 4, 4)", "(N, 3)"]),
        ((LABELS, LOGITS), None, ["tuple of 2", '"teacher"']),
        (LABELS, np.ones((24, 2)), ["sample_weight", "(N, 2)"]),
    ],
)
def test_other_shapes_are_refused_in_every_form(y, weights, facts):
    for data in data_sets(*((IMAGES, y) if weights is None else (IMAGES, y, weights))):
        distiller = compiled(linear(), linear(1))
        refusal(
            lambda data=data, distiller=distiller: distiller.fit(**data, verbose=0),
            (DataError, ModelError),
            *facts,
        )


def test_values_of_several_columns_are_refused():
    two = {"kind": LABELS, "size": np.ones((24, 2), np.float32)}
    three = {"label": Y["label"], "teacher": {**Y["teacher"], "size": LOGITS}}
    for y, what in ((two, "(N, 2)"), (three, "(N, 3)")):
        for data in data_sets(IMAGES, y):
            refusal(
                lambda data=data: compiled(joint(), joint(1)).fit(**data, verbose=0),
                (DataError, ModelError),
                "head 'size'",
                what,
            )


def test_words_in_a_data_set_are_refused():
    words = np.array(["a", "b", "c"])[LABELS]
    # Of the words in a PyDataset, Keras itself makes no tensors.
    for data in list(data_sets(IMAGES, words))[:2]:
        refusal(
            lambda data=data: compiled(linear(), linear(1)).fit(**data, verbose=0),
            DataError,
            "words",
        )


def test_zeros_and_ones_of_a_head_nobody_declared_are_refused_in_every_form():
    binary = (LABELS == 1).astype(int)
    y = {"label": {"kind": LABELS, "size": binary}, "teacher": Y["teacher"]}
    for data in data_sets(IMAGES, y):
        refusal(
            lambda data=data: compiled(joint()).fit(**data, verbose=0),
            DataError,
            "head 'size' are all 0 or 1",
            "binary=['size']",
        )
        compiled(joint(), binary=[]).fit(**data, verbose=0)
    y["label"]["size"] = np.where(LABELS == 2, 0.5, binary)
    compiled(joint()).fit(**list(data_sets(IMAGES, y))[1], verbose=0)


@pytest.mark.parametrize(
    "soft_loss",
    [
        lambda labels, z, s, t: keras.losses.KLDivergence()(ops.softmax(z), ops.softmax(s)),
        lambda labels, z, s, t: ops.softmax(z) * (ops.log_softmax(z) - ops.log_softmax(s)),
        lambda labels, z, s, t: ops.sum((z - s) ** 2, axis=-1, keepdims=True),
    ],
)
def test_an_own_soft_loss_that_gives_no_number_for_each_image_is_refused(soft_loss):
    distiller = compiled(linear(), linear(1), soft_loss=soft_loss)
    refusal(
        lambda: distiller.fit(IMAGES, LABELS, verbose=0), ConfigError, "soft_loss", "(N,)", "shape"
    )


def test_an_own_soft_loss_for_each_image_is_weighed():
    student = linear()
    expected = (softmax(LOGITS, -1) - softmax(student.predict(IMAGES, verbose=0), -1)) ** 2
    squared = keras.losses.MeanSquaredError(reduction=None)
    distiller = still(
        student, soft_loss=lambda labels, z, s, t: squared(ops.softmax(z), ops.softmax(s))
    )
    found = losses_of(distiller, IMAGES, {"label": LABELS, "teacher": LOGITS}, WEIGHTS)
    assert found["soft_loss"] == pytest.approx((WEIGHTS * expected.mean(-1)).mean(), rel=1e-5)


# --- outputs in a list, and names ---
def convolved(wrap):
    image = keras.Input((4, 4, 1))
    kernel = keras.initializers.RandomNormal(stddev=0.01, seed=1)
    x = layers.Conv2D(2, 3, name="conv", kernel_initializer=kernel)(image)
    return keras.Model(image, wrap(layers.Dense(3, kernel_initializer=kernel)(layers.Flatten()(x))))


def test_a_student_whose_only_output_is_in_a_list_matches_features():
    match = FeatureMatch("conv", "conv", "attention")
    student, teacher = convolved(lambda output: [output]), convolved(lambda output: output)
    found = losses_of(still(student, teacher, features=[match]), IMAGES, LABELS)
    expected = cross_entropy(LABELS, teacher.predict(IMAGES, verbose=0)).mean()
    assert found["hard_loss"] == pytest.approx(expected, rel=1e-5)
    assert found["feature_loss"] == pytest.approx(0, abs=1e-6)


def test_misread_names_are_told():
    image = keras.Input((4, 4, 1))
    student = keras.Model(image, {"label": layers.Dense(3)(layers.Flatten()(image))})
    distiller = compiled(student, alpha=1.0, beta=0.0)
    refusal(lambda: distiller.fit(IMAGES, {"label": LABELS}, verbose=0), ModelError, "called label")
    distiller.fit(IMAGES, {"label": {"label": LABELS}}, verbose=0)
    refusal(
        lambda: compiled(linear(), linear(1)).fit(
            IMAGES, LABELS, class_weight={"0": 1.0, "1": 2.0}, verbose=0
        ),
        ConfigError,
        "'0'",
        "class numbers, which are integers",
    )
