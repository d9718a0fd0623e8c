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

import argparse
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
import shutil
import sqlite3
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.context import ForkProcess as Process
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import drawn_film
from fault_lessons import LABELLING, LESSONS, Lesson
from keras_kd.cli import engine, start

from keras_kd.datasets.readers import faces

# One thread and no reordering of sums: equal runs give equal bits.
FIXED = {
    "TF_DETERMINISTIC_OPS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "KERAKD_CACHE": "cache",
}
IMAGES = {"train": 140, "validation": 35, "test": 35}
FILM_SECONDS, FILM_RATE = 20, 10
POLL_SECONDS = 0.02
# What a command says whose work is done already.
NOTHING_LEFT = ("is complete", "is already in use")
LITERT_JS = "2.5.3"
# Clocks and what holds them, and the number of a trial, which is tried anew under another one.
VOLATILE_KEYS = {"seconds", "train_seconds", "number"}
VOLATILE_FILES = {"README.md", "sweep.db"}


def draw_data(given: Path) -> None:
    """Draw a few faces into class folders."""
    for split, count in IMAGES.items():
        drawn = faces.generate(count, faces.SEEDS[split])
        for number, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
            path = given / "data" / split / drawn.class_names[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


def draw_film(given: Path) -> None:
    """Draw a face that begins to smile."""
    units = np.linspace(
        faces.prototype("neutral"), faces.prototype("happy"), FILM_SECONDS * FILM_RATE
    )
    drawn_film.write(given / "film.mp4", map(drawn_film.scene, faces.film(units, 1)), FILM_RATE)


def train_teacher(given: Path) -> None:
    """Train a teacher and keep the cache that it lies in."""
    ended(given, started(given, [*LABELLING, "--out", "."]))


def export_weights(given: Path) -> None:
    """Write the teacher's weights in PyTorch's form."""
    export = ["export", "teacher.keras", "--format", "safetensors", "--out", "weights.safetensors"]
    ended(given, started(given, export))


def export_bundle(given: Path) -> None:
    """Bundle the teacher."""
    export = ["export", "teacher.keras", "--format", "float32", "--bundle", "--out", "bundle"]
    ended(given, started(given, [*export, "--data", "data"]))


def make_packages(given: Path) -> None:
    """Files under the names and of the sizes of LiteRT.js', which no page of a lesson loads."""
    modules = given / "packages" / "node_modules" / "@litertjs"
    core = modules / "core"
    for folder in (core / "dist", core / "wasm", modules / "wasm-utils" / "dist"):
        folder.mkdir(parents=True)
        (folder / "index.js").write_text("export {};\n")
    (core / "package.json").write_text(json.dumps({"version": LITERT_JS}))
    for name in ("litert_wasm_internal", "litert_wasm_compat_internal"):
        (core / "wasm" / f"{name}.js").write_text("\n" * 100_000)
        (core / "wasm" / f"{name}.wasm").write_bytes(bytes(9_000_000))


MAKERS = {
    "data": draw_data,
    "teacher.keras": train_teacher,
    "film.mp4": draw_film,
    "weights.safetensors": export_weights,
    "bundle": export_bundle,
    "packages": make_packages,
}


def make(given: Path, names: tuple[str, ...]) -> None:
    """Make what a lesson starts from, unless it is there."""
    given.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (given / name).exists():
            MAKERS[name](given)


def fresh(work: Path, name: str, lesson: Lesson) -> Path:
    """An empty folder, but for what the lesson is given."""
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in lesson.copied:
        shutil.copytree(work / "given" / part, folder / part)
    return folder


def started(folder: Path, arguments: list[str], errors: Path | None = None) -> Process:
    """Start `kerakd` in a folder; its messages go to `errors`, or where `errors_of` says.

    It is forked from this process, which has imported TensorFlow, so that kills meet work and not
    seconds of imports.
    """
    process = multiprocessing.get_context("fork").Process(
        target=run_kerakd, args=(folder, arguments, errors or errors_of(folder))
    )
    process.start()
    return process


def run_kerakd(folder: Path, arguments: list[str], errors: Path) -> None:
    """Be `kerakd`."""
    for stream, path in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.chdir(folder)
    # Forked processes would all draw the same numbers where nobody has set a seed.
    random.seed()
    np.random.seed()
    sys.argv = ["kerakd", *arguments]
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
    """Wait until a process has changed the folder so often, or has ended; return how often it did."""
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


def busy_seconds(process: Process) -> float:
    """Seconds of a processor that a process has had (man 5 proc); its clock runs as fast as its
    work.
    """
    times = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def content(folder: Path) -> dict[str, str]:
    """A digest of every file below a folder, of what doesn't hang on clocks."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {
        str(path.relative_to(folder)): hashlib.sha256(essence(path)).hexdigest()[:16]
        for path in paths
    }


def essence(path: Path) -> bytes:
    """What two equal runs have in common of a file."""
    if path.name in VOLATILE_FILES:
        return b""
    if path.suffix == ".keras":
        return weights(path)
    if path.suffix == ".json":
        return json.dumps(without_clocks(json.loads(path.read_text()))).encode()
    if path.suffix == ".csv":
        rows = pd.read_csv(path, dtype=str).drop(columns=list(VOLATILE_KEYS), errors="ignore")
        return rows.sort_values(list(rows)).to_csv(index=False).encode()
    return path.read_bytes()


def weights(path: Path) -> bytes:
    """The configuration and all weights of a `.keras` file, whose archive holds dates."""
    with (
        zipfile.ZipFile(path) as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file,
    ):
        arrays: list[bytes] = []
        file.visititems(
            lambda name, item: (
                arrays.append(item[()].tobytes()) if isinstance(item, h5py.Dataset) else None
            )
        )
        # What Keras numbers shared objects by are addresses in memory.
        config = re.sub(rb'"shared_object_id": \d+', b"", archive.read("config.json"))
        return config + b"".join(arrays)


def without_clocks(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: without_clocks(part) for key, part in value.items() if key not in VOLATILE_KEYS}


def damaged(folder: Path) -> list[str]:
    """Files under their final names that are not whole; SQLite's journal is what makes its database
    whole again.
    """
    paths = [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".") and "-partial-" not in str(path)
    ]
    paths = [path for path in paths if path.suffix != ".db-journal"]
    return [f"{path.relative_to(folder)}: {fault}" for path in paths if (fault := fault_of(path))]


def fault_of(path: Path) -> str | None:
    """Why a file is not whole; None if it is."""
    try:
        WHOLE.get(path.suffix, Path.read_bytes)(path)
    except Exception as error:
        # Each reader raises what it likes; whatever it is, the file can't be read.
        return f"{type(error).__name__}: {error}"
    return None


def read_archive(path: Path) -> None:
    """Read every array of an .npz file."""
    with np.load(path) as stored:
        for name in stored.files:
            stored[name]


def read_database(path: Path) -> None:
    """Have SQLite check a database, which first undoes what a killed process left unfinished."""
    with sqlite3.connect(path) as database:
        (found,) = database.execute("pragma integrity_check").fetchone()
    if found != "ok":
        raise ValueError(found)


def read_text_to_its_end(path: Path) -> None:
    """Make sure that a text file ends with a line's end."""
    if path.name != "film.csv" and not path.read_text().endswith("\n"):
        raise ValueError("cut short")


WHOLE: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_text()),
    ".toml": lambda path: tomllib.loads(path.read_text()),
    ".npz": read_archive,
    ".npy": lambda path: np.load(path),
    ".keras": weights,
    ".png": lambda path: Image.open(path).load(),
    ".db": read_database,
    ".csv": read_text_to_its_end,
    ".txt": read_text_to_its_end,
    ".md": read_text_to_its_end,
}


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
            rows.append({"lesson": number, **row})
            pd.DataFrame(rows).to_csv(table, index=False)
            print(name, rows[-1], flush=True)


