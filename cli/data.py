"""`kerakd data`."""

from __future__ import annotations

from typing import Any

import click

from . import options, output, streams


@click.group("data")
def command() -> None:
    """Inspect data sets."""


def _forms() -> list[tuple[str, str]]:
    from keras_kd import datasets  # brings NumPy, which the help of other commands does without

    return list(datasets.summaries().items())


@command.command("inspect", cls=options.listing(("Data sets", _forms)))
@click.argument("data", metavar="DATA")
@options.from_config("skip_bad_rows")
@options.as_json
def inspect(data: str, skip_bad_rows: bool | None, as_json: bool) -> None:
    """Count a data set's images and report faults in them.

    Faults are blank images, copies, contradicting labels, bad rows and files that are not read.

    DATA is a file or folder whose form is recognised, NAME:PATH, or a NAME that needs no path.
    """
    from keras_kd.datasets import inspection

    report = inspection.inspect(data, bool(skip_bad_rows))
    if as_json:
        output.show_json(report)
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    splits = report["splits"]
    colour = "gray" if report["channels"] == 1 else "RGB"
    sizes = ", ".join(f"{size} ({count:,})" for size, count in list(report["sizes"].items())[:5])
    streams.line(
        f"{report['data']}: {report['data_set']}, {colour}, size on disk {sizes or 'drawn'}"
    )
    rows = [("class", *splits)]
    rows += [
        (name, *(f"{part['classes'][name]:,}" for part in splits.values()))
        for name in report["class_names"]
    ]
    for title in ("images", "blank", "copies"):
        rows.append((title, *(f"{part[title]:,}" for part in splits.values())))
    output.show_table(rows, rule_after=len(report["class_names"]))
    for pair, count in report["copies_across"].items():
        streams.line(f"Exact copies, {pair}: {count:,}")
    for pair, count in report["near_copies_across"].items():
        if count:
            streams.line(
                f"Near copies, {pair}: {count:,} (another size, compression or brightness; of"
                " simple drawings, others that look alike)"
            )
    contradictions = report["contradictions"]
    if contradictions["groups"]:
        images, groups = contradictions["images"], contradictions["groups"]
        streams.line(f"Same pixels, different classes: {images:,} images in {groups:,} groups")
    if report["published"]:
        for line in report["published"]["differences"] or ["The counts equal the published ones."]:
            streams.line(line)
    for trait, count in report["traits"].items():
        streams.line(f"Images with {trait}: {count:,}")
    for line in report["passed_over"]:
        streams.line(f"note: {line}")
    for line in report["skipped"]:
        streams.line(f"skipped: {line}")
