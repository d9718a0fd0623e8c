"""Spoil a valid file of every kind and read it: what was read, what was refused in a sentence, and
what broke.

    .venv/bin/python benchmarks/fuzz.py --cases 2000 --seed 0 --out docs/results/fuzz

Each reader works in a process of its own, with a limit on memory and on the time of a case; a
process that dies is started again behind the case that killed it. Where a reader is Python all
through and atheris is installed (the extra fuzz), as many cases again are searched for by coverage;
readers whose extra is missing are left out. A case is read, refused (a KerasKDError of one line),
or a finding, whose files are kept under --findings. Writes counts.csv into --out and prints the
table of docs/reliability.md; exits with 1 if there are findings.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path
from random import Random

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pandas as pd
from fuzz_edits import spoilt
from fuzz_readers import READERS, Reader

from keras_kd.errors import LONGEST, KerasKDError

WAYS = ("spoilt", "guided")
MEMORY = 1024 * 2**20  # beyond what the process has once a valid file was read
SECONDS = 60  # of a case, by the clock: others may be at work on the machine
RESULTS, CURRENT, OUTPUT, VALID, WORK = "results.jsonl", "current", "output.txt", "valid", "work"
INSTRUMENTED = [
    "keras_kd",
    "csv",
    "json",
    "tomllib",
    "zipfile",
    "pickletools",
    "flatbuffers",
    "ai_edge_litert",
]


def main() -> None:
    """Fuzz and sum up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--reader", action="append", choices=READERS, help="one of them; all by default"
    )
    parser.add_argument("--cases", type=int, default=2000, help="a reader and way")
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
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work_in:
        _work(READERS[arguments.reader[0]], arguments)
        return
    rows = []
    for name in arguments.reader or READERS:
        for way in ways(READERS[name]):
            rows.append(_fuzzed(name, way, arguments.cases, arguments))
            print(json.dumps(rows[-1]), flush=True)
    counts = pd.DataFrame(rows)
    if arguments.out:
        counts = _with_others(counts, arguments.out / "counts.csv")
        arguments.out.mkdir(parents=True, exist_ok=True)
        counts.to_csv(arguments.out / "counts.csv", index=False)
    print(table(counts))
    sys.exit(1 if counts["findings"].any() else 0)


def _with_others(counts: pd.DataFrame, file: Path) -> pd.DataFrame:
    """The counts with those of the readers that were left out this time, as an earlier call wrote
    them.
    """
    earlier = [pd.read_csv(file)] if file.exists() else []
    known = pd.concat([counts, *(rows[~rows["reader"].isin(counts["reader"])] for rows in earlier)])
    return known.sort_values(
        "reader", key=lambda names: names.map(list(READERS).index), kind="stable"
    )


def ways(reader: Reader) -> tuple[str, ...]:
    """Return how a reader is fuzzed here; not at all without the package that it needs."""
    if reader.needs and not importlib.util.find_spec(reader.needs):
        return ()
    return WAYS if reader.guided and importlib.util.find_spec("atheris") else WAYS[:1]


