"""The process of benchmarks/fuzz.py that reads a reader's cases, one after the other."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
import traceback
import zlib
from pathlib import Path
from random import Random

from fuzz_edits import spoilt
from fuzz_readers import Reader

from keras_kd.errors import LONGEST, KerasKDError

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


def work(reader: Reader, arguments: argparse.Namespace) -> None:
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
    removed(work)
    shutil.copytree(valid, work)
    reader.read(work)
    _limit_memory()
    if arguments.way == "guided":
        instrumented.__exit__()
        _guided(reader, arguments)
        return
    for number in range(arguments.first, arguments.cases):
        random = Random(f"{arguments.seed} {arguments.reader[0]} {number}")
        if arguments.way == "bombs":
            removed(work)
            shutil.copytree(valid, work)
            random.choice(reader.bombs)(work, random)
            _read(reader, arguments, number)
            continue
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
    _read(reader, arguments, number)
    target.write_bytes(path.read_bytes())


def _read(reader: Reader, arguments: argparse.Namespace, number: int) -> None:
    """Read what lies in the working folder, and tell the outcome."""
    folder = arguments.work_in
    (folder / CURRENT).touch()
    _forget_peak()
    before, started = _status("VmRSS"), time.process_time()
    outcome, detail = judged(reader, folder / WORK)
    seconds = time.process_time() - started
    tell(folder, outcome, detail, seconds, max(0, _status("VmHWM") - before))
    if outcome == "finding":
        keep(
            folder / WORK,
            arguments.findings / plain(arguments.reader[0]) / f"{arguments.way}-{number}",
            detail,
        )


def removed(folder: Path) -> None:
    """Remove a folder of any depth: Python's own way ends at a thousand."""
    subprocess.run(["rm", "-rf", folder], check=True)


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


def tell(folder: Path, outcome: str, detail: str, seconds: float, size: int) -> None:
    """Add a case's outcome to the results in a folder."""
    told = {"outcome": outcome, "detail": detail[-300:], "seconds": seconds, "bytes": size}
    with (folder / RESULTS).open("a") as file:
        file.write(json.dumps(told) + "\n")


def keep(work: Path, kept: Path, reason: str) -> None:
    """Copy the files of a finding to where they stay."""
    removed(kept)
    kept.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-r", work, kept], check=True)
    (kept / "reason.txt").write_text(reason)


def plain(name: str) -> str:
    """A reader's name as a folder's."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)
