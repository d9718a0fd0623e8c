"""The tables of Mini-ResEmoteNet (Murtada, Abdelrhman, Attia 2025, arXiv 2501.18538) beside the
results of finished runs.

Table I has only the sizes of other models; its parameters are in Table VI.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from keras_kd._common import run_files
from keras_kd._common.files import write_text
from keras_kd._common.markdown import escaped, table
from keras_kd.errors import OutputError
from keras_kd.reports import pictures
from keras_kd.reports.run_records import DATA_SETS, Record, images_by_class, rows
from keras_kd.reproduction._cells import NOT_RUN, count, label, mean, notes, printed_value
from keras_kd.reproduction.matched_runs import ROWS, of_row
from keras_kd.reproduction.published import (
    OWN_VI,
    PARAMETERS,
    TABLE_V,
    TABLE_VI,
    Row,
)
from keras_kd.reproduction.table_iv import table_iv

_INTRODUCTION = """\
# The paper's tables

The values that Mini-ResEmoteNet printed \
(arXiv [2501.18538](https://arxiv.org/abs/2501.18538)) beside what the
[runs](#runs) gave. “not run” means that no run was given for a cell. \
Several seeds stand as mean ± standard deviation.

FER2013 has two test sets of 3,589 images. \
Most of the paper's figures can be a share of both together (7,178) and none
can be one of one set, so “both” is what to compare with. \
PublicTest also chose the epoch: PrivateTest is the figure to
believe. 288 of PrivateTest's images are exact copies of training images."""


def write(
    records: Sequence[Record], out: str | Path, measured: Sequence[dict[str, Any]] | None = None
) -> Path:
    """Write all tables as README.md and the confusion matrices as pictures into a folder.

    Args:
        records: finished runs.
        out: the folder; files of the same names are replaced.
        measured: as `footprint.measure` returned it, for Table V; None if nothing was measured.

    Returns:
        The path of README.md.

    Raises:
        OutputError: the folder holds a run, or a file can't be written.
    """
    out = Path(out)
    require_no_run(out)
    drawn = _draw(records, out)
    sections = [
        _INTRODUCTION,
        table_ii(),
        table_iii(records),
        table_iv(records),
        table_v(measured),
        table_vi(records),
        "## Confusion matrices",
        "\n\n".join(f"![{title}]({name})" for name, title in drawn) or NOT_RUN.capitalize() + ".",
        "## Runs",
        (
            "“test” is PrivateTest for FER2013. “gain” is what the teacher adds to the same"
            " student with the same budget."
        ),
        _runs(records, out),
    ]
    write_text(out / "README.md", "\n\n".join(sections) + "\n")
    return out / "README.md"


def require_no_run(out: str | Path) -> None:
    """Check that the tables take no run's place.

    Args:
        out: the folder of the tables.

    Raises:
        OutputError: the folder holds a run, whose README.md is its model card.
    """
    if Path(out, run_files.METRICS).exists():
        raise OutputError(f"{out} holds a run, whose card would be lost: choose another --out.")


def table_ii() -> str:
    """Return Table II: trainable parameters, counted on the models that are built here."""
    from keras_kd import compact, models
    from keras_kd.evaluation import scoring

    lines = []
    for name, printed in PARAMETERS.items():
        model = models.build(name)
        ours, live = (scoring.trainable_parameters(form) for form in (model, compact(model)))
        same = "equal" if ours == printed else f"{ours - printed:+,}"
        lines.append((label(name), f"{printed:,}", f"{ours:,}", same, f"{live:,}"))
    header = ("model", "paper", "ours", "difference", "live at 64×64")
    return "\n\n".join(("## Table II: trainable parameters", table(header, lines), notes("II")))


def table_iii(records: Sequence[Record]) -> str:
    """Return Table III: images by split and class, as published with the data sets and as the runs
    used them.

    Args:
        records: finished runs.

    Returns:
        Markdown.
    """
    parts = ["## Table III: images per class"]
    for name, module in DATA_SETS.items():
        record = next((record for record in records if record.data_set == name), None)
        parts += [f"### {name}", _counts(module.CLASS_NAMES, module.COUNTS, record)]
    parts.append(notes("III"))
    return "\n\n".join(parts)


def _counts(
    names: Sequence[str], published: dict[str, tuple[int, ...]], record: Record | None
) -> str:
    seen = _images_of_run(record)
    lines = []
    for number, name in enumerate((*names, "all")):
        line = [name]
        for split, counts in published.items():
            given, found = sum(counts), sum(seen.get(split, {}).values()) or None
            if name != "all":
                given, found = counts[number], seen.get(split, {}).get(name)
            line += [
                f"{given:,}",
                NOT_RUN if record is None else "not recorded" if found is None else f"{found:,}",
            ]
        lines.append(tuple(line))
    header = (
        "class",
        *(f"{split}, {whose}" for split in published for whose in ("published", "ours")),
    )
    return table(header, lines)


def _images_of_run(record: Record | None) -> dict[str, dict[str, int]]:
    """Images per split and class in a run: what it recorded, else the sums of its confusion
    matrices.
    """
    if record is None:
        return {}
    recorded = (record.metrics.get("data") or {}).get("counts") or {}
    if recorded and record.data_set == "RAF-DB":
        held_out = recorded["validation"]
        return {
            **recorded,
            "train": {name: n + held_out[name] for name, n in recorded["train"].items()},
        }
    return {
        split: images_by_class(record.metrics[split]) for split in ("validation", "test")
    } | recorded


def table_v(measured: Sequence[dict[str, Any]] | None) -> str:
    """Return Table V: size, memory and time of one image, the paper's on a GPU and ours in each
    format on this machine's processor.

    Args:
        measured: as `footprint.measure` returned it, or None.

    Returns:
        Markdown.
    """
    by_model: dict[str, list[dict[str, Any]]] = {}
    for figure in measured or []:
        by_model.setdefault(figure["model"], []).append(figure)
    lines: list[tuple[str, ...]] = []
    for name in PARAMETERS:
        if name in TABLE_V:
            size, on = TABLE_V[name]
            memory, time = (
                " / ".join(f"{on[data][column]:,}" for data in DATA_SETS) for column in (0, 1)
            )
            lines.append((label(name), "paper: PyTorch, P100 GPU", f"{size:.2f}", memory, time, ""))
        for figure in by_model.get(name, []):
            lines.append((label(name), *_footprint(figure)))
        if name not in by_model:
            lines.append((label(name), "ours", *[NOT_RUN] * 4))
    header = ("model", "form", "size MB", "memory MB", "time ms", "time, 95th percentile")
    hardware = (
        f"Ours: measured on {measured[0]['hardware']}." if measured else "Ours: not measured."
    )
    return "\n\n".join(
        (
            "## Table V: size, peak memory, inference time",
            hardware,
            table(header, lines),
            notes("V"),
        )
    )


def _footprint(figure: dict[str, Any]) -> tuple[str, ...]:
    memory = "–" if figure.get("peak_memory") is None else f"{figure['peak_memory'] / 1e6:,.1f}"
    size = f"{figure['bytes'] / 1e6:.2f}"
    return figure["form"], size, memory, f"{figure['median_ms']:.3g}", f"{figure['p95_ms']:.3g}"


def table_vi(records: Sequence[Record]) -> str:
    """Return Table VI: parameters and accuracy beside other models; ours are the runs that the
    validation images chose.

    Args:
        records: finished runs.

    Returns:
        Markdown.
    """
    lines = [
        (name, count(parameters), *(printed_value(value) for value in on), "", "")
        for name, (parameters, *on) in TABLE_VI.items()
    ]
    for name, printed in OWN_VI.items():
        ours = (
            mean([_matrix(one, row)[0]["accuracy"] for one in of_row(records, row)])
            for row in (Row(data, "best", name) for data in DATA_SETS)
        )
        lines.append(
            (
                label(name),
                count(PARAMETERS[name]),
                *(printed_value(value) for value in printed),
                *ours,
            )
        )
    header = (
        "model",
        "parameters",
        "FER2013, paper",
        "RAF-DB, paper",
        "FER2013, ours",
        "RAF-DB, ours",
    )
    return "\n\n".join(("## Table VI: beside other models", table(header, lines), notes("VI")))


def _draw(records: Sequence[Record], out: Path) -> list[tuple[str, str]]:
    """Draw the confusion matrix of the first run of every row; return file names and titles."""
    drawn = []
    for row in ROWS:
        for record in of_row(records, row)[:1]:
            part, images = _matrix(record, row)
            model = (
                label(row.student) if row.name == "teacher" else f"{row.name}, {label(row.student)}"
            )
            title = f"{model} on {row.data_set}, {images}"
            file = f"confusion-{row.data_set}-{row.name}.png".lower().replace(" ", "-")
            pictures.confusion_picture(out / file, part["confusion"], list(part["recall"]), title)
            drawn.append((file, f"{title} (run {escaped(record.folder.name)})"))
    return drawn


def _matrix(record: Record, row: Row) -> tuple[dict[str, Any], str]:
    """What to draw, and on which images: FER2013's two test sets together, but for the teacher."""
    metrics, on_fer2013 = record.metrics, record.data_set == "FER2013"
    if row.name == "teacher":
        return metrics["teacher_test"], "PrivateTest" if on_fer2013 else "test images"
    both = (metrics.get("fer2013") or {}).get("both")
    return (
        (both, "both test sets")
        if both
        else (metrics["test"], "PrivateTest" if on_fer2013 else "test images")
    )


def _runs(records: Sequence[Record], out: Path) -> str:
    """All runs, each a link to its folder, with the commit that made it where that was recorded."""
    header, *body = rows(records)
    lines = []
    for record, (name, *cells) in zip(records, body, strict=True):
        link = quote(os.fsencode(Path(os.path.relpath(record.folder, out)).as_posix()))
        commit = record.config.get("made_with", {}).get("commit", "–")
        lines.append((f"[{escaped(name)}]({link})", *map(escaped, (*cells, commit))))
    return table((*header, "commit"), lines)
