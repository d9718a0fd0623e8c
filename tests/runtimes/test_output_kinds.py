"""One model in every form of file: what its numbers are, and which classes they are of."""

import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import export
from keras_kd.errors import ModelError
from keras_kd.runtimes import predictors
from keras_kd.runtimes.stated import Stated

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)


def _model(*end: layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(1)
    stack = [layers.Rescaling(1 / 64), layers.Flatten(), layers.Dense(4), *end]
    return keras.Sequential([keras.Input((6, 6, 3)), *stack])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A softmax network as every form, and the probabilities that Keras gives."""
    folder, model = tmp_path_factory.mktemp("forms"), _model(layers.Softmax())
    paths = {name: folder / f"model{name}" for name in (".keras", ".h5", ".tflite")}
    model.save(paths[".keras"])
    model.save(paths[".h5"])
    export(model, paths[".tflite"], format="float32")
    paths["saved"] = folder / "saved"
    model.export(paths["saved"], verbose=False)
    return paths


@pytest.mark.parametrize("form", [".keras", ".h5", ".tflite", "saved"])
def test_softmax_is_seen_in_every_form(form: str, files: dict[str, Path]) -> None:
    expected = np.log(keras.ops.convert_to_numpy(_model(layers.Softmax())(PIXELS)))
    found = predictors.load(files[form])
    assert found.spec.output == "probabilities"
    np.testing.assert_allclose(found.logits(PIXELS), expected, atol=1e-4)


def test_logits_stay_logits(tmp_path: Path) -> None:
    model = _model()
    export(model, tmp_path / "model.tflite", format="float32")
    expected = keras.ops.convert_to_numpy(model(PIXELS))
    found = predictors.load(tmp_path / "model.tflite")
    assert found.spec.output == "logits"
    np.testing.assert_allclose(found.logits(PIXELS), expected, atol=1e-4)


def test_independent_sigmoids_are_refused_unless_stated(tmp_path: Path) -> None:
    _model(layers.Activation("sigmoid")).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="independent sigmoids.*--output"):
        predictors.load(tmp_path / "model.keras")
    assert predictors.load(tmp_path / "model.keras", Stated(output="probabilities"))


def _differences(scale: float) -> keras.Model:
    """A graph that ends in ReLU: how much brighter the left half of an image is, and the
    reverse.
    """
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Flatten(),
            layers.Dense(2, use_bias=False, activation="relu"),
        ]
    )
    half = np.repeat([[1.0, 1.0, 1.0, -1.0, -1.0, -1.0]], 6, axis=0).reshape(-1, 1)
    model.set_weights([np.hstack([half, -half]) * scale])
    return model


def test_images_tell_logits_that_lie_in_0_to_1_for_noise(tmp_path: Path) -> None:
    halves = np.zeros((4, 6, 6, 1), np.uint8)
    halves[:2, :, :3], halves[2:, :, 3:] = 250, 250
    for scale, within in ((4e-4, False), (2e-5, True)):
        model, path = _differences(scale), tmp_path / f"{scale}.keras"
        model.save(path)
        expected = keras.ops.convert_to_numpy(model(halves))
        assert (expected.max() < 1) == within
        if within:
            with pytest.raises(ModelError, match="0..1.*logits or independent sigmoids.*--output"):
                predictors.load(path).logits(halves)
        found = predictors.load(path, Stated(output="logits") if within else Stated())
        np.testing.assert_allclose(found.logits(halves), expected, rtol=1e-5)


def test_a_statement_that_contradicts_the_graph_is_followed_and_told(
    files: dict[str, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(files[".tflite"].read_bytes())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = predictors.load(copy, Stated(output="logits"))
        for _ in range(2):
            assert found.logits(PIXELS).max() <= 1
    # Once, neither at each batch nor by graph and by values.
    (told,) = (str(one.message) for one in caught if "statement is used" in str(one.message))
    assert "gives probabilities, but is stated to give logits" in told


@pytest.mark.parametrize("form", [".keras", ".tflite"])
def test_logits_are_refused_as_stated_probabilities(form: str, tmp_path: Path) -> None:
    """Their logarithms were scored and learnt from, with a warning."""
    model, path = _model(), tmp_path / f"model{form}"
    model.save(path) if form == ".keras" else export(model, path, format="float32")
    lowest = float(model.predict(PIXELS, verbose=0).min())
    found = predictors.load(path, Stated(output="probabilities"))
    with pytest.raises(ModelError, match=rf"is {lowest:.3g}: state --output logits"):
        found.logits(PIXELS)


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\nc\nd\n",
        "\ufeffa\r\nb\r\nc\r\nd\r\n\r\n",
        "0 a\n1 b\n2 c\n3 d\n",
    ],
)
@pytest.mark.parametrize("form", [".keras", ".h5", ".tflite"])
def test_labels_beside_any_file_name_its_classes(
    form: str, text: str, files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / f"model{form}"
    path.write_bytes(files[form].read_bytes())
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8", newline="")
    assert predictors.load(path).spec.class_names == ("a", "b", "c", "d")


def test_labels_inside_a_tflite_name_its_classes_and_may_not_contradict_those_beside(
    files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(files[".tflite"].read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "d\nc\nb\na\n")
    assert predictors.load(path).spec.class_names == ("d", "c", "b", "a")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(ModelError, match="a, b, c, d.*metadata.* d, c, b, a.*remove the wrong"):
        predictors.load(path)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """One linear network as files of unusual layouts, and its weights."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("layouts")
    weights = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    functions = {
        "channels_first": ((1, 3, 6, 7), lambda a: tf.reduce_mean(a, [2, 3]) @ weights),
        "no_batch_axis": (
            (1, 6, 7, 3),
            lambda a: tf.reshape(tf.reduce_mean(a, [1, 2]) @ weights, [4]),
        ),
        "two_at_a_time": ((2, 6, 7, 3), lambda a: tf.reduce_mean(a, [1, 2]) @ weights),
        "mean_of_two": (
            (2, 6, 7, 3),
            lambda a: tf.reduce_mean(a, [0, 1, 2])[None] @ weights,
        ),
        "grid_of_one": ((1, 6, 7, 3), lambda a: tf.reshape(a, [42, 3]) @ weights),
    }
    for name, (shape, function) in functions.items():
        concrete = tf.function(function).get_concrete_function(tf.TensorSpec(shape, tf.float32))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        (folder / f"{name}.tflite").write_bytes(converter.convert())
    return folder, weights


@pytest.mark.parametrize("name", ["channels_first", "no_batch_axis", "two_at_a_time"])
def test_layouts_of_other_converters_are_run(name: str, layouts: tuple[Path, np.ndarray]) -> None:
    folder, weights = layouts
    pixels = np.random.default_rng(1).integers(0, 256, (3, 6, 7, 3), np.uint8)
    found = predictors.load(folder / f"{name}.tflite").logits(pixels)
    np.testing.assert_allclose(found, pixels.mean((1, 2)) @ weights, rtol=1e-4)


def test_the_work_for_one_image_is_told_of_a_batch_of_two(
    layouts: tuple[Path, np.ndarray],
) -> None:
    of_one, of_two = (
        predictors.load(layouts[0] / f"{name}.tflite")
        for name in ("channels_first", "two_at_a_time")
    )
    assert of_one.multiply_accumulates == of_two.multiply_accumulates == 12


def test_outputs_that_are_no_rows_of_the_images_are_named(
    layouts: tuple[Path, np.ndarray],
) -> None:
    with pytest.raises(ModelError, match=r"takes 2 images at a time .*shape \(1, 4\)"):
        predictors.load(layouts[0] / "mean_of_two.tflite")
    with pytest.raises(ModelError, match=r"shape \(42, 4\) for one image: expected one row"):
        predictors.load(layouts[0] / "grid_of_one.tflite")


def test_a_loop_inside_does_not_tell_what_the_outputs_are(tmp_path: Path) -> None:
    """The loop's tensors have indices of their own, of which one is that of the output."""
    image = keras.Input((6, 6, 3))
    rows = layers.Reshape((6, 18))(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(5, bias_initializer="ones")(layers.LSTM(16)(rows)))
    export(model, tmp_path / "model.tflite", format="float16")
    found = predictors.load(tmp_path / "model.tflite")
    assert found.spec.output == "logits"
    np.testing.assert_allclose(found.logits(PIXELS), model.predict(PIXELS, verbose=0), atol=0.02)


def test_a_saved_model_of_many_branches_is_read_at_once(tmp_path: Path) -> None:
    """A search of all ways through 40 sums would not end."""
    image = keras.Input((6, 6, 3))
    x = layers.Rescaling(1 / 255)(image)
    for _ in range(40):
        x = layers.Add()([x, layers.Rescaling(0.01)(x)])
    model = keras.Model(image, layers.Dense(3, "softmax")(layers.Flatten()(x)))
    model.export(tmp_path / "saved", verbose=False)
    found = predictors.load(tmp_path / "saved")
    assert found.spec.output == "probabilities"
    expected = np.log(model.predict(PIXELS, verbose=0))
    np.testing.assert_allclose(found.logits(PIXELS), expected, atol=1e-4)


def test_percentages_are_no_logits(tmp_path: Path) -> None:
    path = tmp_path / "a.keras"
    _model(layers.Softmax(), layers.Rescaling(100.0)).save(path)
    with pytest.raises(ModelError, match="sum to 100"):
        predictors.load(path).logits(PIXELS)
    stated = predictors.load(path, Stated(output="logits")).logits(PIXELS)
    np.testing.assert_allclose(stated.sum(axis=1), 100, atol=1e-3)
