"""Times on an Android device, by LiteRT's benchmark tool and adb.

The tool is Google's `benchmark_model` for Android, see
https://ai.google.dev/edge/litert/models/measurement. It is put on the device once.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from keras_kd.errors import ModelError
from keras_kd.models import bundles
from keras_kd.runtimes import tflite_file, tflite_graph

FOLDER = "/data/local/tmp"
TOOL, FILE = f"{FOLDER}/benchmark_model", f"{FOLDER}/keras_kd.tflite"
PAGE = "https://ai.google.dev/edge/litert/models/measurement"
_LIMIT = 600  # seconds of one call, besides those of timing
_MOST_SECONDS = 150  # the tool's own
_INFERENCE = re.compile(r"Inference \(avg\): ([0-9.e+]+)")


@dataclass(frozen=True)
class DeviceTimes:
    """What the tool measured.

    Attributes:
        device: the device's model.
        milliseconds: for one image, the mean.
        operators: (operator, milliseconds, name) in the order they run; a delegate stands for all
            that it took.
    """

    device: str
    milliseconds: float
    operators: tuple[tuple[str, float, str], ...]


def measure(
    path: str | Path, seconds: float = 5.0, threads: int = 1, gpu: bool = False
) -> DeviceTimes:
    """Put a file on the device that adb finds and time it there.

    Args:
        path: a `.tflite` file, or a bundle's folder.
        seconds: of timing, on the device.
        threads: of the CPU.
        gpu: whether the GPU delegate takes what it can.

    Returns:
        The times.

    Raises:
        ModelError: it is no `.tflite` file, serves another graph than its main one, or leaves the
            size of its images open; there is no adb, no device, no benchmark tool on it, or the
            tool fails.
    """
    path = bundles.model_file(path)
    # Both raise what a device would not tell.
    tflite_file.require_main_served(path)
    tflite_graph.require_one_size(path)
    adb = shutil.which("adb")
    if adb is None:
        raise ModelError(
            "Times on a device need adb, which is not on the PATH: install Android's platform tools"
            " (https://developer.android.com/tools/adb), or leave --on-device out."
        )
    _require_device(adb)
    device = _called(adb, "shell", "getprop", "ro.product.model").strip() or "unknown device"
    _require_tool(adb, device)
    _called(adb, "push", str(path), FILE)
    try:
        said = _called(
            adb, "shell", TOOL, f"--graph={FILE}", f"--num_threads={threads}",
            f"--use_gpu={'true' if gpu else 'false'}", "--enable_op_profiling=true",
            "--num_runs=1", f"--min_secs={seconds:g}",
            f"--max_secs={max(seconds, _MOST_SECONDS):g}",
            limit=_LIMIT + 2 * seconds,
        )  # fmt: skip
    finally:
        # A file that stays there must not hide what the tool said.
        with contextlib.suppress(ModelError):
            _called(adb, "shell", "rm", "-f", FILE)
    return _times(device, said)


def _require_device(adb: str) -> None:
    lines = _called(adb, "devices").splitlines()[1:]
    states = [line.split() for line in lines if len(line.split()) >= 2]
    ready = [words[0] for words in states if words[1] == "device"]
    if len(ready) != 1:
        seen = ", ".join(" is ".join(words[:2]) for words in states) or "none"
        raise ModelError(
            f"adb must see one device that is ready. It sees: {seen}. Connect one and allow USB"
            " debugging on it, or choose one by ANDROID_SERIAL."
        )


def _require_tool(adb: str, device: str) -> None:
    found = _called(adb, "shell", f"test -x {TOOL} && echo there || echo missing")
    if found.strip() != "there":
        raise ModelError(
            f"{device} has no {TOOL}: take LiteRT's benchmark tool for its processor from {PAGE},"
            f" then `adb push android_aarch64_benchmark_model {TOOL}` and `adb shell chmod +x"
            f" {TOOL}`."
        )


def _called(adb: str, *words: str, limit: float = _LIMIT) -> str:
    try:
        done = subprocess.run(
            [adb, *words], capture_output=True, text=True, errors="replace", timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"adb {words[0]} took more than {limit:.0f} s: check the device, or give a smaller"
            " model."
        ) from error
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        said = lines[-1].strip()[:200] if lines else f"exit code {done.returncode}"
        raise ModelError(f"adb {' '.join(words[:2])} failed ({said}): check the device.")
    # The tool logs to the error stream.
    return done.stdout + done.stderr


def _times(device: str, said: str) -> DeviceTimes:
    found = _INFERENCE.search(said)
    if found is None:
        raise ModelError(
            f"The benchmark tool on {device} gave no times (its last words:"
            f" {(said.strip().splitlines() or ['none'])[-1][:200]}): run it by hand, or take"
            " another release of it."
        )
    return DeviceTimes(device, float(found[1]) / 1e3, _operators(said))


def _operators(said: str) -> tuple[tuple[str, float, str], ...]:
    """The rows of the last table in the order they run: the first is that of loading."""
    tables = said.split("= Run Order =")
    if len(tables) < 2:
        return ()
    columns: list[str] = []
    rows = []
    for line in tables[-1].splitlines():
        cells = [cell.strip() for cell in line.split("\t") if cell.strip()]
        if "[node type]" in cells:
            columns = cells
        elif columns and len(cells) == len(columns):
            row = dict(zip(columns, cells, strict=True))
            rows.append((row["[node type]"], float(row["[avg ms]"]), row["[Name]"]))
        elif columns:
            break
    return tuple(rows)
