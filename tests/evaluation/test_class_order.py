"""Whether an assumed order of classes is checked against labels."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.evaluation import benchmark, calibration
from keras_kd.evaluation.class_order import in_order_of_data, require_plausible
from keras_kd.evaluation.scoring import evaluate
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.runtimes import pixel_check, predictors
from keras_kd.runtimes.predictors import KerasPredictor
from keras_kd.runtimes.stated import Stated

NAMES = ("happy", "sad", "angry")


def _logits(labels: np.ndarray, order: list[int]) -> np.ndarray:
    """Right answers of a model whose output number i means class `order[i]`."""
    return np.eye(3, dtype=np.float32)[np.argsort(order)[labels]]


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 1, 0], [1, 0, 2]])
def test_a_model_in_another_order_is_refused_with_that_order(order: list[int]) -> None:
    labels = np.random.default_rng(0).integers(3, size=90)
    named = ", ".join(NAMES[label] for label in order)
    with pytest.raises(ModelError, match=f"order {named} on 100.0 %.*labels.txt"):
        require_plausible(_logits(labels, order), labels, NAMES)


def test_the_right_order_a_guesser_and_a_few_images_pass() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(3, size=90)
    require_plausible(_logits(labels, [0, 1, 2]), labels, NAMES)
    require_plausible(random.normal(size=(90, 3)), labels, NAMES)
    require_plausible(np.ones((90, 3)), labels, NAMES)
    require_plausible(_logits(labels[:9], [1, 2, 0]), labels[:9], NAMES)


@pytest.mark.parametrize("bias", [0.0, 1e-3])
def test_chance_of_an_untrained_model_is_told_and_not_taken_for_another_order(bias: float) -> None:
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalMaxPooling2D()(image)))
    # Within the bounds of Keras' first weights; calls red green and green red.
    model.layers[-1].set_weights([np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.1]]), np.full(2, bias)])
    labels = np.arange(40) % 2
    images = np.zeros((40, 4, 4, 3), np.uint8)
    images[np.arange(40), 0, 0, labels] = 200
    predictor = KerasPredictor(model, ModelSpec(input_shape=(4, 4, 3)))
    told: list[str] = []
    samples = Samples(images, labels, ("red", "green"))
    if bias:
        with pytest.raises(ModelError, match="order green, red on 100.0 %"):
            in_order_of_data(predictor, samples, tell=told.append)
    else:
        assert in_order_of_data(predictor, samples, tell=told.append).logits(images).shape == (
            40,
            2,
        )
        assert any("it has learnt nothing" in text for text in told)


@pytest.mark.parametrize(("images", "unchecked"), [(19, True), (20, False)])
def test_an_order_that_too_few_images_can_check_is_told_as_unchecked(images, unchecked) -> None:
    model, samples = _bright()
    told: list[str] = []
    spec = ModelSpec(pixels=PixelValues(), input_shape=(4, 4, 1))
    in_order_of_data(KerasPredictor(model, spec), samples[np.arange(images)], tell=told.append)
    (sentence,) = told
    assert sentence.startswith("names no classes: the data's order is assumed")
    assert ("not checked, because a check needs 10 images a class" in sentence) == unchecked


def test_an_order_of_many_classes_is_checked_too() -> None:
    # Ten images of each of 60 classes are more than 500.
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Dense(64)(keras.layers.Flatten()(image)))
    model.layers[-1].set_weights([np.roll(np.eye(64), 1, axis=1), np.full(64, 1e-3)])
    labels = np.arange(640) % 64
    images = np.zeros((640, 64, 1), np.uint8)
    images[np.arange(640), labels] = 200
    names = tuple(f"{number:02}" for number in range(64))
    samples = Samples(images.reshape(640, 8, 8, 1), labels, names)
    spec = ModelSpec(pixels=PixelValues(), input_shape=(8, 8, 1))
    with pytest.raises(ModelError, match="order 63, 00, 01"):
        in_order_of_data(KerasPredictor(model, spec), samples)


def test_names_that_fit_less_well_than_another_order_are_doubted() -> None:
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    kernel = np.zeros((16, 3))
    kernel[[0, 1, 2], [0, 1, 2]] = 1  # output i is for a bright pixel i
    model.layers[-1].set_weights([kernel, np.zeros(3)])
    labels = np.arange(60) % 3
    images = np.zeros((60, 4, 4, 1), np.uint8)
    images[np.arange(60), 0, labels, 0] = 200
    samples = Samples(images, labels, ("ant", "bee", "cat"))
    for names, doubted in ((("ant", "bee", "cat"), False), (("bee", "ant", "cat"), True)):
        spec = ModelSpec(names, input_shape=(4, 4, 1))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            in_order_of_data(KerasPredictor(model, spec), samples)
        told = [str(one.message) for one in caught if "class names" in str(one.message)]
        assert len(told) == doubted
        if doubted:
            assert "bee, ant, cat the model is right on 33.3 %" in told[0]
            assert "in the order ant, bee, cat on 100.0 %" in told[0]


def _bright() -> tuple[keras.Model, Samples]:
    """A model that calls an image bright above 60 of 255, and images of 20 and of 200."""
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(image)))
    model.layers[-1].set_weights([np.array([[0.0, 1.0]]), np.array([60.0, 0.0])])
    labels = np.arange(40) % 2
    images = np.full((40, 4, 4, 1), 20) + 180 * labels[:, None, None, None]
    return model, Samples(images.astype(np.uint8), labels, ("dark", "bright"))


def _told(predictor, samples: Samples) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        in_order_of_data(predictor, samples)
    return [str(one.message) for one in caught if "state" in str(one.message)]


def test_a_statement_of_pixels_that_the_labels_speak_against_is_doubted_once(tmp_path) -> None:
    model, samples = _bright()
    path = tmp_path / "bright.keras"
    model.save(path)

    def stated(low: float, high: float) -> Stated:
        return Stated(pixels=PixelValues((low, high)), class_names=samples.class_names)

    (told,) = _told(predictors.load(path, stated(0, 1)), samples)
    assert "stated to take pixels of 0..1, but seems to take 0..255" in told
    assert "right on 50 % of 40 images, and with --range 0,255 on 100 %" in told
    assert not _told(predictors.load(path, stated(0, 255)), samples)
    # On so few images chance may be right.
    assert not _told(predictors.load(path, stated(0, 1)), samples[np.arange(20)])


def test_a_statement_of_classes_that_the_labels_speak_against_is_doubted(tmp_path) -> None:
    model, samples = _bright()
    spec = ModelSpec(samples.class_names, PixelValues(), input_shape=(4, 4, 1))
    keras_file.save(model, tmp_path / "bright.keras", spec)
    for names, count in ((("dark", "bright"), 0), (("bright", "dark"), 1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = predictors.load(tmp_path / "bright.keras", Stated(class_names=names))
            in_order_of_data(found, samples)
        told = [text for one in caught if "class names" in (text := str(one.message))]
        assert len(told) == count
    assert "bright, dark the model is right on 0.0 %" in told[0]
    assert "in the order dark, bright on 100.0 %" in told[0]


@pytest.mark.parametrize(("sure", "doubted"), [(1.0, True), (30.0, False)])
def test_a_model_that_is_sure_of_all_images_is_not_doubted_for_it(sure, doubted) -> None:
    def logits(pixels: PixelValues) -> np.ndarray:
        # Far larger pixels than its own change any model's answers.
        first = 30.0 * (-1) ** np.arange(10) if pixels.plain else np.full(10, sure)
        return np.column_stack([first, np.zeros(10)])

    told = pixel_check.unmoved("The model", PixelValues((0.0, 1.0)), logits, 3)
    assert (told is not None) == doubted


# Of a model of three levels: below 60 of 255 it answers dark, above 150 bright, else dim.
LEVELS = {"bright": (120, 200, 250), "dark": (20, 40, 100)}


def _three_levels(path: Path) -> keras.Model:
    image = keras.Input((4, 4, 1))
    gray = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(3)(gray))
    model.layers[-1].set_weights([np.array([[2.0, 1.0, 0.0]]), np.array([-210.0, -60.0, 0.0])])
    spec = ModelSpec(("bright", "dim", "dark"), PixelValues(), input_shape=(4, 4, 1))
    keras_file.save(model, path, spec)
    return model


def _drawn_levels(folder: Path) -> Path:
    for split in ("train", "validation", "test"):
        for name, levels in LEVELS.items():
            (folder / split / name).mkdir(parents=True)
            for level in levels:
                image = Image.new("L", (4, 4), level)
                image.save(folder / split / name / f"{level}.png")
    return folder


def test_an_answer_of_a_class_that_the_data_lack_is_wrong(tmp_path, capsys) -> None:
    path, data = tmp_path / "three.keras", _drawn_levels(tmp_path / "data")
    _three_levels(path)
    found = evaluate([path], str(data), terminal=Terminal())["test"]
    # Of each class one image is called dim.
    assert found["confusion"] == [[2, 0, 1], [0, 2, 1], [0, 0, 0]]
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["recall"] == pytest.approx({"bright": 2 / 3, "dark": 2 / 3, "dim": None})
    told = capsys.readouterr().err
    assert told.count(f"{path} has 1 class more than the data (dim): such answers are wrong") == 1


def test_models_of_different_classes_are_not_averaged(tmp_path) -> None:
    path, data = tmp_path / "three.keras", _drawn_levels(tmp_path / "data")
    model = _three_levels(path)
    two = keras.Model(model.input, keras.layers.Dense(2)(model.layers[-2].output))
    spec = ModelSpec(("bright", "dark"), PixelValues(), input_shape=(4, 4, 1))
    keras_file.save(two, tmp_path / "two.keras", spec)
    with pytest.raises(ModelError, match="models of bright, dark, dim; bright, dark"):
        evaluate([path, tmp_path / "two.keras"], str(data))


def test_classes_that_the_data_lack_are_averaged_by_their_names(tmp_path) -> None:
    """One answers dim to all images, the other is three times as sure of red in dim's place."""
    data, image = _drawn_levels(tmp_path / "data"), keras.Input((4, 4, 1))
    gray = keras.layers.GlobalAveragePooling2D()(image)
    answers = {
        ("bright", "dim", "dark", "Red"): [0, 2, 0, 0],
        ("bright", "red", "dark", "dim"): [0, 6, 0, 0],
    }
    for names, logits in answers.items():
        model = keras.Model(image, keras.layers.Dense(4)(gray))
        model.layers[-1].set_weights([np.zeros((1, 4)), np.array(logits)])
        spec = ModelSpec(names, PixelValues(), input_shape=(4, 4, 1))
        keras_file.save(model, tmp_path / f"{names[1]}.keras", spec)
    found = evaluate([tmp_path / "dim.keras", tmp_path / "red.keras"], str(data))["test"]
    assert [*found["recall"]] == ["bright", "dark", "dim", "Red"]
    assert found["confusion"][:2] == [[0, 0, 0, 3], [0, 0, 0, 3]]


