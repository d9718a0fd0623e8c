"""Kill long commands with SIGKILL at random moments, go on as their user would, and compare with an
unbroken run.

    .venv/bin/python benchmarks/faults.py --kills 50 [--only export,analyze] [--work DIR] [--out
    DIR]

Each lesson is `kerakd` on small drawn faces, in a process of its own. Half of the kills come after
a random time, half after a random number of changes to the lesson's files, so that writing is hit
too. After each kill every file under its final name must be whole and no row that was there before
may be missing; a lesson that ends must have the files of the unbroken run, equal but for clocks.
Writes OUT/COMMAND.csv, one row a process, and prints the table of docs/reliability.md; stopped, it
goes on until each command was killed so often. Linux only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.context import ForkProcess as Process
from pathlib import Path

import numpy as np
import pandas as pd
from fault_contents import content, damaged, differences, half_written
from fault_givens import make
from fault_lessons import LESSONS, Lesson
from fault_processes import (
    POLL_SECONDS,
    busy_seconds,
    commit,
    ended,
    fresh,
    parser,
    prepare,
    started,
)


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of all files, whatever comes and goes meanwhile."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.stat(os.path.join(place, name))
            except FileNotFoundError:
                continue
            found[os.path.join(place, name)] = (status.st_size, status.st_mtime_ns)
    return found


def watched(folder: Path, process: Process, changes: float = np.inf) -> int:
    """Wait until a process has changed the folder so often, or has ended; return how often it
    did.
    """
    before, count = seen(folder), 0
    while count < changes and process.is_alive():
        time.sleep(POLL_SECONDS)
        now = seen(folder)
        count, before = count + (now != before), now
    return count


@dataclass(frozen=True)
class Unbroken:
    """A lesson that nobody disturbed.

    Attributes:
        seconds: of a processor that it took.
        changes: how often its files changed.
        content: what it left, see `content`.
    """

    seconds: float
    changes: int
    content: dict[str, str]


def undisturbed(work: Path, name: str) -> Unbroken:
    """Run a lesson to its end, unless its record is there."""
    record = work / f"{name}, unbroken.json"
    if not record.exists():
        folder = fresh(work, f"{name}, unbroken", LESSONS[name])
        before = os.times()
        process = started(folder, LESSONS[name].arguments)
        changes = watched(folder, process)
        ended(folder, process)
        after = os.times()
        seconds = (
            after.children_user
            - before.children_user
            + after.children_system
            - before.children_system
        )
        record.write_text(json.dumps(asdict(Unbroken(seconds, changes, content(folder)))))
    return Unbroken(**json.loads(record.read_text()))


def killed(
    folder: Path, process: Process, unbroken: Unbroken, moments: np.random.Generator
) -> str | None:
    """Kill a process at a random moment; return which, or None if it ended before.

    One moment in ten lies beyond the end of an unbroken run.
    """
    share = moments.uniform(0, 1.1)
    if moments.integers(2):
        seconds = share * unbroken.seconds
        moment = f"after {seconds:.2f} s"
        while process.is_alive() and busy_seconds(process) < seconds:
            time.sleep(POLL_SECONDS)
    else:
        changes = 1 + int(share * unbroken.changes)
        moment = f"at change {changes}"
        watched(folder, process, changes)
    if not process.is_alive():
        return None
    process.kill()
    process.join()
    return moment


def phase(folder: Path, lesson: Lesson) -> str:
    """How far a killed process had come, as told by what lies in the folder."""
    reached = [name for name, pattern in lesson.phases.items() if any(folder.glob(pattern))]
    return reached[-1] if reached else "start"


def broken(work: Path, name: str, kills: int, table: Path) -> None:
    """Kill a lesson until it was killed so often in all, and each time go on; `table` gets a row a
    process.
    """
    lesson, unbroken = LESSONS[name], undisturbed(work, name)
    rows = pd.read_csv(table, keep_default_na=False).to_dict("records") if table.exists() else []
    # The same moments in every whole run, and others when a run goes on.
    moments = np.random.default_rng(len(rows))
    while (done := sum(row["ending"] == "killed" for row in rows)) < kills:
        folder, number = (
            fresh(work, f"{name}, killed", lesson),
            1 + max((row["lesson"] for row in rows), default=0),
        )
        for row in one_lesson(folder, lesson, unbroken, moments, kills - done):
            rows.append({"lesson": number, "commit": commit(), **row})
            pd.DataFrame(rows).to_csv(table, index=False)
            print(name, rows[-1], flush=True)


def one_lesson(
    folder: Path, lesson: Lesson, unbroken: Unbroken, moments: np.random.Generator, kills: int
) -> Iterator[dict[str, object]]:
    """Start a lesson, kill it and go on at most so often, until it ends; one row a process."""
    kept = 0
    for attempt in range(kills + 1):
        process = started(folder, lesson.continued(folder))
        moment = killed(folder, process, unbroken, moments) if attempt < kills else None
        if moment is None:
            ended(folder, process)
            yield {
                "ending": "finished",
                "different": "; ".join(differences(folder, unbroken.content)),
            }
            return
        before, kept = kept, lesson.kept(folder)
        yield {
            "ending": "killed",
            "moment": moment,
            "phase": phase(folder, lesson),
            "half_written": len(half_written(folder)),
            "damaged": "; ".join(damaged(folder)),
            "lost": max(before - kept - lesson.redone, 0),
        }


def table(folder: Path) -> str:
    """The counts of a folder of results, in Markdown."""
    lines = [
        "| command | killed | in phase | while writing | files damaged | rows lost | finished |"
        " other results |"
    ]
    lines += ["| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, lesson in LESSONS.items():
        if not (folder / f"{name}.csv").exists():
            continue
        rows = pd.read_csv(folder / f"{name}.csv", keep_default_na=False)
        killed, finished = (rows[rows["ending"] == ending] for ending in ("killed", "finished"))
        by_phase = killed["phase"].value_counts()
        phases = ", ".join(
            f"{part} {by_phase[part]}" for part in ("start", *lesson.phases) if part in by_phase
        )
        counts = [(killed[column] != "").sum() for column in ("damaged",)]
        writing, lost = (
            (killed[column].astype(float) > 0).sum() for column in ("half_written", "lost")
        )
        cells = [
            name,
            len(killed),
            phases,
            writing,
            *counts,
            lost,
            len(finished),
            (finished["different"] != "").sum(),
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def run() -> None:
    """Kill, compare, print."""
    options = parser(__doc__, ",".join(LESSONS))
    options.add_argument("--kills", type=int, default=50)
    given = options.parse_args()
    prepare(given.work)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only.split(","):
        make(given.work / "given", LESSONS[name].needs)
        broken(given.work, name, given.kills, given.out / f"{name}.csv")
    print(table(given.out))


if __name__ == "__main__":
    run()
