"""Models that we did not make, through every door: right within a bound, or refused by name.

    python benchmarks/zoo.py --write               # the cells that docs/results/zoo.md lacks
    python benchmarks/zoo.py --only LSTM --again   # one model, whatever is known of it
    python benchmarks/zoo.py --table --write       # the record as the table

Each model of zoo_models.py learns five kinds of stripes until it knows them and is put through the
doors of zoo_doors.py. The record has a line for each: a figure, the sentence of a refusal, or a
fault. A record that does not exist begins with the cells of the table. A child process does the
work. One that is ended by a signal or by the limit of time leaves a fault, and another child goes
on after it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import zoo_doors
from zoo_doors import BOUNDS, DOORS, ROUNDING, Keeper
from zoo_models import ZOO

from keras_kd.errors import KerasKDError

LIMIT_SECONDS = 600  # for one door, on a machine with much else to do
LATER = "it is left to the next run."
STARTED = "started"  # is all that a door left which ended the process
PAGE = Path(__file__).parents[1] / "docs" / "results" / "zoo.md"
BEGIN, END = "<!-- zoo: written by benchmarks/zoo.py -->", "<!-- zoo ends -->"


def judged(keeper: Keeper, door: str) -> dict:
    """Return what came of a door: its figure, a refusal, or a fault."""
    try:
        difference = keeper.figure(door)
    except KerasKDError as error:
        return {"refused": keeper.told(error)}
    except Exception as error:  # whatever is no sentence of ours is what is looked for here
        return _fault(error)
    if difference <= max(BOUNDS[door], ROUNDING.get(keeper.animal.policy, 0.0)):
        return {"difference": difference}
    return {"fault": f"differs by {difference:.2g}"}


def _fault(error: Exception) -> dict:
    return {"fault": f"{type(error).__name__}: {str(error)[:300]}"}


def missing(names: Sequence[str], doors: Sequence[str], record: Path) -> dict[str, list[str]]:
    """Return the doors that the record lacks, by model."""
    done = {(line["model"], line["door"]) for line in read(record)}
    left = {name: [door for door in doors if (name, door) not in done] for name in names}
    return {name: these for name, these in left.items() if these}


def begin(record: Path, page: str, again: Callable[[dict], bool]) -> None:
    """Write the record without the cells to try again; one that is not there is made from a
    page.
    """
    known = read(record) if record.exists() else cells(page)
    record.unlink(missing_ok=True)
    write(record, *(line for line in known if not again(line)))


def work(
    names: Sequence[str], doors: Sequence[str], record: Path, after: Callable[[], None]
) -> None:
    """Put the models through the doors that the record lacks, in this process; call `after`
    each.
    """
    for name, these in missing(names, doors, record).items():
        write(record, {"model": name, "door": these[0], "fault": STARTED})
        with contextlib.ExitStack() as stack:
            try:
                keeper = stack.enter_context(zoo_doors.kept(ZOO[name]))
            except Exception as error:  # of a model that is no model
                write(record, *({"model": name, "door": door, **_fault(error)} for door in these))
                continue
            for door in these:
                write(record, {"model": name, "door": door, "fault": STARTED})
                signal.alarm(LIMIT_SECONDS)
                outcome = judged(keeper, door)
                signal.alarm(0)
                if not keeper.alive:
                    outcome = {"fault": "its answers are all alike"}
                write(record, {"model": name, "door": door, **outcome})
                print(name, door, outcome, flush=True)
        after()


def run(
    names: Sequence[str],
    doors: Sequence[str],
    record: Path,
    program: str = __file__,
    options: Sequence[str] = (),
) -> None:
    """Put the models through the doors that the record lacks, in child processes of a program."""
    while missing(names, doors, record):
        command = [sys.executable, program, "--worker", "--record", str(record)]
        command += ["--doors", ",".join(doors), *(f"--only={name}" for name in names), *options]
        code = subprocess.run(command, check=False).returncode
        if not code:
            return
        last = read(record)[-1]
        reason = signal.Signals(-code).name if code < 0 else f"the exit code {code}"
        write(record, {**last, "fault": f"ended the process: {reason}"})


def read(record: Path) -> list[dict]:
    """Return the record's lines, the last of each door, in the order of their last lines."""
    lines = record.read_text().splitlines() if record.exists() else []
    last: dict[tuple[str, str], dict] = {}
    for line in map(json.loads, lines):
        last.pop((line["model"], line["door"]), None)
        last[line["model"], line["door"]] = line
    return list(last.values())


