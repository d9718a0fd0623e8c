"""`.pth` files are PyTorch's own, and the process that asks for one never imports PyTorch."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import QUICK

from keras_kd import checkpoints, models

WRITE = f"""{QUICK}
import sys
from keras_kd import checkpoints, models
checkpoints.save(models.build("C", seed=3), sys.argv[1])
sys.exit("torch" in sys.modules)
"""
READ = """
import sys, numpy, torch
stored = torch.load(sys.argv[1], weights_only=True)
numpy.savez(sys.argv[2], **{key: tensor.numpy() for key, tensor in stored.items()})
sys.exit("tensorflow" in sys.modules)
"""


@pytest.mark.skipif(find_spec("torch") is None, reason="the extra torch is not installed")
def test_a_process_of_its_own_writes_what_pytorch_reads(tmp_path: Path) -> None:
    path, read = tmp_path / "weights.pth", tmp_path / "read.npz"
    for code, arguments in ((WRITE, [path]), (READ, [path, read])):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, *map(str, arguments)], stderr=subprocess.PIPE
        )
        assert done.returncode == 0, done.stderr.decode()
    expected = checkpoints.state_dict(models.build("C", seed=3))
    with np.load(read) as found:
        assert set(found.files) == set(expected)
        for key in found.files:
            np.testing.assert_array_equal(found[key], expected[key])
    assert {file.name for file in tmp_path.iterdir()} == {"weights.pth", "read.npz"}
