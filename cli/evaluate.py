"""`kerakd evaluate`."""

from __future__ import annotations

from typing import Any

import click

from keras_kd import config as configuration
from keras_kd._common.progress import Terminal
from keras_kd._common.vocabulary import SPLITS

from . import engine, options, output

COLUMNS = (
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced"),
    ("macro_f1", "macro-F1"),
    ("ece", "ECE"),
    ("ece_by_chance", "by chance"),
)


@options.command("evaluate")
@click.argument("paths", metavar="MODEL...", nargs=-1, required=True)
@options.from_config("data", "skip_bad_rows")
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="test",
    show_default=True,
    help="Split whose images are scored.",
)
@click.option(
    "--mirror", is_flag=True, help="Average the outputs over each image and its mirror image."
)
@options.model_form
@options.trust_module
@options.as_json
def command(
    paths: tuple[str, ...],
    data: str | None,
    split: str,
    skip_bad_rows: bool | None,
    mirror: bool,
    as_json: bool,
    stated: dict[str, tuple[str, ...]],
) -> None:
    """Score a model, or the average of several, on a data set.

    MODEL is a .keras, .h5, .onnx or .tflite file, or the folder of a bundle or of a SavedModel. The
    outputs of several models are averaged, as those of several teachers are. An option such as
    `--range b.keras=0,1` then applies to one of them.

    A model may have more classes than the data: an answer of such a class is wrong.

    \b
    Examples:
      kerakd evaluate runs/faces-B/student_float32.tflite --data faces
      kerakd evaluate a.keras b.keras --mirror --data fer2013.csv --split validation
    """
    load = engine.loader(paths)
    scoring = load("evaluation.scoring")
    statements = load("pipelines.statements").parse(paths, stated)
    where = data or configuration.fields()["data"].default
    skip = bool(skip_bad_rows)
    results = scoring.evaluate(
        paths, where, split, [statements.of(path) for path in paths], skip, mirror, Terminal()
    )
    if as_json:
        output.show_json(results)
        return
    if "accuracy" in results[split]:
        _show_classes(split, results)
    if "values" in results[split]:
        _show_values(results[split]["values"])


def _show_classes(split: str, results: dict[str, Any]) -> None:
    parts = {split: results[split]}
    # Scores have n; what has none holds further sets, as FER2013's public and private one.
    parts |= {
        name: part for sets in results.values() if "n" not in sets for name, part in sets.items()
    }
    rows = [("images", "n", *(f"{title} %" for _, title in COLUMNS))]
    rows += [
        (name, f"{part['n']:,}", *(f"{100 * part[key]:.2f}" for key, _ in COLUMNS))
        for name, part in parts.items()
    ]
    output.show_table(rows)
    recall = [("class", "recall %")]
    recall += [
        (name, "–" if value is None else f"{100 * value:.1f}")
        for name, value in results[split]["recall"].items()
    ]
    output.show_table(recall)


def _show_values(values: dict[str, Any]) -> None:
    rows: list[tuple[str, ...]] = [("value", "n", "CCC", "PCC", "RMSE", "SAGR %")]
    for name, scores in values.items():
        correlations = (
            "–" if scores[key] is None else f"{scores[key]:.3f}" for key in ("ccc", "pcc")
        )
        rows.append(
            (
                name,
                f"{scores['n']:,}",
                *correlations,
                f"{scores['rmse']:.3f}",
                f"{100 * scores['sagr']:.1f}",
            )
        )
    output.show_table(rows)