def write(record: Path, *lines: dict) -> None:
    """Append lines."""
    record.parent.mkdir(parents=True, exist_ok=True)
    with record.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def table(lines: Sequence[dict], not_run: str) -> str:
    """Return the record as a table in Markdown, a row a model, with its sentences below; `not_run`
    says why it lacks cells.
    """
    notes: list[str] = []
    by_door = {(line["model"], line["door"]): line for line in lines}
    rows = ["| model | " + " | ".join(DOORS) + " |", "| --- |" + " ---: |" * len(DOORS)]
    rows.append("| at most | " + " | ".join(_short(BOUNDS[door]) for door in DOORS) + " |")
    for name in ZOO:
        told = [_told(by_door.get((name, door), {"not run": not_run}), notes) for door in DOORS]
        rows.append(f"| {name} | " + " | ".join(told) + " |")
    return "\n".join([*rows, "", *(f"{n}. {note}" for n, note in enumerate(notes, start=1))])


def _told(line: dict, notes: list[str]) -> str:
    if "difference" in line:
        return _short(line["difference"])
    if "fault" in line:
        return f"**{line['fault']}**"
    sentence = line["refused"] if "refused" in line else f"Not run: {line['not run']}"
    if sentence not in notes:
        notes.append(sentence)
    return f"({notes.index(sentence) + 1})"


def cells(page: str) -> list[dict]:
    """Return the figures and refusals of a page's table as lines of a record."""
    notes = dict(re.findall(r"^(\d+)\. (.*)$", _between_marks(page), re.MULTILINE))
    rows = [row.strip("| ").split(" | ") for row in _between_marks(page).splitlines()]
    known = []
    for name, *row in (row for row in rows if row[0] in ZOO):
        for door, cell in zip(DOORS, row, strict=True):
            note = notes.get(cell.strip("()"), "") if cell.startswith("(") else None
            if note is None and not cell.startswith("**"):
                known.append({"model": name, "door": door, "difference": float(cell)})
            elif note and not note.startswith("Not run"):
                known.append({"model": name, "door": door, "refused": note})
    return known


def _between_marks(page: str) -> str:
    return page.partition(BEGIN)[2].partition(END)[0]


def _short(figure: float) -> str:
    """One digit: 0, 2e-7, .004 or 6."""
    if not figure:
        return "0"
    if figure < 0.001:
        return f"{figure:.0e}".replace("e-0", "e-")
    return f"{figure:.1g}".removeprefix("0")


def written_into_page(text: str, page: str) -> str:
    """Return the page with the text in place of what stands between the marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=list(ZOO))
    parser.add_argument("--doors", default=",".join(DOORS))
    parser.add_argument("--record", type=Path, default=Path("runs/zoo.jsonl"))
    parser.add_argument("--again", action="store_true", help="also the cells that are known")
    parser.add_argument("--table", action="store_true", help="print the table, run nothing")
    parser.add_argument("--write", action="store_true", help="into docs/results/zoo.md, too")
    parser.add_argument("--not-run", default=LATER, help="why cells are missing")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names, doors = arguments.only or list(ZOO), arguments.doors.split(",")

    def write_page() -> None:
        if arguments.write:
            made = table(read(arguments.record), arguments.not_run)
            PAGE.write_text(written_into_page(made, PAGE.read_text()))

    if arguments.worker:
        return work(names, doors, arguments.record, write_page)
    tried = {(name, door) for name in names for door in doors} if arguments.again else set()
    begin(arguments.record, PAGE.read_text(), lambda line: (line["model"], line["door"]) in tried)
    if not arguments.table:
        run(names, doors, arguments.record, options=["--write"] * arguments.write)
    write_page()
    return print(table(read(arguments.record), arguments.not_run))


if __name__ == "__main__":
    main()
