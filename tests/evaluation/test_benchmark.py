"""Files side by side: what must hold of the figures whatever the machine."""

from __future__ import annotations

import gzip
import json
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError
from keras_kd.evaluation import benchmark
from keras_kd.runtimes.stated import Stated


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network of next to no work and one of 38 million multiply-accumulates and 4 MB."""
    folder = tmp_path_factory.mktemp("bench")
    keras.utils.set_random_seed(2)
    image = keras.Input((16, 16, 3))
    tiny = keras.Model(
        image, layers.Dense(2, use_bias=False)(layers.GlobalAveragePooling2D()(image))
    )
    x = layers.Conv2D(64, 3, padding="same")(image)
    for _ in range(4):
        x = layers.Conv2D(64, 3, padding="same")(x)
    large = keras.Model(
        image, layers.Dense(2)(layers.Dense(4000)(layers.Flatten()(layers.MaxPooling2D(4)(x))))
    )
    large.save(folder / "large.keras")
    return (
        exporters.export(tiny, folder / "tiny.tflite", "float32").path,
        exporters.export(large, folder / "large.tflite", "float32").path,
        folder / "large.keras",
    )


@pytest.fixture(scope="module")
def measured(files):
    labels = np.array([0, 1, 0, 1])
    samples = Samples(np.zeros((4, 16, 16, 3), np.uint8), labels, ("a", "b"))
    return benchmark.measure(files, seconds=0.1, samples=lambda side: samples)


def test_sizes_and_counts(files, measured):
    tiny, large, from_keras = measured
    assert tiny.bytes == files[0].stat().st_size
    assert tiny.gzip_bytes == pytest.approx(len(gzip.compress(files[0].read_bytes())), abs=8)
    assert (tiny.parameters, tiny.multiply_accumulates) == (3 * 2, 3 * 2)
    # 16*16 outputs of 9*3*64 and four times 9*64*64; 1024*4000 and 4000*2.
    count = 256 * 9 * 64 * (3 + 4 * 64) + 1024 * 4000 + 4000 * 2
    assert large.multiply_accumulates == from_keras.multiply_accumulates == count
    assert tiny.live_taps == large.live_taps == 1.0


def test_the_state_of_an_optimizer_is_not_the_size_of_a_model(tmp_path):
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, layers.Dense(2)(layers.Dense(500)(layers.Flatten()(image))))
    model.save(tmp_path / "plain.keras")
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 8, 8, 1)), np.ones((2, 2)))
    model.save(tmp_path / "trained.keras")
    files = tmp_path / "plain.keras", tmp_path / "trained.keras"
    assert files[1].stat().st_size > 2 * files[0].stat().st_size
    plain, trained = benchmark.measure(files, (1,), 0.02)
    assert trained.bytes == pytest.approx(plain.bytes, rel=0.01)


def test_more_work_takes_longer_and_more_memory(measured):
    tiny, large, _ = measured
    for threads in benchmark.THREADS:
        median, p95 = large.latency[threads]
        assert median > 5 * tiny.latency[threads][0] and p95 >= median > 0
    assert large.peak_memory > tiny.peak_memory + large.bytes // 2


def test_scores_need_data_and_count_right_answers(measured):
    # Equal images get equal answers, and half of the labels are either class.
    assert [one.accuracy for one in measured] == [0.5, 0.5, 0.5]
    assert all(0 <= one.ece <= 0.5 for one in measured)


def test_what_is_assumed_of_a_file_is_told(files):
    samples = Samples(np.zeros((4, 16, 16, 3), np.uint8), np.array([0, 1, 0, 1]), ("a", "b"))
    told = []
    stated = {files[2]: Stated(class_names=("b", "a"))}
    benchmark.measure(files[::2], (1,), 0.02, lambda size: samples, stated, tell=told.append)
    pixels = "does not say which pixels it takes"
    assert [line.partition(":")[0] for line in told] == [
        f"{files[0]} {pixels}",
        f"{files[0]} names no classes",
        f"{files[2]} {pixels}",
        f"{files[2]} has the weights that Keras begins with (all biases are 0)",
    ]


def test_table_opens_with_ratios_to_the_first(measured):
    table = benchmark.table(measured)
    assert list(table.index) == ["tiny.tflite", "large.tflite", "large.keras"]
    assert list(table.columns[:3]) == [
        "latency ratio, 1 thread",
        "latency ratio, 2 threads",
        "size ratio",
    ]
    assert (table.iloc[0, :3] == 1).all() and table["size ratio"].iloc[1] == measured[
        1
    ].bytes / measured[0].bytes


def test_onnx_stands_in_the_same_table(bright, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    path = exporters.export(bright[0], tmp_path / "bright.onnx", "onnx").path
    (one,) = benchmark.measure([path], threads=[1], seconds=0.02)
    assert one.latency[1][0] > 0 and one.parameters is None


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """A classifier of bright and dark images for pixels in -1..1, with its outputs in the order
    bright, dark.
    """
    image = keras.Input((8, 8, 1))
    model = keras.Model(
        image, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(image))
    )
    model.layers[-1].set_weights([np.array([[9.0, -9.0]]), np.zeros(2)])
    folder = tmp_path_factory.mktemp("rival")
    (folder / "labels.txt").write_text("bright\ndark\n")
    return model, folder


def _levels(side):
    levels = np.array([20, 90, 110, 150, 170, 240], np.uint8)
    return Samples(
        np.tile(levels[:, None, None, None], (1, side, side, 1)),
        np.repeat([0, 1], 3),
        ("dark", "bright"),
    )


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_foreign_files_are_scored_by_what_is_stated(bright, suffix):
    model, folder = bright
    if suffix == "onnx":
        pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
        pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    path = folder / f"rival.{suffix}"
    exporters.export(model, path, "onnx" if suffix == "onnx" else "float32")
    form = Stated(pixels=PixelValues((-1.0, 1.0)), output="probabilities")
    (one,) = benchmark.measure([path], [1], 0.02, _levels, {path: form})
    assert one.accuracy == 1.0 and one.accuracy_interval[0] < 1
    # Probabilities of 1/(1 + exp(-18 x)) for brightness x in -1..1.
    brightness = np.array([20, 90, 110, 150, 170, 240]) / 127.5 - 1
    assert one.ece == pytest.approx(
        1 - np.mean(1 / (1 + np.exp(-18 * np.abs(brightness)))), abs=1e-3
    )
    # As it comes, all pixels are bright.
    (unstated,) = benchmark.measure([path], [1], 0.02, _levels)
    assert unstated.accuracy == 0.5


def test_foreign_keras_files_are_scored(bright, tmp_path):
    model, _ = bright
    reordered = keras.Model(model.input, layers.Dense(2, use_bias=False)(model.output))
    reordered.layers[-1].set_weights([np.array([[0.0, 9.0], [9.0, 0.0]])])
    reordered.save(tmp_path / "rival.keras")
    stated = {tmp_path / "rival.keras": Stated(pixels=PixelValues((-1.0, 1.0)))}
    (one,) = benchmark.measure([tmp_path / "rival.keras"], [1], 0.02, _levels, stated)
    assert one.accuracy == 1.0


def _many_levels(side):
    levels = np.array([20, 90, 110, 150, 170, 240], np.uint8).repeat(8)
    images = np.tile(levels[:, None, None, None], (1, side, side, 1))
    return Samples(images, np.repeat([0, 1], 24), ("dark", "bright"))


def test_a_wrong_statement_of_a_keras_file_is_doubted(bright, tmp_path):
    path = tmp_path / "rival.keras"
    bright[0].save(path)
    names = ("bright", "dark")
    for limits, doubted in (((-1.0, 1.0), 0), ((0.0, 255.0), 1)):
        stated = {path: Stated(pixels=PixelValues(limits), class_names=names)}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            benchmark.measure([path], [1], 0.02, _many_levels, stated)
        told = [text for one in caught if "seems to take" in (text := str(one.message))]
        assert len(told) == doubted
    assert "is stated to take pixels of 0..255, but seems to take -1..1" in told[0]


def test_pixels_in_a_hubs_file_beside_a_keras_file_are_taken(bright, tmp_path):
    bright[0].save(tmp_path / "rival.keras")
    (tmp_path / "labels.txt").write_text("bright\ndark\n")
    # As transformers writes it for models of -1..1.
    processor = {"do_rescale": True, "rescale_factor": 1 / 127.5, "rescale_offset": True}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    (one,) = benchmark.measure([tmp_path / "rival.keras"], [1], 0.02, _levels)
    assert one.accuracy == 1.0


def test_files_that_cannot_run_are_refused(tmp_path):
    (tmp_path / "model.pb").write_bytes(b"x")
    with pytest.raises(ModelError, match="graph of TensorFlow.*folder of the SavedModel"):
        benchmark.measure([tmp_path / "model.pb"])
    with pytest.raises(ModelError, match="can't be read"):
        benchmark.measure([tmp_path / "none.tflite"])


def test_a_keras_file_of_open_size_is_built_for_the_size_stated(tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(
        image, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)))
    )
    model.save(tmp_path / "open.keras")
    stated = {tmp_path / "open.keras": Stated(input_shape=(16, 16, 3))}
    (one,) = benchmark.measure([tmp_path / "open.keras"], [1], 0.02, stated=stated)
    # 14 x 14 places of 3 x 3 x 3 x 4, and the dense layer.
    assert one.multiply_accumulates == 14 * 14 * 108 + 8
    for shape, told in (
        ((16, 16, 1), "not images of shape"),
        ((2, 2, 3), "built for images of 2x2x3"),
    ):
        with pytest.raises(ModelError, match=f"{told}.*--input"):
            benchmark.measure([tmp_path / "open.keras"], [1], 0.02, stated={
                tmp_path / "open.keras": Stated(input_shape=shape)})  # fmt: skip
