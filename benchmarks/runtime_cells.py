"""What a file answers on a runtime: computed by a driver, and kept, so that the next run goes on.

A cell is named by the file's content, the images, and the runtime with its packages. Each run adds
images to it for its seconds, until there are all.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from runtime_list import BROWSER, Missing, Runtime

from keras_kd._common.files import written_whole
from keras_kd._common.identity import identity

VERSION = 1


def outputs(command: list[str], model: Path, images: np.ndarray, seconds: float,
            packages: tuple[str, ...] = ()) -> np.ndarray:  # fmt: skip
    """Return a driver's outputs, float32 (N, classes) of the first N images.

    Raises:
        Missing: the runtime refuses the file, with the last words that it said.
    """
    with tempfile.TemporaryDirectory() as name:
        given, answer = Path(name) / "images.npy", Path(name) / "outputs.npy"
        np.save(given, images)
        try:
            done = subprocess.run(
                [*command, str(model), str(given), str(answer), str(seconds), *packages],
                capture_output=True, text=True, timeout=10 * seconds + 120,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Missing("gives no answer in time") from None
        if done.returncode or not answer.exists():
            raise Missing(_reason(done.returncode, done.stderr))
        return np.load(answer)


def kept(
    runtime: Runtime, command: list[str], model: Path, images: np.ndarray, seconds: float,
    folder: Path,
) -> np.ndarray:  # fmt: skip
    """Return the outputs of earlier runs and those of further images, as many as the time allows.

    Args:
        runtime: which computes.
        command: its command, see `Runtime.command`.
        model: the file.
        images: all of them, as the file takes them.
        seconds: for further images; none are computed once all are there.
        folder: build/runtimes, in which cells are kept.

    Raises:
        Missing: see `outputs`.
    """
    cell = folder / "cells" / f"{_name(runtime, model, images)}.npy"
    rows = np.load(cell) if cell.exists() else None
    done = 0 if rows is None else len(rows)
    if done < len(images):
        extra = (str(folder / "npm"),) if runtime.driver == BROWSER else ()
        try:
            more = outputs(command, model, images[done:], seconds, extra)
        except Missing:
            if rows is None:
                raise
            return rows
        rows = more if rows is None else np.concatenate([rows, more])
        cell.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(cell) as temporary, temporary.open("wb") as file:
            np.save(file, rows)
    assert rows is not None
    return rows


def _name(runtime: Runtime, model: Path, images: np.ndarray) -> str:
    facts = {
        "runtime": [runtime.name, runtime.driver, runtime.kind, *runtime.packages],
        "file": hashlib.sha256(model.read_bytes()).hexdigest(),
        "images": hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest(),
    }
    return identity("runtime's outputs", VERSION, facts)


def _reason(code: int, said: str) -> str:
    """The line that names the operator, if one does; else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "registration" in line or "Error: " in line
               or "not supported" in line or "Didn't find op" in line]  # fmt: skip
    line = (telling or lines or [f"ended with code {code}"])[-1 if not telling else 0]
    return " ".join(line.split())[:160]
