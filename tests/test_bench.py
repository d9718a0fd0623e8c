"""Files side by side: what must hold of the figures whatever the machine."""

from __future__ import annotations

import gzip

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import bench, exporters
from keras_kd.datasets import Samples
from keras_kd.errors import ModelError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network of next to no work and one of 38 million multiply-accumulates and 4 MB."""
    folder = tmp_path_factory.mktemp("bench")
    keras.utils.set_random_seed(2)
    image = keras.Input((16, 16, 3))
    tiny = keras.Model(image, layers.Dense(2, use_bias=False)(layers.GlobalAveragePooling2D()(image)))
    x = layers.Conv2D(64, 3, padding="same")(image)
    for _ in range(4):
        x = layers.Conv2D(64, 3, padding="same")(x)
    large = keras.Model(image, layers.Dense(2)(layers.Dense(4000)(layers.Flatten()(layers.MaxPooling2D(4)(x)))))
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
    return bench.measure(files, seconds=0.1, samples=samples)


def test_sizes_and_counts(files, measured):
    tiny, large, from_keras = measured
    assert tiny.bytes == files[0].stat().st_size
    assert tiny.gzip_bytes == pytest.approx(len(gzip.compress(files[0].read_bytes())), abs=8)
    assert (tiny.parameters, tiny.multiply_accumulates) == (3 * 2, 3 * 2)
    # 16*16 outputs of 9*3*64 and four times 9*64*64; 1024*4000 and 4000*2.
    count = 256 * 9 * 64 * (3 + 4 * 64) + 1024 * 4000 + 4000 * 2
    assert large.multiply_accumulates == from_keras.multiply_accumulates == count
    assert tiny.live_taps == large.live_taps == 1.0


def test_more_work_takes_longer_and_more_memory(measured):
    tiny, large, _ = measured
    for threads in bench.THREADS:
        median, p95 = large.latency[threads]
        assert median > 5 * tiny.latency[threads][0] and p95 >= median > 0
    assert large.peak_memory > tiny.peak_memory + large.bytes // 2


def test_scores_need_data_and_count_right_answers(measured):
    # Equal images get equal answers, and half of the labels are either class.
    assert [one.accuracy for one in measured] == [0.5, 0.5, 0.5]
    assert all(0 <= one.ece <= 0.5 for one in measured)


def test_table_opens_with_ratios_to_the_first(measured):
    table = bench.table(measured)
    assert list(table.index) == ["tiny.tflite", "large.tflite", "large.keras"]
    assert list(table.columns[:3]) == ["latency ratio, 1 thread", "latency ratio, 2 threads", "size ratio"]
    assert (table.iloc[0, :3] == 1).all() and table["size ratio"].iloc[1] == measured[1].bytes / measured[0].bytes


def test_onnx_stands_in_the_same_table(files, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    model = keras.models.load_model(files[2])
    path = exporters.export(model, tmp_path / "large.onnx", "onnx").path
    (one,) = bench.measure([path], threads=[1], seconds=0.02)
    assert one.latency[1][0] > 0 and one.parameters is None


def test_files_that_cannot_run_are_refused(tmp_path):
    (tmp_path / "model.pb").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"give \.tflite, \.onnx or \.keras"):
        bench.measure([tmp_path / "model.pb"])
    with pytest.raises(ModelError, match="can't be read"):
        bench.measure([tmp_path / "none.tflite"])
