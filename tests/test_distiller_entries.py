"""What Keras users pass to a Distiller: each thing works, or is refused in one sentence."""

from __future__ import annotations

import collections
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import softmax
from small_students import IMAGES, LABELS, LOGITS, compiled, expected_step, linear
from test_distiller_heads import joint

from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError, DataError, ModelError

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


# --- callbacks ---
def test_a_callback_list_of_keras_is_run_beside_the_distillers_own_callbacks():
    losses, distiller = [], compiled(linear(), linear(1))
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: losses.append(logs["loss"])
    )
    listed = keras.callbacks.CallbackList([remember], model=distiller)
    found = []
    for _ in range(2):
        found += distiller.fit(IMAGES, LABELS, epochs=2, callbacks=listed).history["loss"]
    assert losses == found and len(found) == 4 and listed.callbacks == [remember]
    batches = ((IMAGES, LABELS + 9) for _ in range(3))
    refusal(lambda: distiller.fit(batches, callbacks=listed), DataError, "class numbers 0 to 2")


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


def test_a_teachers_numbers_in_0_to_1_are_asked_about():
    teacher, stored = subclassed(), LOGITS / np.ptp(LOGITS) / 2 + 0.5
    kernel, bias = linear(1).get_weights()
    teacher.set_weights([kernel / 100, bias / 100 + 0.5])
    given = teacher.predict(IMAGES, verbose=0)
    assert given.min() > 0 and given.max() < 1
    batch = {"label": LABELS, "teacher": stored}
    facts = ["logits or independent sigmoids", "teacher_output='logits'"]
    refusal(lambda: first_step(compiled(linear(), teacher), LABELS), ModelError, *facts)
    refusal(lambda: first_step(compiled(linear()), batch), ModelError, *facts)
    kernel = linear().get_weights()[0]
    for logits, taught, y in ((given, teacher, LABELS), (stored, None, batch)):
        expected = expected_step(kernel, logits, 3.0, 0.15, 0.85)
        logs, _ = first_step(compiled(linear(), taught, teacher_output="logits"), y)
        assert logs["soft_loss"] == pytest.approx(expected[1], rel=1e-4)


def test_what_a_teacher_is_stated_to_give_must_fit_its_graph_and_the_student():
    softmax_teacher = ending(linear(1), layers.Softmax())
    refusal(
        lambda: Distiller(linear(), softmax_teacher, teacher_output="logits"),
        ModelError,
        "stated to give logits",
        "its graph gives probabilities",
    )
    taught = compiled(linear(), subclassed("sigmoid"), teacher_output="sigmoids")
    refusal(lambda: first_step(taught, LABELS), ModelError, "3 independent sigmoids")
    refusal(lambda: Distiller(linear(), teacher_output="sigmoid"), ConfigError, "logits", "sigmoid")


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
    distiller = compiled(linear(), teacher)
    resized = np.asarray(
        keras.ops.image.resize(IMAGES.astype("float32"), shape[:2], antialias=True)
    )
    logits = teacher.predict(resized.repeat(shape[2], -1), verbose=0)
    expected = first_step(compiled(linear()), {"label": LABELS, "teacher": logits})[0]["soft_loss"]
    with pytest.warns(UserWarning, match=f"takes {'x'.join(map(str, shape))} and gets 4x4x1"):
        found = first_step(distiller, LABELS)[0]["soft_loss"]
    assert found == pytest.approx(expected, rel=1e-4)
    # The graph knows no sizes of decoded files: the teacher saw the student's, without a word.
    signature = (tf.TensorSpec((None, None, None, 1), tf.uint8), tf.TensorSpec((None,), tf.int64))
    data = tf.data.Dataset.from_generator(
        lambda: iter([(IMAGES, LABELS)]), output_signature=signature
    )
    found = compiled(linear(), teacher).fit(data, verbose=0).history["soft_loss"]
    assert found == pytest.approx([expected], rel=1e-4)


def test_images_that_need_no_resizing_keep_the_sizes_of_their_data_set():
    """Keras trains on them, and two equal models give equal answers."""
    image = keras.Input((4, 4, 1))
    student = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(image)))
    teacher = keras.models.clone_model(student)
    teacher.set_weights(student.get_weights())
    signature = (tf.TensorSpec((None, None, None, 1), tf.uint8), tf.TensorSpec((None,), tf.int64))
    data = tf.data.Dataset.from_generator(
        lambda: iter([(IMAGES.repeat(2, 1).repeat(2, 2), LABELS)]), output_signature=signature
    )
    found = compiled(student, teacher).fit(data, verbose=0).history["soft_loss"]
    assert found == pytest.approx([0], abs=1e-5)


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


class Several(keras.Model):
    """A network without a graph that gives what a function makes of its logits."""

    def __init__(self, made, seed=1):
        super().__init__()
        self.network, self.made = linear(seed), made
        self.build(())
        self.built = True

    def call(self, image):
        return self.made(self.network(image))


def test_several_outputs_of_a_teacher_without_a_graph_have_names_or_are_told():
    """As those of Hugging Face's models; they ended in a traceback."""
    expected = first_step(compiled(linear(), linear(1)), LABELS)[0]["soft_loss"]
    named = collections.namedtuple("Outputs", ("logits", "hidden"))
    for made in (
        lambda logits: named(logits, logits[:, :2]),
        lambda logits: {"hidden": None, "logits": logits},
    ):
        teacher = Several(made)
        found = first_step(compiled(linear(), teacher, teacher_head="logits"), LABELS)[0]
        assert found["soft_loss"] == pytest.approx(expected, rel=1e-6)
    for made, fact in (
        (lambda logits: (logits, logits), "gives 2 outputs without names: let its call return a"),
        (lambda logits: None, "gives None"),
    ):
        distiller = compiled(linear(), Several(made))
        refusal(lambda one=distiller: first_step(one, LABELS), ModelError, fact)


def test_a_student_in_float8_is_trained():
    student = linear()
    student.quantize("float8")
    before = student.layers[-1].get_weights()[0]
    compiled(student, linear(1)).train_on_batch(IMAGES, LABELS)
    assert np.abs(student.layers[-1].get_weights()[0] - before).max() > 0


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


def test_quantizing_the_distiller_quantizes_its_student_alone():
    student, teacher, alone = linear(), linear(1), linear()
    distiller = compiled(student, teacher)
    before = distiller.predict(IMAGES, verbose=0)
    taught = np.asarray(teacher(IMAGES))
    for model in (distiller, alone):
        model.quantize("int8")
    expected = alone.predict(IMAGES, verbose=0)
    assert np.abs(expected - before).max() > 1e-4
    np.testing.assert_allclose(distiller.predict(IMAGES, verbose=0), expected, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(teacher(IMAGES)), taught)


def test_a_students_own_step_that_is_not_taken_is_told():
    class Own(keras.Model):
        def train_step(self, *data):
            raise NotImplementedError

    model = linear()
    own = Own(model.input, model.output)
    with pytest.warns(UserWarning, match="has its own train_step, which the Distiller does not"):
        Distiller(own, linear(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Distiller(model, own)  # A teacher takes no steps.


def test_a_student_in_the_teachers_place_is_told():
    small, large = linear(), ending(linear(1), layers.Dense(50), layers.Dense(3))
    with pytest.warns(UserWarning, match="404 parameters and its teacher 51: the student"):
        Distiller(large, small)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Distiller(small, [large, linear(2)])
