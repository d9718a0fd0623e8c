"""Several devices that share each batch, and more than there are."""

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import QUICK, called
from small_network import NETWORK


def test_two_devices_share_each_batch(data: Path, tmp_path: Path) -> None:
    code = f"""
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_kd import Config
from keras_kd.pipelines.distill import distill
config = Config(
    data={str(data)!r}, student={NETWORK!r}, devices=2, alpha=1.0, epochs=3, batch_size=8,
    augment="none", learning_rate=0.05, precision="float32", formats="float32",
)
scores = distill(config, {str(tmp_path / "two")!r})
print(scores["test"]["accuracy"])
"""
    done = subprocess.run([sys.executable, "-c", QUICK + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) > 0.5  # a guess gets 0.33


def test_more_devices_than_there_are(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = [
        "--data",
        str(data),
        "--alpha",
        "1",
        "--devices",
        "99",
        "--out",
        str(tmp_path / "out"),
    ]
    assert called("distill", *arguments) == 2
    assert "devices must be at most" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
