"""Of what kind a teacher's outputs are is stated or found alike, however they reach the student."""

from __future__ import annotations

import tracemalloc

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy.special import expit, log_softmax, rel_entr, softmax
from small_students import IMAGES, LABELS, LOGITS, compiled, linear
from test_distiller_entries import refusal

from keras_kd.distiller import FeatureMatch, _outputs
from keras_kd.errors import DataError, ModelError

MARGINS = np.random.default_rng(3).normal(0, 3, (24, 1)).astype(np.float32)  # binary logits
BINARY = LABELS % 2
PROBABILITIES = softmax(LOGITS, -1)
MODEL_IMAGES = IMAGES.astype(np.float32)


def still(student, teacher=None, **options):
    """A Distiller whose steps change nothing, so that batches can be compared."""
    return compiled(student, teacher, keras.optimizers.SGD(0.0), **options)


def expected(student, logits, temperature=3.0):
    """T²·KL in float64; one column z are the logits (0, z)."""
    own = student.predict(MODEL_IMAGES, verbose=0).astype(float)
    if own.shape[-1] == 1:
        own, logits = (np.concatenate([0 * z, z], -1) for z in (own, logits))
    p, q = (softmax(z.astype(float) / temperature, -1) for z in (logits, own))
    return temperature**2 * rel_entr(p, q).sum(-1).mean()


class Batches(keras.utils.PyDataset):
    def __init__(self, images, y):
        super().__init__()
        self.images, self.y = images, y

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(8 * index, 8 * index + 8)
        return self.images[rows], keras.tree.map_structure(lambda part: part[rows], self.y)


def data_set(images, y):
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    return (tf.data.Dataset.from_tensor_slices((images, y)).batch(8),)


WAYS = {
    "arrays": lambda images, y: (images, y),
    "a data set": data_set,
    "a PyDataset": lambda images, y: (Batches(images, y),),
    "a generator": lambda images, y: (Batches(images, y)[index] for index in range(3)),
}


def soft_loss(distiller, way, y):
    given = WAYS[way](IMAGES, y)
    data = (given,) if way == "a generator" else given
    return distiller.fit(*data, batch_size=None if len(data) == 1 else 8, verbose=0).history[
        "soft_loss"
    ][-1]


class Hidden(keras.Model):
    """A linear teacher without a graph."""

    def __init__(self, like, activation):
        super().__init__()
        self.inner, self.activation = like, keras.activations.get(activation)

    def call(self, images):
        return self.activation(self.inner(images))


def hidden(classes, activation):
    model = Hidden(linear(1, classes), activation)
    model(IMAGES[:1])
    return model


