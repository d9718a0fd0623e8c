"""Stop commands by Ctrl-C, Ctrl-C twice and SIGTERM, and run two at the same moment in one place.

    .venv/bin/python benchmarks/fault_signals.py [--stops 5] [--pairs 10] [--only import,web]

Each command is a lesson of benchmarks/faults.py. A stop comes after a random share of the
processor time of an unbroken run, after half of that where the command had ended by itself, the
second Ctrl-C within 0.3 s of the first. Then the command is given again, with --resume where it has
it, and what it leaves must be what an unbroken run leaves. Of two at the same moment each must do
its work or refuse it in one sentence. A process that doesn't answer within 60 s is deaf. Writes
OUT/signals.csv, one row a trial, and prints the table of docs/reliability.md; stopped, it goes on.
Linux only.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.context import ForkProcess as Process
from pathlib import Path

import fault_contents
import fault_givens
import fault_processes
import faults
import numpy as np
import pandas as pd
from fault_lessons import LESSONS

STOPS = {
    "Ctrl-C": (signal.SIGINT,),
    "Ctrl-C twice": (signal.SIGINT, signal.SIGINT),
    "SIGTERM": (signal.SIGTERM,),
}
PAIR = "two at the same moment"
ANSWER_SECONDS, SECOND_WITHIN = 60, 0.3


def stopped(name: str, kind: str, work: Path, random: np.random.Generator) -> dict[str, object]:
    """Stop a lesson by a kind of signals, go on, and tell what happened."""
    lesson, unbroken = LESSONS[name], faults.undisturbed(work, name)
    folder = work / f"{name}, stopped"
    share = random.uniform(0.02, 0.95)
    while (process := signalled(folder, name, kind, share * unbroken.seconds, random)) is None:
        share /= 2
    found = result([process], [fault_processes.errors_of(folder)], folder, {130, 143})
    fault_processes.ended(folder, fault_processes.started(folder, lesson.continued(folder)))
    return found | {"different": "; ".join(fault_contents.differences(folder, unbroken.content))}


def signalled(
    folder: Path, name: str, kind: str, seconds: float, random: np.random.Generator
) -> Process | None:
    """Start a lesson, and stop it after so many seconds of a processor; None if it ended before."""
    fault_processes.fresh(folder.parent, folder.name, LESSONS[name])
    process = fault_processes.started(folder, LESSONS[name].arguments)
    while process.is_alive() and fault_processes.busy_seconds(process) < seconds:
        time.sleep(fault_processes.POLL_SECONDS)
    for number in STOPS[kind]:
        if process.is_alive() and process.pid:
            os.kill(process.pid, number)
        time.sleep(random.uniform(0, SECOND_WITHIN))
    process.join(ANSWER_SECONDS)
    return process if process.exitcode != 0 else None


def together(name: str, work: Path) -> dict[str, object]:
    """Start a lesson twice at the same moment in one folder, and tell what happened."""
    lesson, unbroken = LESSONS[name], faults.undisturbed(work, name)
    folder = fault_processes.fresh(work, f"{name}, together", lesson)
    errors = [folder.with_name(f"{folder.name}.{number}.stderr") for number in (1, 2)]
    pair = [fault_processes.started(folder, lesson.arguments, path) for path in errors]
    for process in pair:
        process.join()
    found = result(pair, errors, folder, {2})
    if not any(process.exitcode == 0 for process in pair):
        found["faults"] = f"{found['faults']}; neither did its work".strip("; ")
    return found | {"different": "; ".join(fault_contents.differences(folder, unbroken.content))}


def result(
    processes: list[Process], errors: list[Path], folder: Path, codes: set[int]
) -> dict[str, object]:
    """Exit codes and last lines of processes, and what they should not have done."""
    wrong, said = fault_contents.damaged(folder), []
    for process, path in zip(processes, errors, strict=True):
        if process.is_alive():
            process.kill()
            process.join()
            wrong.append("deaf")
        text = path.read_text(errors="replace")
        said.append(next(iter(text.strip().splitlines()[-1:]), "") if process.exitcode else "")
        if process.exitcode not in {0, *codes}:
            wrong.append(f"exit {process.exitcode}")
        if "Traceback" in text:
            wrong.append("a traceback")
    exits = " ".join(str(process.exitcode) for process in processes)
    return {"exit": exits, "said": " | ".join(said)[:300], "faults": "; ".join(wrong)}


def table(path: Path) -> str:
    """The counts of signals.csv, in Markdown: how often each exit code came of each kind."""
    rows = pd.read_csv(path, keep_default_na=False, dtype=str)
    kinds = (*STOPS, PAIR)
    lines = [f"| command | {' | '.join(kinds)} | faults | other results |"]
    lines += [f"| --- | {'--- | ' * len(kinds)}---: | ---: |"]
    for command, group in rows.groupby("command", sort=False):
        exits = (_counts(group[group["kind"] == kind]["exit"]) for kind in kinds)
        wrong, different = ((group[column] != "").sum() for column in ("faults", "different"))
        lines.append(f"| {command} | {' | '.join(exits)} | {wrong} | {different} |")
    return "\n".join(lines)


def _counts(codes: pd.Series) -> str:
    """How often each exit code came, or a dash."""
    counts = codes.value_counts().sort_index()
    return ", ".join(f"{code}: {count}" for code, count in counts.items()) or "–"


def run() -> None:
    """Stop, go on, compare, print."""
    parser = fault_processes.parser(__doc__, ",".join(LESSONS))
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=10)
    given = parser.parse_args()
    fault_processes.prepare(given.work)
    # In the background of a script it would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    path = given.out / "signals.csv"
    rows = fault_processes.rows_of(path)
    for name in given.only.split(","):
        fault_givens.make(given.work / "given", LESSONS[name].needs)
        for kind in (*STOPS, PAIR):
            done = sum((row["command"], row["kind"]) == (name, kind) for row in rows)
            for _ in range(done, given.pairs if kind == PAIR else given.stops):
                random = np.random.default_rng(len(rows))
                found = (
                    together(name, given.work)
                    if kind == PAIR
                    else stopped(name, kind, given.work, random)
                )
                rows.append(
                    {"command": name, "kind": kind, "commit": fault_processes.commit(), **found}
                )
                pd.DataFrame(rows).to_csv(path, index=False)
                print(rows[-1], flush=True)
    print(table(path))
    sys.exit(any(row["faults"] or row["different"] for row in rows))


if __name__ == "__main__":
    run()
