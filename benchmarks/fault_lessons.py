"""The commands that benchmarks/faults.py and fault_signals.py stop, and what is known about
each.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DATA = "--data ../given/data --batch-size 16 --precision float32"
ALL = 2**31


def epochs_kept(folder: Path) -> int:
    """Epochs in the state of a training; all where the model is there."""
    states = list(folder.rglob("state.npz"))
    if not states:
        return ALL if any(folder.rglob("*.keras")) else 0
    with np.load(states[0]) as stored:
        return json.loads(str(stored["state"]))["epoch"]


def views_kept(folder: Path) -> int:
    """Views that a store, whole or in the making, holds."""
    if (folder / "store" / "store.json").exists():
        return ALL
    progress = folder / "store" / "progress.json"
    return json.loads(progress.read_text())["done"] if progress.exists() else 0


def trials_kept(folder: Path) -> int:
    """Trials in a sweep's table."""
    table = folder / "out" / "trials.csv"
    return len(pd.read_csv(table)) if table.exists() else 0


def frames_kept(folder: Path) -> int:
    """Frames in a recording's csv."""
    rows = folder / "out" / "film.csv"
    lines = rows.read_bytes().split(b"\n")[1:-1] if rows.exists() else []
    return len({line.split(b",")[0] for line in lines})


def files_kept(folder: Path) -> int:
    """Files of a bundle."""
    return sum(not path.name.startswith(".") for path in folder.glob("out/*"))


@dataclass(frozen=True)
class Lesson:
    """A command and what is known about it.

    Attributes:
        line: the arguments of `kerakd`, run in the lesson's folder; `../given` holds what it
            starts from.
        needs: what lies in `../given`.
        kept: how much of the work a folder holds; must never fall by more than `redone`.
        phases: what must lie in the folder for the work to have got that far, in order.
        record: what lies there once --resume is needed to go on; none where the same command goes
            on.
        goes_on: the arguments that are given then; none for the same with --resume.
        copied: what of `../given` lies in the folder from the beginning.
        redone: what is done again, as it may be half done: the rows of a recording's last two
            frames.
    """

    line: str
    needs: tuple[str, ...]
    kept: Callable[[Path], int]
    phases: dict[str, str]
    record: str | None = None
    goes_on: str | None = None
    copied: tuple[str, ...] = ()
    redone: int = 0

    @property
    def arguments(self) -> list[str]:
        """What `kerakd` is given."""
        return self.line.split()

    def continued(self, folder: Path) -> list[str]:
        """What `kerakd` is given to go on with what lies in a folder."""
        if not self.record or not (folder / self.record).exists():
            return self.arguments
        return (self.goes_on or f"{self.line} --resume").split()


# The labelling starts when its teacher is there already.
LABELLING = f"teach {DATA} --teacher C --teacher-epochs 3 --augment crops --views 60"
RECIPE = "--teacher ../given/teacher.keras --augment mirror --epochs 3 --formats float32"
DISTILLING = f"distill {DATA} {RECIPE} --student ../given/small.keras"
LESSONS = {
    "teach": Lesson(
        f"teach {DATA} --teacher C --teacher-epochs 4 --augment mirror --out out",
        ("data",),
        epochs_kept,
        {
            "data": "cache",
            "training": "cache/teachers/*/state.npz",
            "publishing": "cache/teachers/*/teacher.keras",
        },
    ),
    "soft labels": Lesson(
        f"{LABELLING} --soft-labels store",
        ("data", "teacher.keras"),
        views_kept,
        {
            "labelling": "store",
            "further chunks": "store/progress.json",
            "publishing": "store/logits.npy",
        },
        copied=("cache",),
    ),
    "distil": Lesson(
        f"{DISTILLING} --out out",
        ("data", "teacher.keras", "small.keras"),
        epochs_kept,
        {
            "data": "out/config.toml",
            "soft labels": "cache/soft_labels",
            "training": "out/.state/state.npz",
            "export": "out/student.keras",
            "report": "out/confusion.png",
        },
        "out/config.toml",
    ),
    "sweep": Lesson(
        f"sweep {DATA} --student ../given/small.keras --alpha 1 --epochs 2 --vary seed=0,1"
        " --no-pruning --out out",
        ("data", "small.keras"),
        trials_kept,
        {
            "data": "out/sweep.db",
            "first trial": "out/.state/*/state.npz",
            "later trials": "out/trials.csv",
        },
    ),
    "export": Lesson(
        "export ../given/teacher.keras --format int8 --data ../given/data --bundle"
        " --min-agreement 0.1 --out out",
        ("data", "teacher.keras"),
        files_kept,
        {"publishing": "out/model.tflite"},
    ),
    "analyze": Lesson(
        "analyze ../given/film.mp4 --crop 1.5 --out out",
        ("film.mp4",),
        frames_kept,
        {
            "first frames": "out/film/session.json",
            "frames": "out/film.csv",
            "report": "out/film/tasks.csv",
        },
        "out/film/session.json",
        redone=2,
    ),
    "import": Lesson(
        "import ../given/weights.safetensors --out out/teacher.keras",
        ("data", "teacher.keras", "weights.safetensors"),
        files_kept,
        {"publishing": "out/teacher.keras"},
    ),
    "web": Lesson(
        "web ../given/bundle --litert-js ../given/packages --out out",
        ("data", "teacher.keras", "bundle", "packages"),
        files_kept,
        {"copying": ".out-partial-*/new/index.html", "publishing": "out/index.html"},
    ),
    "evaluate": Lesson(
        "evaluate ../given/teacher.keras --data ../given/data --json",
        ("data", "teacher.keras"),
        files_kept,
        {},
    ),
    "bench": Lesson(
        "bench ../given/bundle/model.tflite --seconds 0.1 --data ../given/data --csv out/bench.csv"
        " --picture out/bench.png",
        ("data", "teacher.keras", "bundle"),
        files_kept,
        {"publishing": "out/bench.csv"},
    ),
    "predict": Lesson(
        "predict ../given/wall.png --model ../given/bundle --crop 1.5 --csv out/faces.csv"
        " --annotate out",
        ("data", "teacher.keras", "bundle", "wall.png"),
        files_kept,
        {"publishing": "out/faces.csv"},
    ),
    "report": Lesson(
        "report ../given/run --paper --out out",
        ("data", "teacher.keras", "small.keras", "run"),
        files_kept,
        {"publishing": "out/README.md"},
    ),
    "compare": Lesson(
        "compare ../given/groups/A/p1.csv ../given/groups/A/p2.csv ../given/groups/B/p1.csv"
        " ../given/groups/B/p2.csv --csv out/table.csv --out out/page.html",
        ("film.mp4", "groups"),
        files_kept,
        {"table": "out/table.csv", "page": "out/page.html"},
    ),
    "guide": Lesson(
        "guide ../given/bundle --out out/embedding.md",
        ("data", "teacher.keras", "bundle"),
        files_kept,
        {"publishing": "out/embedding.md"},
    ),
    "init": Lesson(
        "init ../given/data --out out/options.toml",
        ("data",),
        files_kept,
        {"publishing": "out/options.toml"},
    ),
    "rerun": Lesson(
        "rerun ../given/run --out out",
        ("data", "teacher.keras", "small.keras", "run"),
        epochs_kept,
        {
            "data": "out/config.toml",
            "training": "out/.state/state.npz",
            "export": "out/student.keras",
        },
        "out/config.toml",
        "distill --resume --out out",
    ),
}
