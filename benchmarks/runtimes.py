"""Whether files answer the same on every runtime that an app may meet.

    make runtimes
    .venv/bin/python benchmarks/runtimes.py [--models A B C …] [--seconds 60] [--write]

Each runtime that can be had here gets an environment of its own below build/runtimes, and runs the
shipped bundles and every format of some models (see runtime_files.py) on the same 300 images, one
at a time. The outputs are compared as probabilities with those of ai-edge-litert as this library
uses it; an ONNX file's with those of the float32 .tflite. Prints a line for each; --write puts
them into docs/results/runtimes.csv, the table into docs/export.md and a line into each card of
exports/. What can't be had or refuses a file is a row with the reason.

A file gets --seconds on each runtime: slow ones compute fewer images, which csv and table count.
What was computed is kept below build/runtimes, so that the next run goes on where the time was up.
--seconds 0 only tells what is there; cells that were not run yet are left out and counted. Models
and files are kept, too: delete build/runtimes/files when the exporter changed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd
import runtime_cards
import runtime_files
from runtime_cards import RIGHT
from runtime_cells import Answer, Job, kept, stored
from runtime_files import File
from runtime_list import RUNTIMES, Missing, Runtime
from scipy.special import softmax

from keras_kd import datasets
from keras_kd._common.files import write_text
from keras_kd._common.markdown import table
from keras_kd.datasets.images import fitted
from keras_kd.runtimes.litert import LiteRTModel

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "runtimes"
CSV, PAGE = ROOT / "docs" / "results" / "runtimes.csv", ROOT / "docs" / "export.md"
BEGIN, END = "<!-- runtimes: written by benchmarks/runtimes.py -->", "<!-- runtimes end -->"
MODELS, IMAGES = ("A", "B", "C", "vgg8", "mobilenetv2", "efficientformer-l1"), 300


def probabilities(rows: np.ndarray, file: File) -> np.ndarray:
    """Turn a file's outputs into probabilities."""
    rows = rows.reshape(len(rows), -1)
    return rows if file.probabilities else softmax(rows, axis=1)


Row = dict[str, object]


def compared(
    runtime: Runtime,
    file: File,
    answer: Answer,
    exact: np.ndarray,
    floats: np.ndarray | None = None,
) -> Row:
    """Return a row of the csv: how a file's answers on a runtime differ from the usual ones.

    Args:
        runtime: which gave them.
        file: whose they are.
        answer: the file's outputs, or why there are none.
        exact: the usual probabilities.
        floats: those of the same model's float32 file; None where there is none. With it the row
            says how far both are from it: the mean of each image's largest difference.
    """
    row: Row = {"runtime": runtime.name, "model": file.model, "kind": file.kind}
    if isinstance(answer, Missing):
        return row | {"reason": str(answer)}
    count = min(len(answer), len(exact), *([] if floats is None else [len(floats)]))
    found, expected = probabilities(answer[:count], file), exact[:count]
    changed = (found.argmax(axis=1) != expected.argmax(axis=1)).mean()
    if floats is not None:
        row |= {
            name: round(float(np.abs(one - floats[:count]).max(axis=1).mean()), 4)
            for name, one in (("from_float32", found), ("usual_from_float32", expected))
        }
    return row | {
        "images": count,
        "largest_difference": round(float(np.abs(found - expected).max()), 4),
        "changed_answers": round(float(changed), 4),
        "reason": "",
    }


def _rows(files: list[File], images: np.ndarray, seconds: float) -> Iterator[Row | None]:
    """The rows, and None for what was not run yet."""
    refused = [file for file in files if file.refusal]
    files = [file for file in files if not file.refusal]
    shown = {file: stored(_pixels(file, files, images), WORK) for file in files}
    exact = _exact(files, shown, seconds)
    floats = {file.model: rows for file, rows in exact.items() if file.kind == "float32"}
    for runtime in RUNTIMES:
        try:
            command = runtime.command(WORK)
        except Missing as reason:
            yield {"runtime": runtime.name, "reason": str(reason)}
            continue
        taken = [file for file in files if runtime.takes(file.kind)]
        answers = kept(
            runtime, command, [Job(one.path, shown[one]) for one in taken], seconds, WORK
        )
        for file, answer in zip(taken, answers, strict=True):
            if answer is None or file not in exact:
                yield None
                continue
            own = floats.get(file.model) if file.kind != runtime_files.SHIPPED else None
            yield compared(runtime, file, answer, exact[file], own)
        for file in refused:
            if runtime.takes(file.kind):
                yield compared(runtime, file, Missing(file.refusal), np.zeros(0))


