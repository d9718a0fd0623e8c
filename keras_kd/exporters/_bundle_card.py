"""The card of a bundle: what one must know before the file goes into an app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_kd._common.markdown import chance_note, escaped, table, ties_note
from keras_kd._common.text import sides

if TYPE_CHECKING:
    from keras_kd.exporters import ExportReport

_SCORES = {
    "accuracy": "accuracy",
    "balanced accuracy": "balanced_accuracy",
    "macro-F1": "macro_f1",
    "ECE": "ece",
}


def bundle_card(
    name: str,
    description: str,
    report: ExportReport,
    preprocess: Mapping[str, Any],
    class_names: Sequence[str],
    scores: Mapping[str, Any] | None,
    facts: Sequence[str],
) -> str:
    """Return the card.

    Args:
        name: the model's name.
        description: a sentence about it; may be empty.
        report: of the export.
        preprocess: the content of `preprocess.json`.
        class_names: the labels, in the order of the outputs.
        scores: `metrics.classification` of the file; None if it was not scored.
        facts: more lines for the list of what is known of the file, in Markdown.

    Returns:
        Markdown.
    """
    parts = [
        f"# {escaped(name)}",
        escaped(description),
        "\n".join([*_about_file(report, preprocess, class_names), *facts]),
        *_about_scores(scores),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about_file(
    report: ExportReport, preprocess: Mapping[str, Any], class_names: Sequence[str]
) -> list[str]:
    given, outputs = preprocess["input"], preprocess["outputs"]
    shape = sides(given["shape"][1:])
    described = [f"`{output}` ({values[-1]} values)" for output, values in outputs.items()]
    return [
        (
            f"- `{report.path.name}`: format {report.format}, {report.bytes / 1e6:.2f} MB, runs on"
            " LiteRT and TensorFlow Lite."
        ),
        f"- In: `image`, {_values(given)}, {shape} ({given['color']}). Inside the"
        f" file: {', '.join(preprocess['inside_the_file'])}.",
        f"- Out: {', '.join(described)}.",
        f"- Classes, in order: {', '.join(map(escaped, class_names))}.",
        (
            f"- Differs from the model it was made of by at most {100 * report.max_difference:.2g}"
            " % of the outputs' spread on the images it was checked on."
        ),
        *_about_answers(report),
    ]


def _about_answers(report: ExportReport) -> list[str]:
    answers = report.answers
    if answers is None:
        return []
    worst, fewest = answers.worst_class, ""
    if worst is not None and worst.same < 1:
        name, share = escaped(worst.name), 100 * worst.same
        fewest = f", least often of the class {name}: on {share:.1f} % of {worst.images}"
    return [
        f"- Names the class that the model it was made of names on {100 * answers.same:.1f} % of "
        f"{answers.images} of the images that it was calibrated on{fewest}."
    ]


def _about_scores(scores: Mapping[str, Any] | None) -> list[str]:
    if scores is None or "recall" not in scores:
        return ["Its classes were not scored on test images."]
    recalls = [
        [escaped(name), "–" if value is None else f"{100 * value:.1f} %"]
        for name, value in scores["recall"].items()
    ]
    return [
        f"Scored as this file, on LiteRT, on {scores['n']:,} test images of the classes above:",
        table(list(_SCORES), [[f"{100 * scores[key]:.2f} %" for key in _SCORES.values()]]),
        table(["class", "recall"], recalls),
        chance_note(scores),
        ties_note(scores) if scores.get("ties") else "",
        (
            "These figures hold for images like those; check it on images of your own before you"
            " rely on it."
        ),
    ]


def _values(given: Mapping[str, Any]) -> str:
    """What an app writes into the input, from `preprocess.json`."""
    low, high = given["range"]
    words, value = f"{given['dtype']} pixels {low:g}..{high:g}", "pixel"
    if "normalisation" in given:
        words, value = f"{words}, normalised by the app ({given['normalisation']})", "value"
    if "quantization" in given:
        scale, zero = given["quantization"]["scale"], given["quantization"]["zero_point"]
        words = f"{words}, written as {value} / {scale:.6g} + {zero}"
    return words
