"""The process in which `worker` fine-tunes: what it is given, and how it ended."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common import quick_start
from keras_kd.errors import ExportError
from keras_kd.exporters._quantization import INSTEAD

_WORKER = "keras_kd.exporters._quantization.worker"


def fine_tune(
    options: dict,
    arrays: dict[str, np.ndarray],
    weights: list[list[np.ndarray]],
    path: Path,
    tell: Callable[[str], None],
) -> None:
    """Run the worker in a folder of its own, and write the `.tflite` that it leaves there.

    Args:
        options: settings of the training, as JSON values.
        arrays: images, labels, teacher and expected.
        weights: of each layer of the twin.
        path: the file to write.
        tell: called with a line after every epoch.

    Raises:
        ExportError: the training failed, or was ended by a signal.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_inputs(folder, options, arrays, weights)
        errors = folder / "errors.txt"
        with (
            errors.open("w") as log,
            subprocess.Popen(
                # The worker ends when its stdin does, however this process ended.
                [sys.executable, "-P", "-m", quick_start.__name__, _WORKER, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as worker,
        ):
            try:
                for line in worker.stdout:
                    tell(line.rstrip())
            # Ctrl-C too: fine-tuning would go on without anyone waiting for it.
            except BaseException:
                worker.kill()
                raise
        _require_done(worker.returncode, errors)
        path.write_bytes((folder / "model.tflite").read_bytes())


def _write_inputs(
    folder: Path,
    options: dict,
    arrays: dict[str, np.ndarray],
    weights: list[list[np.ndarray]],
) -> None:
    (folder / "options.json").write_text(json.dumps(options))
    numbered: dict[str, Any] = {
        f"{layer}.{number}": array
        for layer, arrays_of_layer in enumerate(weights)
        for number, array in enumerate(arrays_of_layer)
    }
    np.savez(folder / "weights.npz", **numbered)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array if name == "images" else array.astype(np.float32))


def _require_done(code: int, errors: Path) -> None:
    """Raise ExportError where the worker failed or was ended."""
    if code < 0:
        raise ExportError(
            "Quantization-aware training was ended by"
            f" {signal.Signals(-code).name}, as happens where memory runs out:"
            f" close other programs, lower --batch-size, or {INSTEAD}"
        )
    if code:
        last = _reason(errors.read_text())
        raise ExportError(f"Quantization-aware training failed ({last}): {INSTEAD}")


def _reason(text: str) -> str:
    """The worker's last words; of what TensorFlow's converter says, the layer and the reason."""
    # The converter's notes on where it was follow its reason.
    lines = [line for line in text.splitlines() if line.strip() and ": note: " not in line]
    last = (lines or ["no message"])[-1].strip()
    layer = re.search(r"/quant_(?:twin_\d+_)?(\w+)/", last)
    refused = re.search(r"'tfl\.\w+' op (.+)", last)
    return f"layer {layer[1]}: {refused[1]}" if layer and refused else last