def one_lesson(
    folder: Path, lesson: Lesson, unbroken: Unbroken, moments: np.random.Generator, kills: int
) -> Iterator[dict[str, object]]:
    """Start a lesson, kill it and go on at most so often, until it ends; one row a process."""
    kept = 0
    for attempt in range(kills + 1):
        resume = ["--resume"] if lesson.record and (folder / lesson.record).exists() else []
        process = started(folder, [*lesson.arguments, *resume])
        moment = killed(folder, process, unbroken, moments) if attempt < kills else None
        if moment is None:
            ended(folder, process)
            yield {"ending": "finished", "different": "; ".join(differences(folder, unbroken))}
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


def half_written(folder: Path) -> list[Path]:
    """What a killed process was writing: files that have not got their final names."""
    hidden = [path for path in folder.rglob(".*") if path.name != ".lock"]
    return [path for path in hidden if path.is_file() or "-partial-" in path.name]


def differences(folder: Path, unbroken: Unbroken) -> list[str]:
    """Files that are not those of the unbroken run."""
    found = content(folder)
    names = sorted(found.keys() | unbroken.content.keys())
    return [name for name in names if found.get(name) != unbroken.content.get(name)]


def table(folder: Path) -> str:
    """The counts of a folder of results, in Markdown."""
    lines = [
        "| command | killed | in phase | while writing | files damaged | rows lost | finished |"
        " other results |"
    ]
    lines += ["| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, lesson in LESSONS.items():
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


def prepare(work: Path) -> None:
    """Import what the commands need, so that processes forked from here have it."""
    os.environ.update(FIXED)
    os.environ.setdefault("KERAS_HOME", str(work.absolute() / "keras"))
    for module in (
        "checkpoints",
        "pipelines.distill",
        "pipelines.teach",
        "pipelines.sweep",
        "pipelines.export",
        "sessions.analysis",
        "sessions._reader",
        "sessions._detectors",
        "sessions.web",
    ):
        engine.load(module)
    # A killed process is taken for dead after seconds, not after a minute.
    (
        engine.load("pipelines.trial_queue").HEARTBEAT_SECONDS,
        engine.load("pipelines.trial_queue").SILENT_SECONDS,
    ) = (
        1,
        6,
    )


def run() -> None:
    """Kill, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--only", default=",".join(LESSONS))
    parser.add_argument("--work", type=Path, default=Path("runs/faults"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/faults"))
    given = parser.parse_args()
    prepare(given.work)
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only.split(","):
        make(given.work / "given", LESSONS[name].needs)
        broken(given.work, name, given.kills, given.out / f"{name}.csv")
    if all((given.out / f"{name}.csv").exists() for name in LESSONS):
        print(table(given.out))


if __name__ == "__main__":
    run()
