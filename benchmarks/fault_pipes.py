"""Put a pipe in the place of each file that a command reads or writes: none may wait for it.

    .venv/bin/python benchmarks/fault_pipes.py [--only "data inspect"] [--work DIR] [--out DIR]

Each line is a command of `kerakd` on small drawn faces, with `PIPE:` or `AT:` before
the name that is a pipe.
A command waits if it gets no processor time for 20 s. A fault is that, a traceback, or an exit code
other than 0 (the file isn't needed) and 2. Writes OUT/pipes.csv, one row a line, and prints the
table of docs/reliability.md. Linux only.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from multiprocessing.context import ForkProcess as Process
from pathlib import Path

import fault_givens
import fault_processes
import pandas as pd
from fault_lessons import DATA, Lesson

NEEDS = ("data", "teacher.keras", "small.keras", "film.mp4", "bundle", "run", "groups", "wall.png",
         "weights.safetensors", "packages")  # fmt: skip
COPIED = ("data", "packages", "run", "bundle", "small.keras", "wall.png")
SILENT_SECONDS = 20
DISTIL = f"distill {DATA} --student small.keras --epochs 1 --formats float32"
SWEEP = f"sweep {DATA} --student small.keras --alpha 1 --epochs 1 --vary seed=0"
CORE = "packages/node_modules/@litertjs/core"
LINES = (
    f"{DISTIL} --teacher PIPE:a.h5 --out out",
    f"{DISTIL} --alpha 1 --start-from PIPE:a.keras --out out",
    f"{DISTIL} --teacher ../given/teacher.keras --soft-labels PIPE:store --out out",
    f"{DISTIL} --teacher ../given/teacher.keras --soft-labels store AT:store/store.json",
    f"{DISTIL} --teacher ../given/teacher.keras --unlabeled more AT:more/a.png --out out",
    "distill --resume --out out AT:out/config.toml",
    "distill --config PIPE:a.toml",
    f"{SWEEP} --out out AT:out/sweep.db",
    f"{SWEEP} --out out AT:out/trials.csv",
    "import PIPE:a.safetensors --out out.keras",
    "import PIPE:a.json --out out.keras",
    "import ../given/weights.safetensors --out out.keras --check PIPE:a.npz",
    "export small.keras --format float32 --bundle --data data --example PIPE:a.png --out out",
    "evaluate PIPE:a.tflite --data data",
    "evaluate PIPE:a.onnx --data data",
    "evaluate model --data data AT:model/saved_model.pb",
    "evaluate small.keras --data data --trust-module PIPE:a.py",
    "evaluate bundle/model.tflite --data data AT:bundle/labels.txt",
    "bench PIPE:a.tflite --seconds 0.1",
    "predict PIPE:a.png --model bundle",
    "predict wall.png --model bundle AT:bundle/preprocess.json",
    "predict wall.png --model bundle --csv PIPE:a.csv",
    "analyze PIPE:a.mp4 --out out",
    "analyze PIPE:a.csv --from openface --out out",
    "analyze ../given/film.mp4 --segments PIPE:a.csv --out out",
    "analyze ../given/film.mp4 --out out --resume AT:out/film/session.json",
    "compare PIPE:a.csv",
    "report run AT:run/metrics.json",
    "report run --paper --out out AT:run/footprint.json",
    "report run --paper --out out AT:out/README.md",
    "rerun run --out out AT:run/config.toml",
    "guide bundle --out PIPE:a.md",
    "init data --out PIPE:a.toml",
    f"web bundle --litert-js packages --out out AT:{CORE}/package.json",
    "data inspect data AT:data/train/happy/a.png",
    "data inspect data AT:data/labels.txt",
    "data inspect PIPE:a.csv",
    "data inspect fer2013:PIPE:a.csv",
    "data inspect parquet:more AT:more/train.parquet",
    "data inspect shards:more AT:more/train-0.tar",
    "data inspect shards:more AT:more/train-0.tfrecord",
    "data inspect affectnet:more AT:more/train_set/annotations/0_exp.npy",
)  # fmt: skip
# Before a word that is a pipe, and before the place of one that is no word of the command.
PIPE, PLACE = "PIPE:", "AT:"


def tried(work: Path, line: str) -> dict[str, object]:
    """Run a line, and tell what happened."""
    folder = fault_processes.fresh(work, "pipes", Lesson("", (), lambda _: 0, {}))
    for name in COPIED:
        given = work / "given" / name
        (shutil.copytree if given.is_dir() else shutil.copy)(given, folder / name)
    words = line.split()
    for word in (word for word in words if PIPE in word or PLACE in word):
        pipe = folder / word.replace(PLACE, PIPE).partition(PIPE)[2]
        pipe.parent.mkdir(parents=True, exist_ok=True)
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
    own = [word.replace(PIPE, "") for word in words if PLACE not in word]
    process = fault_processes.started(folder, own)
    waits = waited(process)
    told = fault_processes.errors_of(folder).read_text(errors="replace")
    faults = ["waits"] if waits else []
    if not waits and process.exitcode not in (0, 2):
        faults.append(f"exit {process.exitcode}")
    if "Traceback" in told:
        faults.append("a traceback")
    said = next(iter(told.strip().splitlines()[-1:]), "") if process.exitcode else ""
    return {"exit": process.exitcode, "said": said[:300], "faults": "; ".join(faults)}


def waited(process: Process) -> bool:
    """Whether a process waited without end, and was killed; else it has ended."""
    busy, since = 0.0, time.monotonic()
    while process.is_alive():
        time.sleep(fault_processes.POLL_SECONDS)
        try:
            now = fault_processes.busy_seconds(process)
        except (FileNotFoundError, ProcessLookupError):
            break
        if now > busy:
            busy, since = now, time.monotonic()
        if time.monotonic() - since > SILENT_SECONDS:
            process.kill()
            process.join()
            return True
    process.join()
    return False


def run() -> None:
    """Try each line, print the counts."""
    given = fault_processes.parser(__doc__, "").parse_args()
    fault_processes.prepare(given.work)
    fault_givens.make(given.work / "given", NEEDS)
    path = given.out / "pipes.csv"
    rows = fault_processes.rows_of(path)
    for line in (one for one in LINES if given.only in one):
        rows = [row for row in rows if row["line"] != line]
        rows.append({"line": line, "commit": fault_processes.commit(), **tried(given.work, line)})
        pd.DataFrame(rows).to_csv(path, index=False)
        print(rows[-1], flush=True)
    codes = pd.Series([row["exit"] for row in rows]).value_counts().sort_index()
    wrong = sum(bool(row["faults"]) for row in rows)
    print("| lines | exit codes | faults |\n| ---: | --- | ---: |")
    print(f"| {len(rows)} | {', '.join(f'{code}: {n}' for code, n in codes.items())} | {wrong} |")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    run()
