"""The model card of a run, made from plain dictionaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_kd._common.markdown import chance_note, escaped, fenced, table, ties_note
from keras_kd._common.text import counted
from keras_kd.reports.summary import SCORE_TITLES, class_scores, correlation, percent, summary_rows
from keras_kd.reports.usage import usage_snippet, use_and_limits

PICTURES = {
    "values.png": (
        "Continuous values of the test images: where the labels and the student put each class"
    ),
    "confusion.png": (
        "Confusion matrix on the test images: a row is a true class, a column an answer"
    ),
    "cost.png": "Accuracy on the test images against the arithmetic for one image",
    "curves.png": "Accuracy and loss after each epoch",
    "reliability.png": "Confidence against accuracy: on the diagonal a probability is what it says",
}
_SETTINGS = ("temperature", "alpha", "beta", "epochs", "batch_size", "recipe", "precision", "seed")
_FER2013_SETS = {
    "public": "PublicTest (used to choose the epoch)",
    "private": "PrivateTest",
    "both": "both together (what the paper's figures divide by)",
    "private_without_copies": "PrivateTest without copies of training images",
}


def model_card(
    metrics: Mapping[str, Any],
    *,
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    command: str,
    versions: Mapping[str, str],
    hardware: str,
    input_shape: tuple[int, int, int],
    pictures: Sequence[str] = ("confusion.png", "curves.png"),
) -> str:
    """Return the model card: Markdown with a short YAML front matter as Hugging Face reads it.

    Args:
        metrics: the content of metrics.json; missing parts are left out of the card.
        config: values of the run's options, by name.
        data: `name` of its form, `called` if people call it otherwise, `fingerprint` and `counts`,
            {split: {class: number of images}}.
        command: the command that makes this model again.
        versions: versions by package name.
        hardware: a description of the hardware of the training.
        input_shape: (height, width, channels) of the model's input.
        pictures: the names in PICTURES of files beside the card.

    Returns:
        Markdown.
    """
    sections = [
        (
            # What Hugging Face's hub reads of a card.
            "---\nlibrary_name: keras\npipeline_tag: image-classification\ntags:"
            " [knowledge-distillation, litert]\n---"
        ),
        _opening(metrics, data, input_shape),
        "## Results",
        _results(metrics),
        *_subsets(metrics),
        *_recalls(metrics),
        *_values(metrics),
        *(f"![{PICTURES[name]}]({name})" for name in pictures),
        *_usage(metrics, input_shape),
        *use_and_limits(data.get("called", data["name"]), _class_names(data)),
        "## Data",
        _data(data),
        "## How it was made",
        _making(metrics, config, command, versions, hardware),
    ]
    return "\n\n".join(sections) + "\n"


def _class_names(data: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(name for split in data["counts"].values() for name in split))


def _opening(
    metrics: Mapping[str, Any], data: Mapping[str, Any], input_shape: tuple[int, int, int]
) -> str:
    height, width, channels = input_shape
    teacher = metrics.get("teacher")
    name = escaped(metrics["student"])
    by = f"distilled from {escaped(teacher['name'])}" if teacher else "trained without a teacher"
    test = metrics["test"]
    classes = [f"{len(test['recall'])} classes"] if "recall" in test else []
    named = " and ".join([*classes, *map(escaped, test.get("values", ()))])
    right = (
        f" It answers {percent(test['accuracy'])} % of the {test['n']:,} test images right."
        if classes
        else ""
    )
    return (
        f"# Student {name}, {by}\n\nA model of {'RGB' if channels == 3 else 'gray'} images,"
        f" {height}×{width} pixels, that tells {named}, with {metrics['parameters']:,} parameters,"
        f" {by} on {escaped(data.get('called', data['name']))}.{right}"
    )


def _results(metrics: Mapping[str, Any]) -> str:
    header, *rows = summary_rows(metrics)
    notes = []
    if "accuracy" in metrics["test"]:
        low, high = metrics["test"]["accuracy_interval"]
        notes += [
            (
                f"{metrics['test']['n']:,} test images; 95 % interval of the student's accuracy: "
                f"{percent(low)} to {percent(high)} %."
            ),
            (
                "Balanced accuracy is the mean recall of the classes; ECE the expected calibration"
                " error (15 bins)."
            ),
        ]
        if "ece_by_chance" in metrics["test"]:
            notes.append(chance_note(metrics["test"]))
    if metrics.get("baseline_test"):
        notes.append(
            "“No teacher” is the same student on the same data with the same budget, learning"
            " the labels alone."
        )
    if "agreement" in metrics["test"]:
        notes.append(
            f"Student and teacher agree on {percent(metrics['test']['agreement'])} % of the test"
            " images."
        )
    for exported in (metrics.get("exported") or {}).values():
        if exported["test"].get("ties"):
            notes.append(f"`{exported['file']}`: {ties_note(exported['test'])}")
        if "max_logit_difference" in exported:
            notes.append(
                f"`{exported['file']}` differs from the Keras model by at most "
                f"{exported['max_logit_difference']:.2g} in any output."
            )
    return (
        table(header, [(escaped(name), *cells) for name, *cells in rows])
        + "\n\n"
        + "\n".join(f"- {note}" for note in notes)
    )


def _subsets(metrics: Mapping[str, Any]) -> list[str]:
    parts = metrics.get("fer2013") or {}
    rows = [
        (label, f"{parts[key]['n']:,}", *class_scores(parts[key]))
        for key, label in _FER2013_SETS.items()
        if key in parts
    ]
    if not rows:
        return []
    header = ("the student on", "images", *SCORE_TITLES)
    return ["### FER2013's test sets", table(header, rows)]


_PARTS = {"student": "test", "student, no teacher": "baseline_test", "teacher": "teacher_test"}


def _values(metrics: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            f"{escaped(name)}, {label}",
            f"{scores['n']:,}",
            *(correlation(scores[key]) for key in ("ccc", "pcc", "rmse")),
            percent(scores["sagr"]),
        )
        for label, key in _PARTS.items()
        for name, scores in (metrics.get(key) or {}).get("values", {}).items()
    ]
    if not rows:
        return []
    note = (
        "CCC is Lin's concordance and PCC Pearson's correlation over all test images, RMSE the root"
        " of the mean squared error, SAGR the share of equal signs."
    )
    header = ("value", "test images", "CCC", "PCC", "RMSE", "SAGR %")
    return ["### Continuous values", table(header, rows), note]


def _recalls(metrics: Mapping[str, Any]) -> list[str]:
    if "recall" not in metrics["test"]:
        return []
    columns = {
        label: metrics[key]["recall"]
        for label, key in _PARTS.items()
        if "recall" in (metrics.get(key) or {})
    }
    counts = [sum(row) for row in metrics["test"]["confusion"]]
    rows = [
        (escaped(name), f"{n:,}", *(percent(recall[name]) for recall in columns.values()))
        for name, n in zip(metrics["test"]["recall"], counts, strict=True)
    ]
    return [
        "### Recall by class",
        table(("class", "test images", *(f"{label} %" for label in columns)), rows),
    ]


def _usage(metrics: Mapping[str, Any], input_shape: tuple[int, int, int]) -> list[str]:
    if not metrics.get("exported"):
        return []
    file = next(iter(metrics["exported"].values()))["file"]
    classes, values = "accuracy" in metrics["test"], tuple(metrics["test"].get("values", ()))
    text = (
        "Give it pixels from 0 to 255, cropped to the subject as the training images are;"
        " normalisation is inside the model. "
        + (
            "It returns logits, in the order of `labels.txt`; their softmax gives probabilities. "
            if classes
            else ""
        )
        + "`pip install ai-edge-litert pillow`, then:"
    )
    return ["## Use", text, fenced(usage_snippet(file, input_shape, classes, values), "python")]


def _data(data: Mapping[str, Any]) -> str:
    counts, classes = data["counts"], _class_names(data)
    rows = [
        (escaped(name), *(f"{split.get(name, 0):,}" for split in counts.values()))
        for name in classes
    ]
    rows.append(("all", *(f"{sum(split.values()):,}" for split in counts.values())))
    called = escaped(data.get("called", data["name"]))
    text = f"Data set {called}, fingerprint `{data['fingerprint']}`."
    return text + "\n\n" + table(("class", *counts), rows)


def _making(
    metrics: Mapping[str, Any],
    config: Mapping[str, Any],
    command: str,
    versions: Mapping[str, str],
    hardware: str,
) -> str:
    settings = ", ".join(f"{key} {config[key]}" for key in _SETTINGS if config.get(key) is not None)
    time = f" in {_duration(metrics['train_seconds'])}" if metrics.get("train_seconds") else ""
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        f"Trained{time} on {escaped(hardware)} with {escaped(packages)}.",
        f"Settings: {escaped(settings)}; `config.toml` has all of them.",
    ]
    if "best_epoch" in metrics:
        lines.append(
            f"Trained for {counted(metrics['trained_epochs'], 'epoch')}; the weights are those"
            f" after epoch {metrics['best_epoch']}, the best on the validation images."
        )
    if metrics.get("teacher"):
        beta = "beta (1 − alpha unless given)"
        lines.append(f"Alpha weighs the labels, {beta} the teacher's softened answers.")
    return fenced(command, "sh") + "\n\n" + "\n".join(lines)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
