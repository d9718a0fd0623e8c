"""`kerakd` in processes that are forked from one that has imported TensorFlow."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from multiprocessing.context import ForkProcess as Process
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fault_lessons import Lesson
from keras_kd.cli import engine, start

# One thread and no reordering of sums: equal runs give equal bits.
FIXED = {
    "TF_DETERMINISTIC_OPS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "KERAKD_CACHE": "cache",
}
POLL_SECONDS = 0.02
# What a command says whose work is done already.
NOTHING_LEFT = ("is complete", "is already in use", "already exists: choose another --out")
ENGINE = (
    "checkpoints",
    "pipelines.distill",
    "pipelines.teach",
    "pipelines.sweep",
    "pipelines.export",
    "sessions.analysis",
    "sessions._reader",
    "sessions._detectors",
    "sessions.web",
    "sessions.photos",
    "evaluation.benchmark",
    "evaluation.scoring",
    "pipelines.rerun",
    "pipelines.statements",
    "reports.footprint",
    "exporters.guide",
    "pipelines.start",
    "sessions.comparison",
    "sessions._comparison_page",
    "reproduction.paper",
)
# A killed process of a sweep is taken for dead after seconds, not after a minute.
HEARTBEAT_SECONDS, SILENT_SECONDS = 1, 6


def prepare(work: Path) -> None:
    """Import what the commands need, so that processes forked from here have it."""
    commit()
    os.environ.update(FIXED)
    os.environ.setdefault("KERAS_HOME", str(work.absolute() / "keras"))
    for module in ENGINE:
        engine.load(module)
    queue = engine.load("pipelines.trial_queue")
    queue.HEARTBEAT_SECONDS, queue.SILENT_SECONDS = HEARTBEAT_SECONDS, SILENT_SECONDS


def parser(description: str | None, only: str) -> argparse.ArgumentParser:
    """The options that all of these scripts take; `only` are the commands tried by default."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", default=only)
    options.add_argument("--work", type=Path, default=Path("runs/faults"))
    options.add_argument("--out", type=Path, default=Path("docs/results/faults"))
    return options


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows that a csv of results holds already; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return pd.read_csv(path, keep_default_na=False).to_dict("records") if path.exists() else []


def fresh(work: Path, name: str, lesson: Lesson) -> Path:
    """An empty folder, but for what the lesson is given."""
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in lesson.copied:
        shutil.copytree(work / "given" / part, folder / part)
    return folder


def started(
    folder: Path,
    arguments: list[str],
    errors: Path | None = None,
    limited: Callable[[], None] | None = None,
) -> Process:
    """Start `kerakd` in a folder; its messages go to `errors`, or where `errors_of` says. `limited`
    is called before it starts.

    It is forked from this process, which has imported TensorFlow, so that kills meet work and not
    seconds of imports.
    """
    process = multiprocessing.get_context("fork").Process(
        target=run_kerakd, args=(folder, arguments, errors or errors_of(folder), limited)
    )
    process.start()
    return process


def run_kerakd(
    folder: Path, arguments: list[str], errors: Path, limited: Callable[[], None] | None
) -> None:
    """Be `kerakd`."""
    for stream, path in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(folder)
    # Forked processes would all draw the same numbers where nobody has set a seed.
    random.seed()
    np.random.seed()
    sys.argv = ["kerakd", *arguments]
    if limited:
        limited()
    start.main()


def errors_of(folder: Path) -> Path:
    """Where the messages of the newest process in a folder go."""
    return folder.with_name(f"{folder.name}.stderr")


def ended(folder: Path, process: Process) -> None:
    """Wait for a process that must end well, or say that there was nothing left to do."""
    process.join()
    errors = errors_of(folder).read_text()
    if process.exitcode and not any(words in errors for words in NOTHING_LEFT):
        sys.exit(f"kerakd in {folder} ended with {process.exitcode}: {errors[-2000:]}")


def busy_seconds(process: Process) -> float:
    """Seconds of a processor that a process has had (man 5 proc); its clock runs as fast as its
    work.
    """
    times = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


@cache
def commit() -> str:
    """The short name of the commit that was checked out at the start."""
    told = subprocess.run(
        ["git", "-C", Path(__file__).parent, "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()
