"""Times of single operators, here and on a device."""

from __future__ import annotations

import json
import os
import stat

import keras
import numpy as np
import pytest
from command_line import called
from keras import layers

import keras_kd
from keras_kd.errors import ModelError
from keras_kd.evaluation import on_device, operator_times
from keras_kd.runtimes import litert, single_operators, tflite_operators
from keras_kd.runtimes.litert import LiteRTModel

# As LiteRT's benchmark tool prints (tflite/tools/benchmark/README.md).
SAID = """
INFO: Inference timings in us: Init: 5685, First inference: 18535, Warmup (avg): 14462.3, \\
Inference (avg): 14575.2
Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
\tAllocateTensors\t0.1\t0.1\t100%\t100%\t0\t1\tAllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
\tCAST\t0.1\t0.125\t10%\t10%\t0\t1\t[image]:0
\tTfLiteXNNPackDelegate\t4.2\t14.2\t90%\t100%\t0\t1\t[probabilities]:3

============================== Top by Computation Time ==============================
\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]
"""
ADB = """#!/bin/sh
case "$1 $2" in
  "devices "*) printf 'List of devices attached\\n{devices}' ;;
  "shell getprop") echo Pixel 9 ;;
  "shell test"*) echo {tool} ;;
  "shell {folder}/benchmark_model") echo "$@" >> "{log}"; cat "{said}"; exit {failed} ;;
  "shell rm") echo "$@" >> "{log}"; exit {failed} ;;
  *) echo "$@" >> "{log}" ;;
esac
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    keras.utils.set_random_seed(0)
    image = keras.Input((24, 24, 3))
    x = layers.Conv2D(32, 5, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(3, "softmax")(x))
    path = tmp_path_factory.mktemp("file") / "m.tflite"
    return keras_kd.export(model, path, "float32", io="app", app_input=(24, 24, 3)).path


def test_the_operators_one_by_one_compute_what_the_file_does(file):
    kept, image = {}, np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3), np.uint8)
    names = list(tflite_operators.counts(file).elements())
    contents = list(single_operators.files(file))
    assert len(contents) == len(names)
    value = image
    for content in contents:
        interpreter = litert.Interpreter(model_content=content)
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        interpreter.set_tensor(given["index"], value.reshape(given["shape"]))
        interpreter.invoke()
        value = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        kept[len(kept)] = value
    np.testing.assert_allclose(value[0], LiteRTModel(file).predict(image)[0], atol=1e-6)


def test_each_operator_has_a_time_and_who_would_take_it(file):
    times = operator_times.measure(file, 0.3)
    table = operator_times.table(times)
    first, last = table.iloc[0], table.iloc[-1]
    assert (first.operator, first.types) == ("CAST", "uint8 → float32")
    assert (first.gpu, first.integers, first.microcontroller) == ("uint8", "float32", "yes")
    assert last.operator == "SOFTMAX" and last.gpu == "yes" and last.integers == "float32"
    convolution = table[table.operator == "CONV_2D"].iloc[-1]
    assert convolution.xnnpack == "yes" and convolution.output == "1x20x20x32"
    # 25·3·32·400 multiply-accumulates against some additions.
    assert convolution.share == table.share.max() > 0.3
    assert table.share.sum() == pytest.approx(1)
    assert 0.2 < times.sum / times.whole < 5


def test_the_command_shows_them_and_refuses_what_it_can_not_time(file, tmp_path, capsys):
    csv = tmp_path / "times.csv"
    assert called("bench", str(file), "--operators", "--seconds", "0.1", "--csv", str(csv)) == 0
    shown = capsys.readouterr().out
    assert "CONV_2D" in shown and "one by one" in shown
    assert "CONV_2D" in csv.read_text()
    assert called("bench", str(file), str(file), "--operators") == 2
    assert "one MODEL" in capsys.readouterr().err
    other = tmp_path / "m.onnx"
    other.write_bytes(b"x")
    for option in ("--operators", "--on-device"):
        assert called("bench", str(other), option) == 2
        assert ".tflite" in capsys.readouterr().err
    assert called("bench", str(file), "--operators", "--on-device") == 2
    assert "give one" in capsys.readouterr().err


def _adb(folder, monkeypatch, devices="P9\\tdevice\\n", tool="there", said=SAID, failed=0):
    """A stand-in for adb in PATH; returns the file of what it was asked."""
    (folder / "said").write_text(said.replace("\\\n", ""))
    script = folder / "adb"
    script.write_text(
        ADB.format(devices=devices, tool=tool, folder=on_device.FOLDER, log=folder / "log",
                   said=folder / "said", failed=failed)
    )  # fmt: skip
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "log"


def test_a_device_s_times_are_read_and_the_file_is_removed(file, tmp_path, monkeypatch, capsys):
    log = _adb(tmp_path, monkeypatch)
    found = on_device.measure(file)
    assert (found.device, found.milliseconds) == ("Pixel 9", pytest.approx(14.5752))
    assert found.operators == (
        ("CAST", 0.125, "[image]:0"), ("TfLiteXNNPackDelegate", 14.2, "[probabilities]:3"),
    )  # fmt: skip
    push, run, remove = log.read_text().splitlines()
    assert push == f"push {file} {on_device.FILE}" and remove == f"shell rm -f {on_device.FILE}"
    assert f"--graph={on_device.FILE}" in run and "--num_threads=1" in run
    assert called("bench", str(file), "--on-device", "--seconds", "0.5", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["operator"] == "CAST"
    assert "--min_secs=5 " in run and "--min_secs=0.5 " in log.read_text().splitlines()[-2]


@pytest.mark.parametrize(
    ("adb", "told"),
    [
        ({"devices": ""}, "one device.*none"),
        ({"devices": "P9\\tunauthorized\\n"}, "P9 is unauthorized.*debugging"),
        ({"tool": "missing"}, "Pixel 9 has no .*benchmark_model.*adb push"),
        ({"said": "ERROR: Failed to load model\n"}, "no times.*Failed to load model"),
        ({"said": "Killed\\n", "failed": 1}, "benchmark_model failed.*Killed"),
    ],
)
def test_a_device_that_can_not_measure_is_told(adb, told, file, tmp_path, monkeypatch):
    _adb(tmp_path, monkeypatch, **adb)
    with pytest.raises(ModelError, match=told):
        on_device.measure(file)


def test_without_adb_the_message_says_where_to_get_it(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called("bench", str(file), "--on-device") == 2
    assert "platform tools" in capsys.readouterr().err