def table(counts: pd.DataFrame) -> str:
    """Return the counts as Markdown, both ways of a reader in one row."""
    lines = ["| reader | cases | read | refused | broke | longest, s | most memory, MB |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, rows in counts.groupby("reader", sort=False):
        sums = rows[["cases", "read", "refused", "findings"]].sum()
        cells = [f"{count:,}" for count in sums] + [
            f"{rows['longest_s'].max():.1f}",
            f"{rows['most_mb'].max():.0f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _fuzzed(name: str, way: str, cases: int, arguments: argparse.Namespace) -> dict:
    """Let workers go through a reader's cases; sum up what they tell."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
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
                _tell(folder, "finding", reason, 0, 0)
                _keep(folder / WORK, arguments.findings / _plain(name) / f"{way}-{number}", reason)
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


def _work(reader: Reader, arguments: argparse.Namespace) -> None:
    """Go through the cases of one reader in this process."""
    folder = arguments.work_in
    valid, work = folder / VALID, folder / WORK
    if arguments.way == "guided":
        import atheris

        instrumented = atheris.instrument_imports(include=INSTRUMENTED)
        instrumented.__enter__()
    if not valid.exists():
        valid.mkdir()
        reader.write(valid)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(valid, work)
    reader.read(work)
    _limit_memory()
    if arguments.way == "guided":
        instrumented.__exit__()
        _guided(reader, arguments)
        return
    for number in range(arguments.first, arguments.cases):
        random = Random(f"{arguments.seed} {arguments.reader[0]} {number}")
        path = random.choice(_files(reader, valid))
        _case(reader, arguments, number, path, spoilt(path.read_bytes(), reader.tokens, random))


def _guided(reader: Reader, arguments: argparse.Namespace) -> None:
    """Let libFuzzer search by coverage; the first byte of what it makes says which file it is."""
    import atheris

    folder, files = arguments.work_in, _files(reader, arguments.work_in / VALID)
    corpus, words, number = folder / "corpus", folder / "words", arguments.first
    corpus.mkdir(exist_ok=True)
    for index, path in enumerate(files[:256]):
        (corpus / f"valid{index}").write_bytes(bytes([index]) + path.read_bytes())
    quoted = (
        "".join(f"\\x{byte:02x}" for byte in token)
        for token in reader.tokens
        if 0 < len(token) <= 64
    )
    words.write_text("".join(f'"{word}"\n' for word in quoted) or '"0"\n')

    def one(content: bytes) -> None:
        nonlocal number
        if content:
            _case(reader, arguments, number, files[content[0] % len(files)], content[1:])
            number += 1

    longest = max(path.stat().st_size for path in files) + 4096
    seed = zlib.crc32(f"{arguments.seed} {arguments.first}".encode()) or 1
    runs = arguments.cases - arguments.first
    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", f"-dict={words}"]
    # The limits are this file's own.
    options += ["-rss_limit_mb=0", f"-timeout={10 * SECONDS}", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def _files(reader: Reader, valid: Path) -> list[Path]:
    return sorted(path for path in valid.glob(reader.spoilt) if path.is_file())


def _case(
    reader: Reader, arguments: argparse.Namespace, number: int, path: Path, content: bytes
) -> None:
    """Read the files with one of them replaced, tell the outcome, and put the valid one back."""
    folder = arguments.work_in
    target = folder / WORK / path.relative_to(folder / VALID)
    target.write_bytes(content)
    (folder / CURRENT).touch()
    _forget_peak()
    before, started = _status("VmRSS"), time.process_time()
    outcome, detail = judged(reader, folder / WORK)
    seconds = time.process_time() - started
    _tell(folder, outcome, detail, seconds, max(0, _status("VmHWM") - before))
    if outcome == "finding":
        _keep(
            folder / WORK,
            arguments.findings / _plain(arguments.reader[0]) / f"{arguments.way}-{number}",
            detail,
        )
    target.write_bytes(path.read_bytes())


def judged(reader: Reader, folder: Path) -> tuple[str, str]:
    """Read; return "read", "refused" or "finding", and the refusal's sentence or what was
    raised.
    """
    try:
        reader.read(folder)
    except KerasKDError as error:
        sentence = str(error)
        return (
            "refused" if sentence.isprintable() and len(sentence) <= LONGEST else "finding"
        ), sentence
    except BaseException:
        return "finding", traceback.format_exc()
    return "read", ""


def _limit_memory() -> None:
    """Let this process allocate MEMORY more; what is over raises MemoryError or ends it."""
    limit = _status("VmData") + MEMORY
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _status(key: str) -> int:
    """A line of this process' status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _tell(folder: Path, outcome: str, detail: str, seconds: float, size: int) -> None:
    told = {"outcome": outcome, "detail": detail[-300:], "seconds": seconds, "bytes": size}
    with (folder / RESULTS).open("a") as file:
        file.write(json.dumps(told) + "\n")


def _told(folder: Path) -> list[dict]:
    """What workers told so far, a case each, in order."""
    results = folder / RESULTS
    lines = results.read_text().splitlines() if results.exists() else []
    # A worker that is killed may leave half a line.
    return [json.loads(line) for line in lines if line.endswith("}")]


def _keep(work: Path, kept: Path, reason: str) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(work, kept)
    (kept / "reason.txt").write_text(reason)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


if __name__ == "__main__":
    main()