def _exact(files: list[File], shown: dict[File, Path], seconds: float) -> dict[File, np.ndarray]:
    """The probabilities that are right, of LiteRT here, of as many images as ten times the time
    allows; of files that were run.
    """
    usual = Runtime("LiteRT here", "tflite")
    judges = list(dict.fromkeys(_judge(file, files) for file in files))
    jobs = [Job(judge.path, shown[judge]) for judge in judges]
    answers = dict(
        zip(judges, kept(usual, usual.command(WORK), jobs, 10 * seconds, WORK), strict=True)
    )
    for judge, answer in answers.items():
        if isinstance(answer, Missing):
            raise RuntimeError(f"{judge.path}: {answer}")
    judged = {file: _judge(file, files) for file in files}
    return {
        file: probabilities(answers[judge], judge)
        for file, judge in judged.items()
        if answers[judge] is not None
    }


def _judge(file: File, files: list[File]) -> File:
    """The file whose answers are right: itself, but for ONNX."""
    if file.kind != runtime_files.ONNX:
        return file
    return next(one for one in files if (one.model, one.kind) == (file.model, "float32"))


def _pixels(file: File, files: list[File], images: np.ndarray) -> np.ndarray:
    """The images as the file takes them."""
    model = LiteRTModel(_judge(file, files).path, trusted=True)
    sized = fitted(images, model.input_shape)
    return np.stack([model.as_input(image[None])[0] for image in sized])


def page(rows: pd.DataFrame, count: int, data: str) -> str:
    """Return the table of docs/export.md: runtimes by kinds of files, the worst of all models."""
    kinds = [runtime_files.SHIPPED, *runtime_files.KINDS]
    names = list(dict.fromkeys(rows["runtime"]))
    notes: dict[str, int] = {}
    lines = [(name, *(_cell(rows, name, kind, notes, count) for kind in kinds)) for name in names]
    made = ", ".join(dict.fromkeys(rows.loc[rows["kind"] == "float32", "model"]))
    models = f"{made} and the shipped files" if made else "The shipped files"
    told = (
        f"{models}, {count} images of `{data}`. A cell has the largest"
        " difference of a probability and the share of changed answers, the worst of all models,"
        " named where the difference is more than a tenth; after a colon, the fewest images"
        " that a model was run on, where time was short; a number in parentheses is a reason below;"
        " – is not for such files."
    )
    reasons = [f"{number}. {text.rstrip('.')}." for text, number in notes.items()]
    return "\n\n".join([told, table(("runtime", *kinds), lines), "\n".join(reasons)])


def _cell(rows: pd.DataFrame, runtime: str, kind: str, notes: dict[str, int], count: int) -> str:
    of_runtime = rows[rows["runtime"] == runtime]
    found = of_runtime[(of_runtime["kind"] == kind) | of_runtime["kind"].isna()]
    if found.empty:
        takes = any(one.takes(kind) for one in RUNTIMES if one.name == runtime)
        return "not run" if takes else "–"
    ran = found[found["reason"] == ""]
    reasons = dict.fromkeys(found.loc[found["reason"] != "", "reason"])
    marks = [f"({notes.setdefault(reason, len(notes) + 1)})" for reason in reasons]
    if ran.empty:
        return " ".join(marks)
    worst, changed = ran["largest_difference"].max(), 100 * ran["changed_answers"].max()
    text = f"{worst:.2g}, {changed:.1f} %"
    if worst > RIGHT:
        text = f"**{text}** {ran.loc[ran['largest_difference'].idxmax(), 'model']}"
    fewest = int(ran["images"].min())
    return " ".join([text if fewest == count else f"{text}: {fewest}", *marks])


def write(rows: pd.DataFrame, count: int, data: str) -> None:
    """Write csv, page and the cards of exports/."""
    write_text(CSV, rows.astype({"images": "Int64"}).to_csv(index=False))
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    runtime_cards.write(rows, count, data)
    write_text(PAGE, f"{before}{BEGIN}\n\n{page(rows, count, data)}\n\n{END}{after}")


def main() -> None:
    """Make the files, run them, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="*", default=MODELS, help="none for shipped files alone")
    parser.add_argument("--data", default="faces", help="its test images are shown")
    parser.add_argument("--seconds", type=float, default=60, help="for a file on a runtime")
    parser.add_argument("--write", action="store_true", help="csv and table in docs/")
    given = parser.parse_args()
    train, test = (datasets.load(given.data, split, size=48) for split in ("train", "test"))
    images = test.images[np.linspace(0, len(test) - 1, IMAGES).astype(int)]
    files = runtime_files.shipped()
    for name in given.models:
        files += runtime_files.made(name, train, WORK / "files")
    rows, absent = [], 0
    for row in _rows(files, images, given.seconds):
        if row is None:
            absent += 1
            continue
        rows.append(row)
        print(*row.values(), sep=" | ", flush=True)
    if absent:
        print(f"{absent} cells were not run yet and are left out: give --seconds more than 0")
    if given.write:
        write(pd.DataFrame(rows).fillna({"reason": ""}), len(images), given.data)


if __name__ == "__main__":
    main()