def test_a_benchmark_and_a_temperature_know_the_classes_that_the_data_lack(tmp_path) -> None:
    path = tmp_path / "three.keras"
    _three_levels(path)
    levels = np.array([*LEVELS["bright"], *LEVELS["dark"]], np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (6, 4, 4, 1))
    samples = Samples(images, np.repeat([0, 1], 3), ("bright", "dark"))
    (one,) = benchmark.measure([path], [1], 0.02, lambda side: samples)
    assert one.accuracy == pytest.approx(4 / 6)
    level = levels.astype(float)
    logits = np.stack([2 * level - 210, 0 * level, level - 60], axis=1)
    expected = calibration.temperature(logits / 9, samples.labels)
    model = keras_file.load(path)[0]
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel / 9, bias / 9])
    ninth = KerasPredictor(model, keras_file.load(path)[1])
    assert calibration.fitted_temperature(ninth, samples) == pytest.approx(expected, rel=1e-3)


def test_equal_names_of_model_and_data_are_the_same_classes_in_the_same_order(tmp_path) -> None:
    """As ImageNet's lists, in which crane and maillot stand twice."""
    path, data = tmp_path / "three.keras", tmp_path / "data"
    model = _three_levels(path)
    keras_file.save(model, path, ModelSpec(None, PixelValues(), input_shape=(4, 4, 1)))
    for split in ("train", "validation", "test"):
        for number, levels in enumerate(((120, 200), (70, 80), (20, 100))):
            (data / split / str(number)).mkdir(parents=True)
            for level in levels:
                image = Image.new("L", (4, 4), level)
                image.save(data / split / str(number) / f"{level}.png")
    for folder in (tmp_path, data):
        (folder / "labels.txt").write_text("crane\ndim\ncrane\n")
    found = evaluate([path], str(data))["test"]
    assert found["recall"] == {"crane (0)": 0.5, "dim": 1.0, "crane (2)": 0.5}
    (tmp_path / "labels.txt").write_text("dim\ncrane\ncrane\n")
    with pytest.raises(ModelError, match=r"lacks crane \(0\) and has crane \(1\) besides"):
        evaluate([path], str(data))


