"""Check that a power failure can leave no name without its content: everything that gets its final
name was forced to the disk before, and its folder's names after.

    .venv/bin/python benchmarks/fault_power.py [--only import,export]

Each command is a lesson of fault_lessons.py, run under strace, which lists the calls that rename
and force. Writes OUT/power.csv, one row a command, and prints the table of docs/reliability.md.
Linux only.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import fault_givens
import fault_processes
import pandas as pd
from fault_lessons import LESSONS

STRACE = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o"]
FORCED = re.compile(r"f(?:data)?sync\(\d+<(.*)>\) += 0")
RENAMED = re.compile(r'rename(?:at2?)?\((?:[^"]*)"(.*)", (?:[^"]*)"([^"]*)".* = 0')
UNFINISHED = re.compile(r"(\d+) (.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"(\d+) <\.\.\. \w+ resumed>(.*)$")
KERAKD = "from keras_kd.cli.start import main; main()"
# Reopened by whoever goes on with a recording, row by row: what was lost is computed again.
ROW_BY_ROW = ("film.csv",)


def unforced(trace: str, folder: Path) -> list[str]:
    """Files that a traced command left in a folder, and that a power failure could damage.

    Args:
        trace: the lines of strace.
        folder: where the command ran, and where its relative names start.
    """
    forced: dict[str, list[int]] = {}
    came: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(joined(trace)):
        if match := FORCED.search(line):
            forced.setdefault(os.path.normpath(match[1]), []).append(number)
        elif match := RENAMED.search(line):
            source, target = (os.path.normpath(folder / name) for name in match.groups())
            came[target] = source, number
    left = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    left = [path for path in left if not path.name.startswith(".")]
    return [
        f"{path.relative_to(folder)}: {wrong}"
        for path in left
        if path.name not in ROW_BY_ROW and (wrong := _wrong(path, forced, came))
    ]


def joined(trace: str) -> list[str]:
    """The lines of strace, with a call that others interrupted as one line where it ended."""
    begun: dict[str, str] = {}
    lines = []
    for line in trace.splitlines():
        if match := UNFINISHED.match(line):
            begun[match[1]] = match[2]
        elif match := RESUMED.match(line):
            lines.append(f"{match[1]} {begun.pop(match[1])}{match[2]}")
        else:
            lines.append(line)
    return lines


def _wrong(
    path: Path, forced: dict[str, list[int]], came: dict[str, tuple[str, int]]
) -> str | None:
    """What a file, or the folder that it came in, missed."""
    renamed = next((one for one in (path, *path.parents) if str(one) in came), None)
    if renamed is None:
        return None if str(path) in forced else "never forced"
    source, number = came[str(renamed)]
    first = os.path.normpath(Path(source, path.relative_to(renamed)))
    if not any(at < number for at in forced.get(first, ())):
        return "named before it was forced"
    if not any(at > number for at in forced.get(str(renamed.parent), ())):
        return "its name was not forced"
    return None


def traced(arguments: list[str], folder: Path) -> str:
    """Run Python with arguments in a folder, and return what strace saw."""
    trace = folder.with_name(f"{folder.name}.strace")
    subprocess.run([*STRACE, trace, sys.executable, *arguments], cwd=folder, check=True)
    return trace.read_text(errors="replace")


def table(path: Path) -> str:
    """The rows of power.csv, in Markdown."""
    rows = pd.read_csv(path, keep_default_na=False, dtype=str)
    lines = ["| command | files left | forced to the disk | not in time |"]
    lines += ["| --- | ---: | ---: | --- |"]
    lines += [
        f"| {row.command} | {row.files} | {row.forced} | {row.wrong or 'none'} |"
        for row in rows.itertuples()
    ]
    return "\n".join(lines)


def run() -> None:
    """Trace each command, print."""
    commands = "import,export,web,teach,distil,soft labels"
    given = fault_processes.parser(__doc__, commands).parse_args()
    fault_processes.prepare(given.work)
    path = given.out / "power.csv"
    rows = fault_processes.rows_of(path)
    for name in given.only.split(","):
        lesson = LESSONS[name]
        fault_givens.make(given.work / "given", lesson.needs)
        folder = fault_processes.fresh(given.work.absolute(), f"{name}, traced", lesson)
        before = {file for file in folder.rglob("*") if file.is_file()}
        trace = traced(["-P", "-c", KERAKD, *lesson.arguments], folder)
        wrong = [
            one for one in unforced(trace, folder) if folder / one.partition(": ")[0] not in before
        ]
        files = len([file for file in folder.rglob("*") if file.is_file() and file not in before
                     and not file.name.startswith(".")])  # fmt: skip
        rows = [row for row in rows if row["command"] != name]
        rows.append({"command": name, "commit": fault_processes.commit(), "files": files,
                     "forced": len(re.findall(FORCED, trace)),
                     "wrong": "; ".join(wrong)})  # fmt: skip
        pd.DataFrame(rows).to_csv(path, index=False)
        print(rows[-1], flush=True)
    print(table(path))
    sys.exit(any(row["wrong"] for row in rows))


if __name__ == "__main__":
    run()
