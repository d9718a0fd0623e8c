"""What files answer on a runtime: computed by a driver, and kept, so that the next run goes on.

A cell is named by the file's content, the images, and the runtime with its packages. Each run adds
images to it for its seconds, until there are all. A reason why there are none is kept beside it,
for runs of no seconds, which only tell what others found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from runtime_list import BROWSER, Missing, Runtime

from keras_kd._common.files import write_text, written_whole
from keras_kd._common.identity import identity

VERSION = 2
LATE = "gives no answer in time"
PATIENCE = 120  # seconds that a driver may take to begin, besides ten times those of a file


@dataclass(frozen=True)
class Job:
    """A file to run.

    Attributes:
        model: the file.
        images: a `.npy` file of images as the model takes them, see `stored`.
        start: the number of the first one.
    """

    model: Path
    images: Path
    start: int = 0


Answer = np.ndarray | Missing
# A runtime's answers of a file; None if no run has asked for them yet.
Cell = Answer | None


def stored(images: np.ndarray, folder: Path) -> Path:
    """Return the file of these images below build/runtimes, which is named by their content, shape
    and type.
    """
    content = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
    facts = {"content": content, "shape": list(images.shape), "type": images.dtype.str}
    path = folder / "images" / f"{identity('images', VERSION, facts)}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.save(file, images)
    return path


def outputs(
    command: list[str], jobs: Sequence[Job], seconds: float, packages: tuple[str, ...] = ()
) -> list[Answer]:
    """Return a driver's outputs of each job, float32 (N, classes) of its first N images, or why
    the runtime has none.

    A driver that a file ends, or holds up, is started anew with the next file.
    """
    with tempfile.TemporaryDirectory() as name:
        places = [Path(name) / f"{number}.npy" for number in range(len(jobs))]
        begun = 0
        while begun < len(jobs):
            rest = [
                (str(job.model), str(job.images), job.start, str(place))
                for job, place in zip(jobs[begun:], places[begun:], strict=True)
            ]
            listed = Path(name) / "jobs.json"
            listed.write_text(json.dumps(rest))
            _ended(
                [*command, str(listed), str(seconds), *packages],
                places[begun:],
                10 * seconds + PATIENCE,
                Path(name),
            )
            # The last one that was begun: the driver is through, or it ended over this one.
            begun = max([begun, *(i for i, one in enumerate(places) if _said(one).exists())]) + 1
        return [_answer(place) for place in places]


def _ended(command: list[str], places: Sequence[Path], patience: float, folder: Path) -> None:
    """Run a driver until it ends, or has begun no further file for `patience` seconds.

    Its temporary files lie in `folder`. No program that it started is left, such as a browser.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
        start_new_session=True,  # a group of its own, so that all of it can be ended
    )
    try:
        _watch(process, places, patience)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _watch(process: subprocess.Popen[str], places: Sequence[Path], patience: float) -> None:
    begun, since = 0, time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            said = process.communicate(timeout=0.5)[1]
            break
        if (now := sum(_said(place).exists() for place in places)) > begun:
            begun, since = now, time.monotonic()
        if time.monotonic() - since > patience:
            _tell(places, LATE)
            return
    if process.returncode:
        _tell(places, f"{said}\nended with code {process.returncode}")


def _tell(places: Sequence[Path], words: str) -> None:
    """Add to what was said of the file that a driver was at."""
    at = max((i for i, one in enumerate(places) if _said(one).exists()), default=0)
    with _said(places[at]).open("a") as file:
        file.write(f"\n{words}\n")


def _said(place: Path) -> Path:
    return place.with_name(f"{place.name}.txt")


def _answer(place: Path) -> Answer:
    if place.exists():
        return np.load(place)
    return Missing(_reason(_said(place).read_text("utf-8", errors="replace")))


def _reason(said: str) -> str:
    """The line that names the operator, if one does; else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "registration" in line or "Error: " in line
               or "not supported" in line or "Didn't find op" in line]  # fmt: skip
    line = telling[0] if telling else (lines or ["ended without a word"])[-1]
    return " ".join(line.split())[:160]


def kept(
    runtime: Runtime, command: list[str], jobs: Sequence[Job], seconds: float, folder: Path
) -> list[Cell]:
    """Return the outputs of earlier runs and those of further images, as many as the time allows.

    Args:
        runtime: which computes.
        command: its command, see `Runtime.command`.
        jobs: the files and all of their images.
        seconds: for further images of each; none are computed once all are there, or for 0.
        folder: build/runtimes, in which cells are kept.

    Returns:
        Of each job the outputs, or why there are none; None if it was not run yet.
    """
    cells = [folder / "cells" / f"{_name(runtime, job)}.npy" for job in jobs]
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    starts = [len(np.load(cell, mmap_mode="r")) if cell.exists() else 0 for cell in cells]
    open_ones = [
        (cell, Job(job.model, job.images, start))
        for job, cell, start in zip(jobs, cells, starts, strict=True)
        if seconds and start < len(np.load(job.images, mmap_mode="r"))
    ]
    extra = (str(folder / "npm"),) if runtime.driver == BROWSER else ()
    if open_ones:
        found = outputs(command, [job for _, job in open_ones], seconds, extra)
        for (cell, _), answer in zip(open_ones, found, strict=True):
            _keep(cell, answer)
    return [_kept(cell) for cell in cells]


def _keep(cell: Path, answer: Answer) -> None:
    """Add outputs to a cell; a reason stands for a cell that has none."""
    if isinstance(answer, Missing):
        write_text(cell.with_suffix(".txt"), str(answer))
        return
    rows = np.concatenate([np.load(cell), answer]) if cell.exists() else answer
    with written_whole(cell) as temporary, temporary.open("wb") as file:
        np.save(file, rows)


def _kept(cell: Path) -> Cell:
    if cell.exists():
        return np.load(cell)
    reason = cell.with_suffix(".txt")
    return Missing(reason.read_text("utf-8")) if reason.exists() else None


def _name(runtime: Runtime, job: Job) -> str:
    facts = {
        "runtime": [runtime.name, runtime.driver, runtime.kind, *runtime.packages],
        "file": hashlib.sha256(job.model.read_bytes()).hexdigest(),
        "images": job.images.stem,
    }
    return identity("runtime's outputs", VERSION, facts)