def test_pixels_that_suit_a_model_by_chance_are_not_advised() -> None:
    def advised(random: np.random.Generator, images: int, level: float) -> bool:
        """For a model that is right on a share of the images, and on all of 0..1."""
        labels = np.arange(images) % 2

        def logits(pixels: PixelValues) -> np.ndarray:
            right = random.random(images) < level
            right |= pixels == PixelValues((0.0, 1.0)) and level > 0.5
            return 8.0 * np.eye(2)[np.where(right, labels, 1 - labels)]

        return pixel_check.complaint("m", pixel_check.scores(logits, labels, 3)) is not None

    random = np.random.default_rng(0)
    # Of 7 comparisons at 0.005 each.
    for images in (10, 20, 40):
        assert np.mean([advised(random, images, 0.5) for _ in range(100)]) <= 7 * 0.005
    assert all(advised(random, 40, 0.6) for _ in range(20))


@pytest.mark.parametrize(
    ("gained", "lost", "differs"), [(7, 0, False), (8, 0, True), (14, 3, False), (15, 3, True)]
)
def test_accuracies_differ_by_the_exact_test_of_mcnemar(gained, lost, differs) -> None:
    # 1/2^7 = 0.0078, 1/2^8 = 0.0039; of 17 at most 3: 0.0064, of 18: 0.0038.
    def score(right: list[bool]) -> pixel_check.Score:
        return pixel_check.Score(PixelValues(), 0.5, 1.0, 1.0, 0.5, np.array(right))

    one = score([True] * gained + [False] * lost + [True] * 9)
    other = score([False] * gained + [True] * lost + [True] * 9)
    assert one.is_more_often_right_than(other) == differs
    assert not other.is_more_often_right_than(one)
