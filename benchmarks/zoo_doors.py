"""The doors of the zoo: a model trained on stripes, and how far each form of it is from its own
`predict` on images that it never saw.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from scipy.special import log_softmax, softmax
from zoo_models import CLASSES, Animal

import keras_kd
from keras_kd import exporters
from keras_kd._common.quiet import native_output_hidden
from keras_kd.datasets import Samples
from keras_kd.datasets.pixel_values import PIXELS, PixelValues
from keras_kd.evaluation import benchmark
from keras_kd.exporters.bundle import export_bundle
from keras_kd.exporters.quantization_aware import FineTuning, export_quantization_aware
from keras_kd.models import heads
from keras_kd.runtimes import predictors
from keras_kd.runtimes.stated import Stated
from keras_kd.teachers import soft_label_pass, soft_labels
from keras_kd.teachers.views import Views

# The largest figure allowed. It is the largest difference of any probability or value, but for
# `live` and `student` (of a loss, as a share of it) and `bench` (of an accuracy).
BOUNDS = {
    "evaluate": 1e-3, "store": 5e-3, "live": 1e-2, "student": 1e-3, "compact": 1e-3,
    "float32": 1e-3, "float16": 0.03, "dynamic": 0.3, "int8": 0.3, "bundle": 0.2, "qat": 0.3,
    "bench": 0.0, "saved": 1e-3, "keras": 1e-3, "onnx": 1e-3,
}  # fmt: skip
# Of a model's own numbers in 0..1, which its files compute in float32.
ROUNDING = {"mixed_bfloat16": 2**-8}
DOORS = tuple(BOUNDS)
FORMATS = {name: name for name in ("float32", "float16", "dynamic", "int8", "onnx")}
FORMATS["saved"] = "saved_model"
IMAGES, BATCH, TEMPERATURE = 100, 20, 3.0
DEEP = 30  # layers
CLASS_NAMES = tuple("abcde")


def stripes(animal: Animal, first: int) -> Samples:
    """Gratings of five directions and scales, uint8, of an animal's size."""
    rng, side = np.random.default_rng(first), animal.side
    places, labels, images = np.mgrid[0:side, 0:side] / side, np.arange(IMAGES) % CLASSES, []
    for k in labels:
        angle = k * np.pi / CLASSES + rng.normal() * 0.1
        wave = (1 + k) * (places[1] * np.cos(angle) + places[0] * np.sin(angle))
        image = 0.5 + 0.4 * np.sin(4 * np.pi * wave + 6 * rng.random())
        image = image[..., None] * [1, 0.3 + 0.14 * k, 1 - 0.15 * k][: animal.channels]
        images.append(np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1) * 255)
    return Samples(np.array(images).astype(np.uint8), labels, CLASS_NAMES)


