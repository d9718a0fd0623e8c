"""Labels that a Distiller takes, or refuses in one sentence, and two classes by one logit."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import expit, log_softmax
from small_students import IMAGES, LABELS, LOGITS, RATE, WEIGHTS, compiled, linear
from test_distiller_entries import ending, first_step, refusal
from test_distiller_heads import VALUES, joint
from test_distiller_shapes import Batches

from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError, DataError


# --- labels ---
@pytest.mark.parametrize(
    ("labels", "facts"),
    [
        (LABELS + 1, (f"row {LABELS.argmax()} is 3", "0 to 2", "RAF-DB")),
        (np.where(np.arange(24) == 5, -1, LABELS), ("row 5 is -1", "without a label")),
        (LABELS + 7, ("They run from 7 to 9: subtract 7.",)),
        (LABELS - 9, ("They run from -9 to -7: add 9.",)),
        (np.where(LABELS == 2, -9, LABELS), ("-9", "Correct such labels")),
        (np.where(LABELS == 2, 7, LABELS), ("is 7", "Correct such labels")),
        (np.where(LABELS == 0, 3, 2), ("is 3", "count from 1")),
        (np.where(np.arange(24) == 7, np.nan, LABELS), ("row 7 is nan", "Correct")),
        (np.where(np.arange(24) == 7, 0.5, LABELS), ("row 7 is 0.5",)),
        (np.ones((24, 3)), ("row 0 are [1, 1, 1]", "multi-label", "binary=", "continuous")),
        (np.array(["happy", "sad"])[LABELS % 2], ("words", "row 0", "numpy.unique")),
        (LABELS.astype(str), ("words", "row 0", "labels.astype(int)")),
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


@pytest.mark.parametrize("ways", [lambda *batch: (batch for _ in range(9)), Batches])
@pytest.mark.parametrize(
    ("batch", "fact"),
    [
        ((IMAGES, LABELS.tolist()), "labels are a list of 24"),
        (
            (IMAGES, {"label": LABELS, "teacher": LOGITS.tolist()}),
            "outputs of the teacher are a list of 24",
        ),
        ((IMAGES, LABELS, WEIGHTS.tolist()), "sample weights are a list of 24"),
        (
            (IMAGES, {"label": LABELS, "teacher": LOGITS.astype(object)}),
            "outputs of the teacher are an array of object",
        ),
        ((IMAGES, LABELS, WEIGHTS.astype(str)), "sample weights are an array of <U"),
        ((list(IMAGES), LABELS), "images are a list of 24"),
        ((IMAGES, LABELS, WEIGHTS[:7]), "24 images and 7 sample weights"),
        ((IMAGES, LABELS[:7]), "24 images and 7 labels"),
    ],
)
@pytest.mark.filterwarnings("ignore:`shuffle=True`")
def test_lists_and_too_few_of_python_code_are_refused_in_a_sentence(ways, batch, fact):
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    refusal(lambda: distiller.fit(ways(*batch), verbose=0), DataError, fact)
    refusal(lambda: distiller.evaluate(ways(*batch), verbose=0), DataError, fact)


def test_rows_of_a_data_set_are_told_to_become_pairs():
    """As Hugging Face's data sets give them."""
    tf = pytest.importorskip("tensorflow")
    rows = tf.data.Dataset.from_tensor_slices({"image": IMAGES, "label": LABELS}).batch(8)
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    refusal(lambda: distiller.fit(rows), DataError, "dicts of image, label, and pairs", "row['l")


def test_a_checked_data_set_is_the_users_own():
    class Counting(Batches):
        epochs = 0

        def on_epoch_end(self):
            self.epochs += 1

    plain, distiller = linear(), compiled(linear(), beta=0.0, alpha=1.0)
    plain.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    told = []
    for model in (plain, distiller):
        data = Counting(IMAGES, LABELS)
        model.fit(data, epochs=3, verbose=0)
        told.append(data.epochs)
    assert told[0] == told[1] > 2
    listed = Batches(IMAGES, LABELS.tolist())
    refusal(lambda: distiller.fit(data, validation_data=listed, verbose=0), DataError, "a list of")


def test_images_without_labels_are_not_scored():
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    for call in (
        lambda: distiller.evaluate(IMAGES, verbose=0),
        lambda: distiller.test_on_batch(IMAGES),
        lambda: distiller.fit(IMAGES, LABELS, validation_data=(IMAGES, None), verbose=0),
    ):
        refusal(call, DataError, "The images have no labels: give them")


def test_lists_and_images_of_another_shape_are_refused_in_a_sentence():
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    fit = distiller.fit
    for call in (fit, distiller.evaluate):
        facts = ("a list of 24", "numpy.array")
        refusal(lambda: call(IMAGES, LABELS.tolist(), verbose=0), DataError, *facts)  # noqa: B023
    labels = {"kind": LABELS.tolist(), "size": VALUES}
    of_several = compiled(joint(), beta=0.0, bound_weight=0)
    told = ("labels of head 'kind' are a list of 24", "numpy.array")
    refusal(lambda: of_several.fit(IMAGES, labels, verbose=0), DataError, *told)
    refusal(
        lambda: fit(np.repeat(IMAGES, 3, axis=3), LABELS, verbose=0),
        DataError,
        "shape (4, 4, 3)",
        "takes (4, 4, 1)",
    )
    refusal(lambda: distiller.train_on_batch(IMAGES[:, :3], LABELS), DataError, "shape (3, 4, 1)")


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


def test_arrays_are_checked_before_the_steps_and_what_comes_after_them_in_the_steps(monkeypatch):
    distiller, in_steps = compiled(linear()), set()
    for checks in (distiller.faults, distiller.output_faults, distiller.same_answers):
        update = checks.update_state
        monkeypatch.setattr(
            checks,
            "update_state",
            lambda *given, name=checks.name, update=update: (in_steps.add(name), update(*given)),
        )
    good = {"label": LABELS, "teacher": LOGITS}
    distiller.fit(IMAGES, good, validation_data=(IMAGES, LABELS), sample_weight=WEIGHTS, verbose=0)
    assert not in_steps

    bad = np.where(np.arange(24) == 3, 3, LABELS)
    y, wrong = {"label": bad, "teacher": LOGITS}, (DataError, "is 3", "0 to 2")
    refusal(lambda: distiller.fit(Batches(IMAGES, y), verbose=0), *wrong)
    assert in_steps == {"faults", "output_faults", "same_answers"}
    refusal(lambda: distiller.evaluate(Batches(IMAGES, bad), verbose=0), *wrong)
    # Nothing is traced anew for arrays after data sets.
    traced = distiller.test_function
    distiller.evaluate(IMAGES, LABELS, verbose=0)
    assert distiller.test_function is traced


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
    signs, values = 2 * labels - 1, LOGITS[:, 0]
    for given, advice in ((signs, "(labels + 1) // 2"), (values, "binary=[]")):
        refusal(lambda given=given: distiller.evaluate(IMAGES, given), DataError, advice)
    batches = [(IMAGES, values)]
    refusal(lambda: distiller.evaluate(Batches(*batches[0]), verbose=0), DataError, "binary=[]")


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
