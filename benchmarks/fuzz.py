"""Spoil a valid file of every kind and read it: what was read, what was refused in a sentence, and
what broke.

    .venv/bin/python benchmarks/fuzz.py --cases 2000 --seed 0 --out docs/results/fuzz

Each reader works in a process of its own, with a limit on memory and on the time of a case; a
process that dies is started again behind the case that killed it. Where a reader is Python all
through and atheris is installed (the extra fuzz), as many cases again are searched for by
coverage. Where fuzz_bombs.py has small files that declare or compute far more than they hold,
--bombs of them are read too. Readers whose extra is missing are left out. A case is read, refused
(a KerasKDError of one line), or a finding, whose files are kept under --findings. Writes counts.csv
into --out and prints the table of docs/reliability.md; exits with 1 if there are findings.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from fuzz_readers import READERS, Reader
from fuzz_worker import (
    CURRENT,
    OUTPUT,
    RESULTS,
    SECONDS,
    WORK,
    keep,
    plain,
    removed,
    tell,
    work,
)

WAYS = ("spoilt", "guided", "bombs")


def main() -> None:
    """Fuzz and sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--reader", action="append", choices=READERS, help="one of them; all by default"
    )
    parser.add_argument("--cases", type=int, default=2000, help="a reader and way")
    parser.add_argument("--bombs", type=int, default=200, help="a reader that has them")
    parser.add_argument("--minutes", type=float, default=60, help="at most, a reader and way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of counts.csv; printed only if not given")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path("runs/fuzz"),
        help="folder of the files that broke something",
    )
    parser.add_argument("--work-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, help="one of them; all that a reader has by default")
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work_in:
        work(READERS[arguments.reader[0]], arguments)
        return
    rows = []
    for name in arguments.reader or READERS:
        for way in ways(READERS[name]):
            if arguments.way not in (None, way):
                continue
            cases = arguments.bombs if way == "bombs" else arguments.cases
            rows.append(_fuzzed(name, way, cases, arguments))
            print(json.dumps(rows[-1]), flush=True)
    counts = pd.DataFrame(rows)
    if arguments.out:
        counts = _with_others(counts, arguments.out / "counts.csv")
        arguments.out.mkdir(parents=True, exist_ok=True)
        counts.to_csv(arguments.out / "counts.csv", index=False)
    print(table(counts))
    sys.exit(1 if counts["findings"].any() else 0)


def _with_others(counts: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The counts with those of the readers and ways that were left out this time, as an earlier
    call wrote them.
    """
    earlier = [pd.read_csv(file)] if file.exists() else []
    known = pd.concat([*earlier, counts]).drop_duplicates(["reader", "way"], keep="last")
    return known.sort_values(
        "reader", key=lambda names: names.map(list(READERS).index), kind="stable"
    )


def ways(reader: Reader) -> tuple[str, ...]:
    """Return how a reader is fuzzed here; not at all without the package that it needs."""
    if reader.needs and not importlib.util.find_spec(reader.needs):
        return ()
    guided = reader.guided and importlib.util.find_spec("atheris")
    return ("spoilt", *(["guided"] if guided else []), *(["bombs"] if reader.bombs else []))


def table(counts: pd.DataFrame) -> str:
    """Return the counts as Markdown, all ways of a reader in one row."""
    lines = ["| reader | cases | bombs | read | refused | broke | longest, s | most memory, MB |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, rows in counts.groupby("reader", sort=False):
        sums = rows[["cases", "read", "refused", "findings"]].sum()
        sums = [sums["cases"], rows[rows["way"] == "bombs"]["cases"].sum(), *sums[1:]]
        cells = [f"{count:,}" for count in sums] + [
            f"{rows['longest_s'].max():.1f}",
            f"{rows['most_mb'].max():.0f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _fuzzed(name: str, way: str, cases: int, arguments: argparse.Namespace) -> dict:
    """Let workers go through a reader's cases; sum up what they tell."""
    with _temporary() as folder:
        first, end = 0, time.monotonic() + 60 * arguments.minutes
        while first < cases and time.monotonic() < end:
            reason = _watched(folder, _command(name, way, first, cases, folder, arguments), end)
            if reason is None:
                break
            if not (folder / CURRENT).exists():
                raise SystemExit(
                    f"{name}: the worker could not even read the valid files: {reason}"
                )
            number = len(_told(folder))
            if reason:
                tell(folder, "finding", reason, 0, 0)
                keep(folder / WORK, arguments.findings / plain(name) / f"{way}-{number}", reason)
            first = number + 1
        told = _told(folder)
    outcomes = Counter(one["outcome"] for one in told)
    return {
        "reader": name,
        "way": way,
        "cases": len(told),
        "read": outcomes["read"],
        "refused": outcomes["refused"],
        "findings": outcomes["finding"],
        "longest_s": round(max((one["seconds"] for one in told), default=0), 2),
        "most_mb": round(max((one["bytes"] for one in told), default=0) / 1e6, 1),
        "seed": arguments.seed,
    }


@contextmanager
def _temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        removed(folder)


def _command(
    name: str, way: str, first: int, cases: int, folder: Path, arguments: argparse.Namespace
) -> list[str]:
    numbers = {
        "cases": cases,
        "seed": arguments.seed,
        "first": first,
        "findings": arguments.findings,
    }
    options = [f"--{option}={value}" for option, value in numbers.items()]
    return [
        sys.executable,
        __file__,
        "--reader",
        name,
        "--way",
        way,
        "--work-in",
        str(folder),
        *options,
    ]


def _watched(folder: Path, command: list[str], end: float) -> str | None:
    """Run a worker; None when it is done, "" when its time is over, else what ended it in the
    middle of a case.
    """
    (folder / CURRENT).unlink(missing_ok=True)
    with (
        (folder / OUTPUT).open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as worker,
    ):
        while worker.poll() is None:
            time.sleep(0.2)
            current = folder / CURRENT
            if time.monotonic() > end and current.exists():
                worker.kill()
                worker.wait()
                return ""
            if current.exists() and time.time() - current.stat().st_mtime > SECONDS:
                worker.kill()
                worker.wait()
                return "no answer"
    if worker.returncode == 0:
        return None
    died = (
        f"signal {signal.Signals(-worker.returncode).name}"
        if worker.returncode < 0
        else f"exit {worker.returncode}"
    )
    return (folder / OUTPUT).read_text(errors="replace")[-5000:] + "\n" + died


def _told(folder: Path) -> list[dict]:
    """What workers told so far, a case each, in order."""
    results = folder / RESULTS
    lines = results.read_text().splitlines() if results.exists() else []
    # A worker that is killed may leave half a line.
    return [json.loads(line) for line in lines if line.endswith("}")]


if __name__ == "__main__":
    main()