def trained(animal: Animal) -> keras.Model:
    """Build an animal and train it until its answers differ between images.

    Deep ones learn smoothed labels: their logits would differ by 60, and one step of rounding, of
    a hundredth of that, would turn an answer.
    """
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(animal.policy)
    try:
        model = animal.build()
    finally:
        keras.config.set_dtype_policy("float32")
    samples = stripes(animal, 0)
    images = taken(animal, samples.images, model)
    outputs = model(images[:1])
    norms = [each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.5  # few steps
    smoothing = 0.1 if len(model.layers) > DEEP else 0.0
    targets = keras.tree.map_structure(lambda out: _target(samples, out.shape[-1]), outputs)
    losses = keras.tree.map_structure(
        lambda out: _loss(heads.output_kind(model), out.shape[-1], smoothing), outputs
    )
    # XLA would take longer to compile deep ones than they take to learn.
    model.compile(keras.optimizers.Adam(0.003), losses, jit_compile=False)
    epochs = 20 if animal.side < 100 else 5  # large images take long
    model.fit(images, targets, epochs=epochs, batch_size=BATCH, verbose=0)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    return model


def taken(animal: Animal, images: np.ndarray, model: keras.Model) -> np.ndarray:
    """Return pixels as the model takes them."""
    low, high = animal.value_range or (0.0, 255.0)
    inputs = getattr(model, "inputs", None)  # A subclassed model has none.
    floats = images * np.float32((high - low) / 255) + np.float32(low)
    return images if inputs and inputs[0].dtype == "uint8" else floats


def _stated(value_range: tuple[float, float] | None) -> Stated:
    return Stated(pixels=PixelValues(value_range or PIXELS))


def _target(samples: Samples, columns: int) -> np.ndarray:
    if columns == 1:
        return (samples.labels / CLASSES).astype(np.float32)[:, None]
    return np.eye(CLASSES, dtype=np.float32)[samples.labels]


def _loss(kind: str, columns: int, smoothing: float) -> keras.losses.Loss:
    if columns == 1:
        return keras.losses.MeanSquaredError()
    if kind == "sigmoids":
        return keras.losses.BinaryCrossentropy()
    return keras.losses.CategoricalCrossentropy(kind != "probabilities", smoothing)


@contextmanager
def kept(animal: Animal) -> Iterator[Keeper]:
    """Train an animal and keep it in a folder of its own."""
    keras.backend.clear_session()  # the names of layers begin anew
    keras.backend.clear_session()
    with tempfile.TemporaryDirectory() as folder:
        yield Keeper(animal, Path(folder))


class Keeper:
    """One animal with its own answers, before the doors.

    Attributes:
        alive: whether its answers differ between images.
    """

    def __init__(self, animal: Animal, folder: Path) -> None:
        self.animal, self._folder = animal, folder
        self._model = trained(animal)
        self._train, self._test = stripes(animal, 0), stripes(animal, 9)
        self._shown = taken(animal, self._test.images, self._model)
        self._outputs = self._model.predict(self._shown, verbose=0)
        self._expected = self._told(self._outputs)
        # What the formats share is computed once.
        self._exporter = exporters.Exporter(
            self._model, self._train, value_range=animal.value_range
        )
        # Classes of which each image has one; else no door takes the file's word for an answer.
        several = sum(values.shape[1] > 1 for values in self._expected.values()) > 1
        self._one_answer = not several and heads.output_kind(self._model) != "sigmoids"
        self.alive = all(np.ptp(values, axis=0).max() > 0.02 for values in self._expected.values())

    def figure(self, door: str) -> float:
        """Put the model through a door and return the figure; whatever it raises is an answer."""
        if door in FORMATS:
            return self._exported(FORMATS[door])
        return getattr(self, f"_{door}")()

    def told(self, error: Exception) -> str:
        """Return a refusal without the names of files and folders, which differ by door."""
        return re.sub(r"^\S+\.\w+: ", "", str(error).replace(f"{self._folder}/", ""))

    def _told(self, outputs: object) -> dict[str, np.ndarray]:
        """Return what the model says by the names of its outputs: probabilities, sigmoids or
        values; the only output is "classes" or "value".
        """
        plain = heads.output_kind(self._model) in ("probabilities", "sigmoids")
        named = (
            heads.by_name(self._model, outputs) if heads.has_graph(self._model) else {"": outputs}
        )
        told = {name: np.asarray(values, np.float64) for name, values in named.items()}
        told = {
            name: values if plain or values.shape[1] == 1 else softmax(values, 1)
            for name, values in told.items()
        }
        if len(told) > 1:
            return told
        (values,) = told.values()
        return {"classes" if values.shape[1] > 1 else "value": values}

    def _difference(self, path: Path, value_range: tuple[float, float] | None = None) -> float:
        """Return how far a file read back is from the model."""
        predictor = predictors.load(path, _stated(value_range or self.animal.value_range))
        found = predictor.predict(self._test.images)
        told = {name: column[:, None] for name, column in found.values.items()}
        if len(self._expected) == 1 and told:
            told = {"value": next(iter(told.values()))}
        if found.logits.size:
            told["classes"] = softmax(found.logits.astype(np.float64), axis=1)
        return self._apart(told)

    def _apart(self, told: dict[str, np.ndarray]) -> float:
        expected = self._expected
        assert expected.keys() == told.keys(), f"{list(told)} instead of {list(expected)}"
        return max(float(np.abs(told[name] - expected[name]).max()) for name in expected)

    def _file(self) -> Path:
        path = self._folder / "model.keras"
        if not path.exists():
            self._model.save(path)
        return path

    def _evaluate(self) -> float:
        return self._difference(self._file())

    def _store(self) -> float:
        predictor = predictors.load(self._file(), _stated(self.animal.value_range))
        images = self._test.images
        names = CLASS_NAMES if predictor.tells_classes else ()
        key = soft_labels.Key("zoo", "stripes", ("image",), names, predictor.values)
        store = soft_label_pass.fill(
            self._folder / "store", key, images, Views("none", len(images)),
            lambda pixels: predictor.predict(pixels).columns(),
        ).logits[:, 0].astype(np.float64)  # fmt: skip
        told = {"classes": softmax(store[:, : len(names)], axis=1)} if names else {}
        column = {"value": store[:, -1:]} if predictor.values else {}
        return self._apart(told | column)

    def _live(self) -> float:
        """Of T²·KL, which the Distiller computes in its first step, from that of the formula."""
        image = keras.Input(self._shown.shape[1:], dtype=self._shown.dtype.name)
        small = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(
            keras.layers.Rescaling(1 / 255)(image)))  # fmt: skip
        student = keras.Model(
            image, self._mapped(lambda columns: keras.layers.Dense(columns)(small))
        )
        distiller = keras_kd.Distiller(student, self._model, TEMPERATURE, binary=[], bound_weight=0)
        distiller.compile("sgd")
        log_q = student.predict(self._shown, verbose=0)
        found = distiller.train_on_batch(self._shown, self._mapped(self._target), return_dict=True)
        if "classes" not in self._expected:
            return 0.0 if np.isfinite(found["loss"]) else np.inf
        log_q = log_q["classes"] if isinstance(log_q, dict) else log_q
        log_p = self._logits()
        log_p, log_q = (log_softmax(each / TEMPERATURE, axis=1) for each in (log_p, log_q))
        divergence = np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=1))
        expected = TEMPERATURE**2 * divergence
        return abs(float(found["soft_loss"]) - expected) / max(1, expected)

    def _logits(self) -> np.ndarray:
        if heads.output_kind(self._model) == "probabilities":
            return np.log(np.maximum(self._expected["classes"], 1e-12))
        given = self._outputs["classes"] if isinstance(self._outputs, dict) else self._outputs
        return np.asarray(given, np.float64)

    def _student(self) -> float:
        """Of the loss with the labels, which the Distiller's `evaluate` tells, from the formula."""
        distiller = keras_kd.Distiller(self._model, beta=0, binary=[])
        distiller.compile("sgd")
        labels = self._mapped(self._target)
        found = distiller.evaluate(self._shown, labels, verbose=0)
        expected = 0.0
        for values in self._expected.values():
            target = self._target(values.shape[1])
            error = (values - target) ** 2
            entropy = -target * np.log(np.maximum(values, 1e-30))
            expected += float(np.mean((error if values.shape[1] == 1 else entropy).sum(axis=1)))
        return abs(float(np.ravel(found)[0]) - expected) / max(1, expected)

    def _target(self, columns: int) -> np.ndarray:
        return _target(self._test, columns)

    def _mapped(self, made: Callable[[int], object]) -> object:
        """Return something for each output's number of columns, in the structure of the outputs."""
        return keras.tree.map_structure(lambda values: made(values.shape[-1]), self._outputs)

    def _compact(self) -> float:
        outputs = keras_kd.compact(self._model).predict(self._shown, verbose=0)
        return self._apart(self._told(outputs))

    def _exported(self, format: str) -> float:
        path = self._folder / f"{format}{exporters.find(format).SUFFIX}"
        self._exporter.export(path, format)
        if self._one_answer:
            return self._difference(path)
        return self._apart(self._told(exporters.find(format).run(path, self._shown)))

    def _keras(self) -> float:
        """Of the folder that Keras' own `export` writes."""
        folder = self._folder / "keras"
        with native_output_hidden():
            self._model.export(folder, verbose=False)
        return self._difference(folder)

    def _bundle(self) -> float:
        folder, shape = self._folder / "bundle", self._test.images.shape[1:]
        export_bundle(
            self._model, folder, CLASS_NAMES, self._train, self._test.images[0], "float16",
            shape, value_range=self.animal.value_range,
        )  # fmt: skip
        return self._difference(folder / "model.tflite", (0.0, 255.0))

    def _qat(self) -> float:
        path = self._folder / "qat.tflite"
        export_quantization_aware(
            self._model, path, self._train.images, self._train.labels,
            fine_tuning=FineTuning(epochs=1, batch_size=BATCH, learning_rate=1e-6),
            value_range=self.animal.value_range or (0.0, 255.0),
        )  # fmt: skip
        return self._difference(path)

    def _bench(self) -> float:
        """Of the accuracy that the table tells from that of predict."""
        stated = {self._file(): _stated(self.animal.value_range)}
        (found,) = benchmark.measure(
            [self._file()], (1,), 0.02, lambda side: self._test, stated=stated
        )
        assert found.latency[1][0] > 0
        if found.accuracy is None:
            return 0.0
        classes = self._expected["classes"]
        return abs(found.accuracy - float(np.mean(classes.argmax(1) == self._test.labels)))
