"""Labels, weights and binary logits that a Distiller takes, or refuses in one sentence."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import expit, log_softmax, rel_entr, softmax
from small_students import IMAGES, LABELS, LOGITS, RATE, WEIGHTS, compiled, expected_step, linear
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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_sample_weights_that_make_no_loss_are_refused_by_the_row(bad):
    weights = np.where(np.arange(24) == 13, bad, WEIGHTS)
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    before = distiller.student.get_weights()[0].copy()
    facts = (f"The sample_weight in row 13 is {bad:g}", "0 or more", "1 of 24")
    given = {"sample_weight": weights}
    for call in (
        lambda: distiller.fit(IMAGES, LABELS, **given, verbose=0),
        lambda: distiller.fit(IMAGES, LABELS, sample_weight=weights[:, None], verbose=0),
        lambda: distiller.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS, weights), verbose=0),
        lambda: distiller.train_on_batch(IMAGES, LABELS, weights),
        lambda: distiller.evaluate(IMAGES, LABELS, **given, verbose=0),
        lambda: distiller.test_on_batch(IMAGES, LABELS, **given),
    ):
        refusal(call, DataError, *facts)
    np.testing.assert_array_equal(distiller.student.get_weights()[0], before)

    def batches():
        while True:
            for start in range(0, 24, 8):
                batch = slice(start, start + 8)
                yield IMAGES[batch], LABELS[batch], weights[batch]

    of = "row 13 of" if keras.backend.backend() == "tensorflow" else "The sample_weight in row"
    facts = (of, f"is {bad:g}", "0 or more")
    refusal(lambda: distiller.evaluate(batches(), steps=3, verbose=0), DataError, *facts)
    refusal(lambda: distiller.fit(batches(), steps_per_epoch=3, verbose=0), DataError, *facts)


def test_a_sample_weight_of_one_of_several_heads_is_refused_by_its_name():
    weights = {"kind": WEIGHTS, "size": np.where(np.arange(24) == 4, np.nan, WEIGHTS)}
    labels = {"kind": LABELS, "size": VALUES}
    distiller = compiled(joint(), beta=0.0, bound_weight=0)
    refusal(
        lambda: distiller.train_on_batch(IMAGES, labels, weights),
        DataError,
        "The sample_weight of head 'size' in row 4 is nan",
    )


@pytest.mark.parametrize(
    ("weights", "facts"),
    [
        (WEIGHTS.tolist(), ("sample weights are a list of 24", "numpy.array")),
        (WEIGHTS[:7], ("24 images and 7 sample weights", "one for each image")),
        ({"kind": WEIGHTS[:7], "size": WEIGHTS}, ("7 sample weights of head 'kind'",)),
        (np.float32(2), ("one number", "(N,)")),
        ({"kind": WEIGHTS.tolist()}, ("weights of head 'kind' are a list of 24", "numpy.array")),
        ({"knd": WEIGHTS}, ("for knd", "heads kind, size", "(N,)")),
    ],
)
def test_sample_weights_of_no_image_or_head_are_refused(weights, facts):
    labels = {"kind": LABELS, "size": VALUES}
    distiller = compiled(joint(), beta=0.0, bound_weight=0)
    for step in (distiller.train_on_batch, distiller.test_on_batch):
        refusal(lambda: step(IMAGES, labels, weights), DataError, *facts)  # noqa: B023


def test_batches_with_weights_of_heads_that_a_student_has_not_are_refused():
    def batches():
        yield IMAGES, LABELS, {"kind": WEIGHTS}

    told = ("for kind", "one head", "one array (N,)")
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    refusal(lambda: distiller.fit(batches(), verbose=0), DataError, *told)


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


def test_class_weight_of_one_batch_traces_a_step_once():
    """Tracing takes seconds, and a loop of one's own gives the same weights with each batch."""
    traced = []

    def soft_loss(labels, teacher, student, temperature):
        traced.append(temperature)
        return keras.ops.sum((teacher - student) ** 2, axis=-1)

    distiller = compiled(linear(), optimizer=keras.optimizers.SGD(0.0), soft_loss=soft_loss)
    y = {"label": LABELS, "teacher": LOGITS}

    def step(class_weight):
        logs = distiller.train_on_batch(IMAGES, y, class_weight=class_weight, return_dict=True)
        return float(logs["hard_loss"]), len(traced)

    kernel = linear().get_weights()[0]
    for weights in (None, {0: 0.5, 2: 3.0}, {1: 2.0}):
        each = [1.0, 1.0, 1.0] if weights is None else [weights.get(one, 1.0) for one in range(3)]
        expected = expected_step(kernel, LOGITS, 3.0, 0.15, 0.85, each)[0]
        distiller.reset_metrics()
        first, count = step(weights)
        assert first == pytest.approx(expected, rel=1e-5)
        assert step(weights)[1] == step(weights)[1] == count


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


@pytest.mark.parametrize("normalised", [False, True])
def test_a_batch_that_weighs_nothing_changes_nothing(normalised):
    student = linear()
    before = [weight.copy() for weight in student.get_weights()]
    distiller = compiled(student, weights_normalised=normalised)
    y = {"label": LABELS, "teacher": LOGITS}
    logs = distiller.train_on_batch(IMAGES, y, np.zeros(24), return_dict=True)
    assert logs["loss"] == 0
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


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
