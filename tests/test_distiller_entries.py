"""What Keras users pass to a Distiller: each thing works, or is refused in one sentence."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import expit, log_softmax, rel_entr, softmax
from test_distiller import IMAGES, LABELS, LOGITS, RATE, WEIGHTS, compiled, expected_step, linear
from test_distiller_heads import VALUES, convolved, joint

import keras_kd
from keras_kd.distiller import Distiller, FeatureMatch
from keras_kd.errors import ConfigError, DataError, ModelError, OutputError

SOFTMAX = softmax(LOGITS, -1).astype(np.float32)


def ending(model, *behind):
    return keras.Model(model.input, keras.Sequential(list(behind))(model.output))


def first_step(distiller, y, **options):
    logs = distiller.train_on_batch(IMAGES, y, return_dict=True, **options)
    return logs, distiller.student.get_weights()[0]


def refusal(call, kind, *facts):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and all(fact in message for fact in facts), message


# --- what the teacher gives ---


class Subclassed(keras.Model):
    """A classifier whose graph is unknown."""

    def __init__(self, activation=None):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(3, activation)

    def call(self, images):
        return self.dense(self.flatten(images) / 255)


def subclassed(activation=None):
    model = Subclassed(activation)
    model(IMAGES[:1].astype("float32"))
    model.set_weights(linear(1).get_weights())
    return model


@pytest.mark.parametrize(
    "make", [lambda: ending(linear(1), layers.Softmax()), lambda: subclassed("softmax")]
)
def test_a_teacher_of_probabilities_teaches_their_logarithms_and_warns_once(make):
    kernel = linear().get_weights()[0]
    expected = expected_step(kernel, linear(1).predict(IMAGES, verbose=0), 3.0, 0.15, 0.85)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        logs, after = first_step(distiller := compiled(linear(), make()), LABELS)
        distiller.fit(IMAGES, LABELS, verbose=0)
    assert [str(one.message) for one in seen if "probabilities" in str(one.message)] == [
        f"The teacher {distiller.teacher.name} gives probabilities p, not logits: log p is learnt "
        "from."
    ]
    assert logs["soft_loss"] == pytest.approx(expected[1], rel=1e-4)
    np.testing.assert_allclose(after, expected[2], atol=1e-5)


def test_a_subclassed_teacher_of_logits_teaches_as_it_is():
    expected = expected_step(
        linear().get_weights()[0], linear(1).predict(IMAGES, verbose=0), 3.0, 0.15, 0.85
    )
    logs, _ = first_step(compiled(linear(), subclassed()), LABELS)
    assert logs["soft_loss"] == pytest.approx(expected[1], rel=1e-4)


def test_stored_probabilities_teach_their_logarithms():
    distiller = compiled(linear())
    expected = first_step(compiled(linear()), {"label": LABELS, "teacher": LOGITS})[0]["soft_loss"]
    with pytest.warns(UserWarning, match="gives probabilities p, not logits"):
        logs, _ = first_step(distiller, {"label": LABELS, "teacher": SOFTMAX})
    assert logs["soft_loss"] == pytest.approx(expected, rel=1e-4)
    # Logits after probabilities are logits again.
    distiller = compiled(linear(), optimizer=keras.optimizers.SGD(0.0))
    with pytest.warns(UserWarning):
        first_step(distiller, {"label": LABELS, "teacher": SOFTMAX})
    logs, _ = first_step(distiller, {"label": LABELS, "teacher": LOGITS})
    assert logs["soft_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_probabilities_in_a_data_set_are_refused_after_its_first_step(jit_compile):
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    data = tf.data.Dataset.from_tensor_slices(
        (IMAGES, {"label": LABELS, "teacher": SOFTMAX})
    ).batch(8)
    distiller = compiled(linear(), jit_compile=jit_compile)
    refusal(
        lambda: distiller.fit(data, epochs=3, verbose=0),
        DataError,
        "are probabilities",
        "logarithms",
    )


def test_a_student_or_a_teacher_of_other_outputs_is_refused_with_the_way_out():
    for end, name in ((layers.Softmax(), "softmax"), (layers.Activation("sigmoid"), "sigmoid")):
        student = ending(linear(), end)
        refusal(
            lambda one=student: Distiller(one),
            ModelError,
            name,
            "Dense(3) without activation",
            student.name,
        )
    teacher = ending(linear(1), layers.Activation("sigmoid"))
    refusal(lambda: Distiller(linear(), teacher), ModelError, "3 independent sigmoids")
    refusal(lambda: Distiller("B"), ModelError, "student must be a keras.Model", "'B'")
    refusal(
        lambda: Distiller(linear(), "teacher.keras"), ModelError, "teacher must be a keras.Model"
    )
    refusal(lambda: Distiller(linear(), Subclassed()), ModelError, "no weights yet")
    several = keras.Model(
        x := keras.Input((4, 4, 1)), [layers.Dense(3)(y := layers.Flatten()(x)), layers.Dense(1)(y)]
    )
    refusal(lambda: Distiller(several), ModelError, "2 outputs without names", "dict")


def with_embedding(seed):
    model = linear(seed)
    return keras.Model(model.input, [model.output, model.layers[-2].output])


def test_one_of_several_outputs_is_chosen_by_name():
    teacher = with_embedding(1)
    name = teacher.output_names[0]
    refusal(
        lambda: Distiller(linear(), teacher), ModelError, "several outputs", name, "teacher_head="
    )
    refusal(
        lambda: Distiller(linear(), teacher, teacher_head="age"),
        ModelError,
        "no output 'age'",
        name,
    )
    expected = first_step(compiled(linear(), linear(1)), LABELS)[0]["soft_loss"]
    found = first_step(compiled(linear(), teacher, teacher_head=name), LABELS)[0]["soft_loss"]
    assert found == pytest.approx(expected, rel=1e-6)
    by_name = keras.Model(
        teacher.input, dict(zip(("kind", "embedding"), teacher.output, strict=True))
    )
    found = first_step(compiled(linear(), by_name, teacher_head="kind"), LABELS)[0]["soft_loss"]
    assert found == pytest.approx(expected, rel=1e-6)
    refusal(
        lambda: Distiller(joint(), keras.Model(by_name.input, {"else": by_name.output["kind"]})),
        ModelError,
        "none of",
    )


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (2, 2, 1)])
def test_a_teacher_of_another_size_sees_the_images_resized(shape):
    image = keras.Input(shape)
    pooled = layers.Conv2D(3, 1, kernel_initializer=keras.initializers.HeUniform(1))(
        layers.Rescaling(1 / 255)(image)
    )
    teacher = keras.Model(image, layers.GlobalAveragePooling2D()(pooled))
    with pytest.warns(
        UserWarning, match=f"takes {shape[0]}x{shape[1]}x{shape[2]} and the student 4x4x1"
    ):
        distiller = compiled(linear(), teacher)
    resized = np.asarray(
        keras.ops.image.resize(IMAGES.astype("float32"), shape[:2], antialias=True)
    )
    logits = teacher.predict(resized.repeat(shape[2], -1), verbose=0)
    expected = first_step(compiled(linear()), {"label": LABELS, "teacher": logits})[0]["soft_loss"]
    assert first_step(distiller, LABELS)[0]["soft_loss"] == pytest.approx(expected, rel=1e-4)


def test_shapes_that_can_not_be_made_equal_are_refused():
    flat = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    refusal(
        lambda: Distiller(linear(), flat),
        ModelError,
        "takes inputs of shape (8,) and the student of (4, 4, 1)",
    )


def test_augmentation_inside_the_teacher_is_off():
    image = keras.Input((4, 4, 1))
    noise = layers.RandomContrast(0.9, seed=1)(
        layers.Dropout(0.9, seed=1)(layers.RandomFlip(seed=1)(image))
    )
    teacher = keras.Model(image, linear(1)(noise))
    expected = first_step(compiled(linear(), linear(1)), LABELS)[0]["soft_loss"]
    assert first_step(compiled(linear(), teacher), LABELS)[0]["soft_loss"] == pytest.approx(
        expected, rel=1e-6
    )


def test_a_quantized_teacher_works_and_a_quantized_student_is_refused():
    teacher, student = linear(1), linear()
    for model in (teacher, student):
        model.quantize("int8")
    logits = teacher.predict(IMAGES, verbose=0)
    expected = first_step(compiled(linear()), {"label": LABELS, "teacher": logits})[0]["soft_loss"]
    assert first_step(compiled(linear(), teacher), LABELS)[0]["soft_loss"] == pytest.approx(
        expected, rel=1e-4
    )
    refusal(lambda: compiled(student, linear(1)), ModelError, "quantized by model.quantize")


# --- weights that both have ---


def halves(frozen=False):
    """Student and teacher on one body."""
    image, body = keras.Input((4, 4, 1)), layers.Dense(8, "relu", name="body")
    x = body(layers.Flatten()(image))
    body.trainable = not frozen
    return [keras.Model(image, layers.Dense(3)(x)) for _ in range(2)]


def test_a_shared_body_stays_trainable_and_is_refused_unless_frozen():
    student, teacher = halves()
    distiller = Distiller(student, teacher)
    assert len(student.trainable_weights) == 4 and teacher.trainable
    refusal(
        lambda: distiller.compile("sgd"),
        ModelError,
        "share weights that are trained (body/",
        "freeze",
    )
    student, teacher = halves(frozen=True)
    before = teacher.get_weights()
    distiller = compiled(student, teacher)
    assert [weight.shape for weight in distiller.trainable_weights] == [(8, 3), (3,)]
    assert distiller.trainable_variables == distiller.trainable_weights
    distiller.fit(IMAGES, LABELS, verbose=0)
    assert all(
        np.array_equal(old, new) for old, new in zip(before, teacher.get_weights(), strict=True)
    )
    one = linear()
    refusal(lambda: Distiller(one, one), ModelError, "one model", "clone_model")
    one.trainable = False
    refusal(lambda: compiled(one, linear(1)), ModelError, "no trainable weights")


# --- labels ---


@pytest.mark.parametrize(
    ("labels", "facts"),
    [
        (LABELS + 1, (f"row {LABELS.argmax()} is 3", "0 to 2", "RAF-DB")),
        (np.where(np.arange(24) == 5, -1, LABELS), ("row 5 is -1", "without a label")),
        (np.where(np.arange(24) == 7, np.nan, LABELS), ("row 7 is nan",)),
        (np.where(np.arange(24) == 7, 0.5, LABELS), ("row 7 is 0.5",)),
        (np.ones((24, 3)), ("row 0 are [1, 1, 1]", "sum to 1", "multi-label", "binary=")),
        (np.array(["happy", "sad"])[LABELS % 2], ("words", "row 0", "numpy.unique")),
        (np.array(["happy", "sad"], object)[LABELS % 2], ("words", "0 to 2")),
    ],
)  # fmt: skip
def test_labels_that_no_class_has_are_refused_before_training(labels, facts):
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    before = distiller.student.get_weights()[0].copy()
    for call in (
        lambda: distiller.fit(IMAGES, labels, verbose=0),
        lambda: distiller.fit(IMAGES, {"label": labels, "teacher": LOGITS}, verbose=0),
        lambda: distiller.fit(IMAGES, LABELS, validation_data=(IMAGES, labels), verbose=0),
        lambda: distiller.train_on_batch(IMAGES, labels),
        lambda: distiller.evaluate(IMAGES, labels, verbose=0),
        lambda: distiller.test_on_batch(IMAGES, labels),
        lambda: distiller.compute_loss(IMAGES, labels, LOGITS),
    ):
        refusal(call, DataError, *facts)
    np.testing.assert_array_equal(distiller.student.get_weights()[0], before)


@pytest.mark.parametrize(("row", "bad", "jit_compile"), [(3, 3, True), (13, -1, False)])
def test_labels_of_a_generator_are_refused_by_the_row(row, bad, jit_compile):
    labels = np.where(np.arange(24) == row, bad, LABELS).astype("int32")

    def batches():
        while True:
            for start in range(0, 24, 8):
                yield IMAGES[start : start + 8], labels[start : start + 8]

    distiller = compiled(linear(), linear(1), jit_compile=jit_compile)
    # A step that isn't compiled, on other backends, counts the rows of its batch.
    of = f"in row {row} of the batches" if keras.backend.backend() == "tensorflow" else "in row"
    facts = (of, f"is {bad}", "0 to 2")
    refusal(lambda: distiller.fit(batches(), steps_per_epoch=3, verbose=0), DataError, *facts)
    refusal(lambda: distiller.evaluate(batches(), steps=3, verbose=0), DataError, *facts)
    good = compiled(linear(), linear(1), jit_compile=jit_compile)
    history = good.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), verbose=0).history
    assert "faults" not in history


# --- weights ---


@pytest.mark.parametrize(
    "given", [np.array([0.5, 1.0, 3.0]), {0: 0.5, 2: 3.0}, {"": {0: 0.5, 2: 3.0}}]
)
def test_class_weights_are_taken_as_keras_gives_them(given):
    kernel = linear().get_weights()[0]
    _, _, after = expected_step(kernel, LOGITS, 3.0, 0.15, 0.85, (0.5, 1.0, 3.0))
    _, found = first_step(
        compiled(linear(), class_weights=given), {"label": LABELS, "teacher": LOGITS}
    )
    np.testing.assert_allclose(found, after, atol=1e-6)


def test_class_weight_of_fit_weighs_the_labels_term_of_that_fit():
    y = {"label": LABELS, "teacher": LOGITS}
    weighed = expected_step(linear().get_weights()[0], LOGITS, 3.0, 0.15, 0.85, (0.5, 1.0, 3.0))
    plain = expected_step(linear().get_weights()[0], LOGITS, 3.0, 0.15, 0.85)
    distiller = compiled(linear(), optimizer=keras.optimizers.SGD(0.0))
    for _ in range(2):
        logs = distiller.fit(
            IMAGES, y, batch_size=24, class_weight={0: 0.5, 2: 3.0}, verbose=0
        ).history
        assert logs["hard_loss"][0] == pytest.approx(weighed[0], rel=1e-5)
        assert logs["soft_loss"][0] == pytest.approx(weighed[1], rel=1e-5)
        logs = distiller.fit(IMAGES, y, batch_size=24, verbose=0).history
        assert logs["hard_loss"][0] == pytest.approx(plain[0], rel=1e-5)
    twice = compiled(linear(), class_weights=[1, 2, 3])
    refusal(
        lambda: twice.fit(IMAGES, y, class_weight={0: 1.0}, verbose=0),
        ConfigError,
        "class_weights",
        "one of the two",
    )
    refusal(lambda: Distiller(linear(), class_weights={7: 1.0}), ConfigError, "0 to 2", "7")
    refusal(lambda: Distiller(linear(), class_weights=2.0), ConfigError, "one for each class")
    refusal(lambda: Distiller(linear(), class_weights=[1, -1, 1]), ConfigError, "0 or more")


def test_normalised_weights_divide_by_their_sum_as_pytorch_does():
    student, weights = linear(), np.array([0.5, 1.0, 3.0])
    logits = student.predict(IMAGES, verbose=0)
    distiller = compiled(student, class_weights=weights, weights_normalised=True)
    logs = distiller.train_on_batch(
        IMAGES, {"label": LABELS, "teacher": LOGITS}, WEIGHTS, return_dict=True
    )
    each = -log_softmax(logits.astype(float), -1)[np.arange(24), LABELS]
    both = weights[LABELS] * WEIGHTS
    assert logs["hard_loss"] == pytest.approx((both * each).sum() / both.sum(), rel=1e-5)
    soft = 9 * rel_entr(softmax(LOGITS / 3, -1), softmax(logits / 3, -1)).sum(-1)
    assert logs["soft_loss"] == pytest.approx((WEIGHTS * soft).sum() / WEIGHTS.sum(), rel=1e-5)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(LABELS), torch.tensor(weights).float()
    )
    found = compiled(linear(), class_weights=weights, weights_normalised=True)
    logs = found.train_on_batch(IMAGES, {"label": LABELS, "teacher": LOGITS}, return_dict=True)
    assert logs["hard_loss"] == pytest.approx(float(expected), rel=1e-5)


# --- two classes by one logit ---


@pytest.mark.parametrize("stored", [(24, 1), (24,), (24, 2)])
def test_a_step_of_one_logit_has_its_closed_form(stored):
    """BCE, and T² KL of two Bernoulli distributions, whose gradients are sigmoid(s) - y and T (q -
    p).
    """
    student, labels, temperature = linear(classes=1), LABELS % 2, 4.0
    kernel = student.get_weights()[0].astype(float)
    pixels = IMAGES.reshape(24, 16) / 255
    logits, teacher = (pixels @ kernel)[:, 0], LOGITS[:, 0].astype(float)
    p, q = expit(teacher / temperature), expit(logits / temperature)
    hard = np.logaddexp(0, logits) - labels * logits
    soft = temperature**2 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    given = (
        np.stack([LOGITS[:, 1], LOGITS[:, 1] + LOGITS[:, 0]], -1)
        if stored == (24, 2)
        else LOGITS[:, 0].reshape(stored)
    )
    distiller = compiled(student, temperature=temperature, metrics=["accuracy"])
    logs, after = first_step(distiller, {"label": labels, "teacher": given})
    assert logs["hard_loss"] == pytest.approx(hard.mean(), rel=1e-5)
    assert logs["soft_loss"] == pytest.approx(soft.mean(), rel=1e-4)
    slope = (0.15 * (expit(logits) - labels) + 0.85 * temperature * (q - p)) / 24
    np.testing.assert_allclose(after, kernel - RATE * pixels.T @ slope[:, None], atol=1e-6)
    scores = distiller.evaluate(IMAGES, labels, verbose=0, return_dict=True)
    found = student.predict(IMAGES, verbose=0)[:, 0].astype(float)
    assert scores["accuracy"] == pytest.approx(((found > 0) == labels).mean())
    assert scores["loss"] == pytest.approx(
        (np.logaddexp(0, found) - labels * found).mean(), rel=1e-5
    )
    refusal(lambda: distiller.fit(IMAGES, LABELS, verbose=0), DataError, "0 to 1", "is 2")


def test_a_sigmoid_teacher_teaches_one_logit_and_weights_of_two_classes_count():
    labels = LABELS % 2
    with pytest.warns(UserWarning, match="gives sigmoids p, not logits"):
        taught = compiled(linear(classes=1), ending(linear(1, 1), layers.Activation("sigmoid")))
    expected = first_step(compiled(linear(classes=1), linear(1, 1)), labels)
    found = first_step(taught, labels)
    assert found[0]["soft_loss"] == pytest.approx(expected[0]["soft_loss"], rel=1e-4)
    logits = linear(classes=1).predict(IMAGES, verbose=0)[:, 0].astype(float)
    weighed = compiled(linear(classes=1), beta=0.0, class_weights={1: 3.0}).train_on_batch(
        IMAGES, labels, return_dict=True
    )
    each = np.where(labels, 3, 1) * (np.logaddexp(0, logits) - labels * logits)
    assert weighed["hard_loss"] == pytest.approx(each.mean(), rel=1e-5)


def test_one_column_is_never_taken_for_a_value_in_silence():
    y = {"kind": LABELS, "size": (VALUES > 0).astype("float32")}
    refusal(
        lambda: compiled(joint(), joint(1)).fit(IMAGES, y, verbose=0),
        DataError,
        "all 0 or 1",
        "binary=['size']",
    )
    as_classes = compiled(joint(), joint(1), binary=["size"])
    as_values = compiled(joint(), joint(1), binary=[])
    outputs = joint().predict(IMAGES, verbose=0)
    values = outputs["size"][:, 0].astype(float)
    entropy = -log_softmax(outputs["kind"].astype(float), -1)[np.arange(24), LABELS].mean()
    losses = [
        one.evaluate(IMAGES, y, verbose=0, return_dict=True)["loss"]
        for one in (as_classes, as_values)
    ]
    assert losses[0] == pytest.approx(
        entropy + (np.logaddexp(0, values) - y["size"] * values).mean(), rel=1e-5
    )
    assert losses[1] == pytest.approx(entropy + ((values - y["size"]) ** 2).mean(), rel=1e-5)
    one = compiled(linear(classes=1), linear(1, 1), binary=[])
    logs = one.train_on_batch(IMAGES, VALUES, return_dict=True)
    predicted = linear(classes=1).predict(IMAGES, verbose=0)[:, 0].astype(float)
    assert logs["hard_loss"] == pytest.approx(((predicted - VALUES) ** 2).mean(), rel=1e-5)
    refusal(
        lambda: Distiller(joint(), binary=["kind"]),
        ConfigError,
        "heads of one column (size)",
        "'kind'",
    )


# --- settings and files ---


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


def test_features_of_sequential_models_are_matched():
    def net(seed, channels):
        keras.utils.set_random_seed(seed)
        parts = [
            layers.Conv2D(channels, 3, name="maps"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
        return keras.Sequential([keras.Input((4, 4, 1)), *parts])

    distiller = compiled(
        net(0, 2),
        net(1, 5),
        keras.optimizers.SGD(1e-6),
        features=[keras_kd.FeatureMatch("maps", "maps")],
    )
    logs = distiller.fit(IMAGES, LABELS, epochs=2, verbose=0).history
    assert logs["feature_loss"][1] < logs["feature_loss"][0]
    refusal(
        lambda: Distiller(net(0, 2), net(1, 5), features=[FeatureMatch("map", "maps")]),
        ModelError,
        "'map'",
        "maps",
    )
    refusal(lambda: FeatureMatch("maps", "maps", "cosine"), ConfigError, "hint", "cosine")


@pytest.mark.parametrize("kind", ["hint", "relational", "similarity"])
def test_vectors_are_matched_too(kind):
    student, teacher = convolved(0, 2), convolved(1, 5)
    names = [model.layers[-2].name for model in (student, teacher)]
    vectors = [
        keras.Model(model.input, model.get_layer(name).output).predict(IMAGES, verbose=0)
        for model, name in zip((student, teacher), names, strict=True)
    ]
    distiller = compiled(student, teacher, features=[FeatureMatch(*names, kind)])
    if kind == "hint":
        kernel, bias = (np.asarray(weight) for weight in distiller.projections[0].weights)
        vectors[0] = vectors[0] @ kernel + bias
    expected = float(np.mean(keras_kd.losses.feature_loss(kind)(vectors[1], vectors[0])))
    logs = distiller.train_on_batch(IMAGES, LABELS, return_dict=True)
    assert logs["feature_loss"] == pytest.approx(expected, rel=1e-4)
    of_maps = FeatureMatch(*names, "attention")
    refusal(
        lambda: Distiller(student, teacher, features=[of_maps]), ModelError, "maps (N, H, W, C)"
    )


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