# --- what is stated ---
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("stated", "of_classes"),
    [("probabilities", True), ("sigmoids", False), ("probabilities", False)],
)
@pytest.mark.filterwarnings("ignore:The teacher")
def test_a_statement_holds_for_stored_outputs_in_every_form(way, stated, of_classes):
    logits, stored = (LOGITS, PROBABILITIES) if of_classes else (MARGINS, expit(MARGINS))
    student = linear(classes=3 if of_classes else 1)
    y = {"label": LABELS if of_classes else BINARY, "teacher": stored}
    found = soft_loss(still(student, teacher_output=stated), way, y)
    assert found == pytest.approx(expected(student, logits), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stated", ["sigmoids", "probabilities"])
@pytest.mark.filterwarnings("ignore:The teacher")
def test_a_statement_holds_for_a_live_teacher_of_one_sigmoid(way, stated):
    student, teacher = linear(classes=1), linear(1, 1)
    logits = teacher.predict(MODEL_IMAGES, verbose=0)
    teacher = keras.Model(teacher.inputs, keras.ops.sigmoid(teacher.outputs[0]))
    # A graph shows it too, by the name sigmoids.
    teacher = hidden(1, "sigmoid") if stated == "sigmoids" else teacher
    found = soft_loss(still(student, teacher, teacher_output=stated), way, BINARY)
    assert found == pytest.approx(expected(student, logits), rel=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_a_statement_that_the_numbers_contradict_is_refused(way):
    y = {"label": LABELS, "teacher": LOGITS}
    distiller = still(linear(), teacher_output="probabilities")
    refusal(lambda: soft_loss(distiller, way, y), DataError, "outside 0..1")
    y = {"label": LABELS, "teacher": PROBABILITIES}
    distiller = still(linear(), teacher_output="sigmoids")
    refusal(lambda: soft_loss(distiller, way, y), ModelError, "3 independent sigmoids")


# --- one column and two ---
PAIRS = np.random.default_rng(4).normal(0, 3, (24, 2)).astype(np.float32)


def pair(classes, seed=1):
    """A linear teacher's model, and its logits as (0, z) or (a, b)."""
    model = linear(seed, classes)
    logits = model.predict(MODEL_IMAGES, verbose=0)
    return model, np.concatenate([0 * logits, logits], -1) if classes == 1 else logits


def eager(distiller):
    """The Distiller without traced steps, which take longer than these few."""
    distiller.run_eagerly = True
    return distiller


def soft_loss_of_two(student, logits):
    own = student.predict(MODEL_IMAGES, verbose=0).astype(float)
    own = np.concatenate([0 * own, own], -1) if own.shape[-1] == 1 else own
    p, q = (softmax(z.astype(float) / 3, -1) for z in (logits, own))
    return 9 * rel_entr(p, q).sum(-1).mean()


@pytest.mark.parametrize("of_student", [1, 2])
@pytest.mark.parametrize("of_teachers", [(1,), (2,), (1, 2), (2, 1)])
def test_teachers_of_two_classes_have_one_column_or_two(of_student, of_teachers):
    pairs = [pair(count, 5 + number) for number, count in enumerate(of_teachers)]
    mean = sum(logits for _, logits in pairs) / len(pairs)
    student = linear(classes=of_student)
    distiller = eager(still(student, [model for model, _ in pairs]))
    found = soft_loss(distiller, "arrays", BINARY)
    assert found == pytest.approx(soft_loss_of_two(student, mean), rel=1e-4)


@pytest.mark.parametrize("way", ["arrays", "a generator"])
@pytest.mark.parametrize("of_student", [1, 2])
@pytest.mark.parametrize("stored", [(24, 2), (24, 1), (24,)])
@pytest.mark.filterwarnings("ignore:The teacher")
def test_probabilities_of_two_classes_have_one_column_or_two(way, of_student, stored):
    """The probability of the second class alone is a sigmoid; of both it is a softmax."""
    student, z = linear(classes=of_student), PAIRS[:, 1] - PAIRS[:, 0]
    given = softmax(PAIRS, -1) if stored == (24, 2) else expit(z).reshape(stored)
    y = {"label": BINARY, "teacher": given}
    found = soft_loss(eager(still(student, teacher_output="probabilities")), way, y)
    expected_loss = soft_loss_of_two(student, np.stack([0 * z, z], -1))
    assert found == pytest.approx(expected_loss, rel=1e-4)
    if way == "arrays":
        # So many of them are near 0 and 1 that they are seen to be no logits.
        assert soft_loss(eager(still(student)), way, y) == pytest.approx(expected_loss, rel=1e-4)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
@pytest.mark.filterwarnings("ignore:The teacher")
def test_one_column_does_not_teach_three_classes(activation):
    inner = linear(1, 1)
    teacher = keras.Model(inner.inputs, keras.activations.get(activation)(inner.outputs[0]))
    for size in (24, 8):
        distiller = eager(still(linear(), teacher))
        refusal(
            lambda distiller=distiller, size=size: distiller.fit(
                IMAGES[:size], LABELS[:size], verbose=0
            ),
            ModelError,
            "of 1 classes",
            "of 3",
        )


# --- what is found ---
@pytest.mark.parametrize("way", [way for way in WAYS if way != "arrays"])
def test_sigmoids_of_two_classes_that_nobody_stated_are_asked_about(way):
    facts = ["logits or independent sigmoids", "teacher_output='logits'"]
    y = {"label": BINARY, "teacher": expit(MARGINS)}
    refusal(lambda: soft_loss(still(linear(classes=1)), way, y), ModelError, *facts)
    live = still(linear(classes=1), hidden(1, "sigmoid"))
    refusal(lambda: soft_loss(live, way, BINARY), ModelError, *facts)
    student = linear(classes=1)
    found = soft_loss(still(student), way, {"label": BINARY, "teacher": MARGINS})
    assert found == pytest.approx(expected(student, MARGINS), rel=1e-4)


def test_a_sigmoid_near_1_alone_in_its_row_is_no_distribution():
    y = {"label": BINARY[:2], "teacher": np.array([[0.999], [0.998]], np.float32)}
    refusal(lambda: still(linear(classes=1)).fit(IMAGES[:2], y, verbose=0), ModelError, "sigmoids")


def test_probabilities_in_batches_are_seen_beside_another_teacher_and_with_features():
    data = Batches(IMAGES, LABELS)
    several = still(linear(), [linear(2), hidden(3, "softmax")])
    refusal(lambda: several.fit(data, verbose=0), DataError, "are probabilities")

    class Own(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return ops.softmax(self.scale * x)

    student, teacher = linear(), linear(1)
    hints = [FeatureMatch(student.layers[-1].name, teacher.layers[-1].name, "similarity")]
    own = keras.Model(teacher.input, Own()(teacher.output))
    matched = still(student, own, features=hints)
    refusal(lambda: matched.fit(data, verbose=0), DataError, "are probabilities")


@pytest.mark.filterwarnings("ignore:The teacher")
def test_what_one_fit_found_is_not_believed_of_the_next():
    student = linear()
    distiller = still(student)
    distiller.fit(IMAGES, {"label": LABELS, "teacher": PROBABILITIES}, verbose=0)
    found = soft_loss(distiller, "a PyDataset", {"label": LABELS, "teacher": LOGITS})
    assert found == pytest.approx(expected(student, LOGITS), rel=1e-4)
    # Arrays show what batches did not, also to a step that was traced without knowing it.
    live = still(student, hidden(3, "softmax"))
    refusal(lambda: soft_loss(live, "a PyDataset", LABELS), DataError, "are probabilities")
    found = soft_loss(live, "arrays", LABELS)
    logits = linear(1).predict(MODEL_IMAGES, verbose=0)
    assert found == pytest.approx(expected(student, logits), rel=1e-3)


@pytest.mark.parametrize("activation", ["softmax", None])
@pytest.mark.filterwarnings("ignore:The teacher")
def test_a_saved_model_as_a_layer_is_looked_at(activation, tmp_path):
    pytest.importorskip("tensorflow", reason="A TFSMLayer computes on TensorFlow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("A TFSMLayer computes on TensorFlow alone")
    inner = linear(1)
    saved = keras.Model(inner.input, layers.Activation(activation)(inner.output))
    saved.export(str(tmp_path / "saved"), verbose=False)
    image = keras.Input((4, 4, 1))
    layer = layers.TFSMLayer(str(tmp_path / "saved"), call_endpoint="serve")
    student = linear()
    found = soft_loss(still(student, keras.Model(image, layer(image))), "arrays", LABELS)
    logits = inner.predict(MODEL_IMAGES, verbose=0)
    assert found == pytest.approx(expected(student, logits), rel=1e-3)


@pytest.mark.filterwarnings("ignore:The teacher")
def test_a_call_of_ones_own_is_looked_at_and_not_passed_by():
    class OwnCall(keras.Sequential):
        def call(self, x, training=None, mask=None):
            return ops.softmax(super().call(x))

    inner, student = linear(1), linear()
    teacher = OwnCall([keras.Input((4, 4, 1)), inner])
    found = soft_loss(still(student, teacher), "arrays", LABELS)
    logits = inner.predict(MODEL_IMAGES, verbose=0)
    assert found == pytest.approx(expected(student, logits), rel=1e-3)
    hints = [FeatureMatch(student.layers[-1].name, inner.name, "similarity")]
    refusal(lambda: still(student, teacher, features=hints), ModelError, "`call` of its own")


# --- what is not finite ---
@pytest.mark.parametrize("way", WAYS)
def test_a_logit_of_minus_infinity_is_a_probability_of_1e_12(way):
    with np.errstate(divide="ignore"):
        stored = np.where(LABELS[:, None] == [0, 1, 2], -np.inf, log_softmax(LOGITS, -1))
    stored = stored.astype(np.float32)
    rest = np.logaddexp.reduce(stored, -1, keepdims=True)
    logits = np.where(np.isinf(stored), rest + np.log(1e-12), stored)
    student = linear()
    found = soft_loss(still(student), way, {"label": LABELS, "teacher": stored})
    assert found == pytest.approx(expected(student, logits), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_a_binary_logit_of_infinity_is_a_certain_class(way):
    stored, student = MARGINS.copy(), linear(classes=1)
    stored[:2] = [[-np.inf], [np.inf]]
    logits = np.clip(stored, np.log(1e-12), -np.log(1e-12))
    found = soft_loss(still(student), way, {"label": BINARY, "teacher": stored})
    assert found == pytest.approx(expected(student, logits), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
def test_percentages_are_refused_unless_they_are_stated_to_be_logits(way):
    y = {"label": LABELS, "teacher": np.round(100 * PROBABILITIES, 1)}
    refusal(lambda: soft_loss(compiled(linear()), way, y), DataError, "sum to 100", "/ 100")
    found = soft_loss(still(student := linear(), teacher_output="logits"), way, y)
    assert found == pytest.approx(expected(student, y["teacher"]), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_what_a_quantized_file_gives_is_refused_before_it_is_scaled(way, dtype):
    """Its softmax in steps of 1/256 was taken for logits of 0 to 255."""
    steps = np.round(255 * PROBABILITIES) - (128 if dtype == "int8" else 0)
    y = {"label": LABELS, "teacher": steps.astype(dtype)}
    refusal(lambda: soft_loss(compiled(linear()), way, y), DataError, f"are {dtype}", "* scale")


def test_shares_of_one_class_are_no_numbers_of_a_quantized_file():
    """Labels as a teacher were refused where they are stored in a byte each."""
    shares = np.eye(3, dtype="uint8")[LABELS]
    with pytest.warns(UserWarning, match="gives probabilities p, not logits"):
        found = soft_loss(still(linear()), "arrays", {"label": LABELS, "teacher": shares})
    assert found == pytest.approx(expected(linear(), np.log(np.maximum(shares, 1e-12))), rel=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", [[np.nan, 0, 0], [np.inf, 0, 0], [-np.inf] * 3])
def test_rows_that_are_no_distribution_are_refused(way, row):
    stored, distiller = LOGITS.copy(), compiled(linear())
    stored[3] = row
    before = distiller.student.get_weights()
    y = {"label": LABELS, "teacher": stored}
    refusal(lambda: soft_loss(distiller, way, y), DataError, "NaN, inf or a row of -inf")
    if way == "arrays":
        assert np.array_equal(before[0], distiller.student.get_weights()[0])


def test_of_a_store_of_maps_a_part_is_in_memory_at_a_time(monkeypatch):
    """All of it was, at once."""
    maps = np.full((64, 128, 128, 3), 1 / 3, np.float16)
    tracemalloc.start()
    assert _outputs.kind_of(maps, 3) == "probabilities"
    assert tracemalloc.get_traced_memory()[1] < maps.nbytes / 8
    tracemalloc.stop()
    monkeypatch.setattr(_outputs, "_MOST_NUMBERS", 24)
    logits = np.concatenate([PROBABILITIES[:8], LOGITS[8:]])
    _outputs.require_fit("unknown", logits, "", 3)
    refusal(lambda: _outputs.require_fit("unknown", PROBABILITIES, "", 3), DataError, "sum to 1")
    logits[-1] = np.nan
    refusal(lambda: _outputs.require_fit("unknown", logits, "", 3), DataError, "NaN")
