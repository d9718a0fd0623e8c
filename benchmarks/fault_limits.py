"""Run commands where files, disk or addresses are scarce: they must work, or say so in a sentence.

    .venv/bin/python benchmarks/fault_limits.py [--only bench,predict]

Each command is a lesson of fault_lessons.py. `files` lets it open so many files beyond those that
are open when it starts; `disk` gives its folder a file system with so many kilobytes of room, for
which the user must be root; `addresses` is `ulimit -v` in kB. A fault is an exit code other than 0
and 2, a traceback, exit code 2 without one sentence, or a file that is not whole. Writes
OUT/limits.csv, one row a trial, and prints the table of docs/reliability.md. Linux only.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fault_contents
import fault_givens
import fault_processes
import pandas as pd
from fault_lessons import LESSONS

COMMANDS = (
    "evaluate", "bench", "predict", "report", "rerun", "import", "export", "web", "compare",
    "guide", "init",
)  # fmt: skip
AMOUNTS = {"files": (1, 3, 6, 12), "disk": (0, 16), "addresses": (600_000,)}
KILOBYTE, DISK = 1024, 64 * 2**20
KERAKD = "from keras_kd.cli.start import main; main()"


def limited_files(more: int) -> Callable[[], None]:
    """A function that lets its process open so many files more."""

    def limit() -> None:
        names = map(int, os.listdir("/proc/self/fd"))
        used = {name for name in names if os.path.exists(f"/proc/self/fd/{name}")}
        free = [name for name in range(max(used) + more + 1) if name not in used]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[more - 1] + 1,) * 2)

    return limit


@contextmanager
def small_disk(folder: Path, room: int) -> Iterator[None]:
    """Mount a file system of so many kilobytes of room in a folder's place."""
    size = f"size={DISK}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
    try:
        ballast = shutil.disk_usage(folder).free - room * KILOBYTE
        (folder / ".ballast").write_bytes(bytes(ballast))
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def trial(work: Path, name: str, limit: str, amount: int) -> dict[str, object]:
    """Run a lesson within a limit, and tell what happened."""
    folder = fault_processes.fresh(work, f"{name}, limited", LESSONS[name])
    if limit == "addresses":
        return found(folder, *within_addresses(LESSONS[name].arguments, folder, amount))
    if limit == "disk":
        with small_disk(folder, amount):
            return found(folder, *forked(LESSONS[name].arguments, folder, None))
    return found(folder, *forked(LESSONS[name].arguments, folder, limited_files(amount)))


def forked(
    arguments: list[str], folder: Path, limited: Callable[[], None] | None
) -> tuple[int, str]:
    """Exit code and messages of a process that has imported TensorFlow."""
    process = fault_processes.started(folder, arguments, limited=limited)
    process.join()
    return process.exitcode or 0, fault_processes.errors_of(folder).read_text(errors="replace")


def within_addresses(arguments: list[str], folder: Path, amount: int) -> tuple[int, str]:
    """Exit code and messages of a new process."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", KERAKD, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (amount * KILOBYTE,) * 2),
    )
    return done.returncode, done.stderr


def found(folder: Path, code: int, told: str) -> dict[str, object]:
    """What a command did, and what it should not have done."""
    last = next(iter(told.strip().splitlines()[-1:]), "")
    wrong = fault_contents.damaged(folder)
    wrong += [f"left {path.name}" for path in fault_contents.half_written(folder)
              if path.name != ".ballast" and path.parent.name != ".state"]  # fmt: skip
    if code not in (0, 2):
        wrong.append(f"exit {code}")
    if "Traceback" in told or (code == 2 and not last.startswith("kerakd: ")):
        wrong.append("no sentence")
    return {"exit": code, "said": last[:300] if code else "", "faults": "; ".join(wrong)}


def table(path: Path) -> str:
    """The rows of limits.csv by command and limit, in Markdown: exit codes by amount."""
    rows = pd.read_csv(path, keep_default_na=False, dtype=str)
    lines = [
        f"| command | {' | '.join(AMOUNTS)} | faults |",
        f"| ---{' | ---' * len(AMOUNTS)} | ---: |",
    ]
    for command, group in rows.groupby("command", sort=False):
        cells = [
            ", ".join(
                f"{row.amount}: {row.exit}" for row in group[group["limit"] == limit].itertuples()
            )
            for limit in AMOUNTS
        ]
        lines.append(f"| {command} | {' | '.join(cells)} | {(group['faults'] != '').sum()} |")
    return "\n".join(lines)


def run() -> None:
    """Run each command within each limit, print."""
    given = fault_processes.parser(__doc__, ",".join(COMMANDS)).parse_args()
    fault_processes.prepare(given.work)
    path = given.out / "limits.csv"
    rows = fault_processes.rows_of(path)
    for name in given.only.split(","):
        fault_givens.make(given.work / "given", LESSONS[name].needs)
        done = {(row["limit"], row["amount"]) for row in rows if row["command"] == name}
        wanted = [(limit, amount) for limit, amounts in AMOUNTS.items() for amount in amounts]
        for limit, amount in wanted:
            if (limit, amount) in done:
                continue
            row = {"command": name, "limit": limit, "amount": amount}
            row["commit"] = fault_processes.commit()
            rows.append(row | trial(given.work, name, limit, amount))
            pd.DataFrame(rows).to_csv(path, index=False)
            print(rows[-1], flush=True)
    print(table(path))
    sys.exit(any(row["faults"] for row in rows))


if __name__ == "__main__":
    run()
