"""Expression, valence and arousal on drawn faces: taught with the teacher-bounded loss, untaught,
and single tasks.

    .venv/bin/python benchmarks/joint_training.py [--student C] [--seeds 5] [--epochs 30] [--out
    runs/joint]

One joint teacher (B); for each seed four students of one budget: joint and distilled, joint and
alone, classes alone, values alone. Prints Markdown: mean and standard deviation over the seeds on
the 700 test images, the paired differences, and the scores of the exported files. A run that is
there already is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from keras_kd import Config
from keras_kd._common.progress import Terminal
from keras_kd.pipelines import distill, teach

JOINT = "expression,valence,arousal"
COLUMNS = ("accuracy", "valence", "arousal")
TITLES = {
    "distilled": "joint, distilled",
    "alone": "joint, alone",
    "classes": "expression alone",
    "values": "values alone",
}


def results(config: Config, out: Path) -> dict:
    """The metrics of a run, made now if it isn't there."""
    if (out / "metrics.json").exists():
        return json.loads((out / "metrics.json").read_text())
    return distill.distill(config, out, Terminal(), resume=(out / ".state").exists())


def scores(test: dict) -> dict[str, float]:
    """Accuracy and the concordances, as far as a model has them."""
    found = {name: part["ccc"] for name, part in test.get("values", {}).items()}
    return found | ({"accuracy": test["accuracy"]} if "accuracy" in test else {})


def of_seed(
    seed: int, given: argparse.Namespace, teacher: Path
) -> tuple[dict[str, dict[str, float]], dict]:
    """Scores of the four students of a seed, and of the exported files of the distilled one."""
    common = {"data": "faces", "student": given.student, "epochs": given.epochs, "seed": seed}
    weights = {"value_weight": given.value_weight, "formats": "float32,int8"}
    joint = results(
        Config(**common, **weights, heads=JOINT, teacher=str(teacher), baseline=True),
        given.out / f"joint-{seed}",
    )
    alone = {
        name: results(
            Config(**common, **weights, heads=heads, alpha=1.0), given.out / f"{name}-{seed}"
        )
        for name, heads in (("classes", "expression"), ("values", "valence,arousal"))
    }
    rows = {"distilled": scores(joint["test"]), "alone": scores(joint["baseline_test"])}
    rows |= {name: scores(part["test"]) for name, part in alone.items()}
    return rows, {name: scores(part["test"]) for name, part in joint["exported"].items()} | {
        "teacher": scores(joint["teacher_test"])
    }


def line(title: str, rows: list[dict[str, float]], signed: bool = False) -> str:
    """A row of the table: mean ± standard deviation of each score, in hundredths."""
    cells = []
    for name in COLUMNS:
        values = [100 * row[name] for row in rows if name in row]
        sign = "+" if signed else ""
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        cells.append(f"{statistics.mean(values):{sign}.2f} ± {spread:.2f}" if values else "")
    return f"| {title} | {' | '.join(cells)} |"


def difference(left: list[dict], right: list[dict]) -> list[dict[str, float]]:
    """Seed by seed, of the scores that both have."""
    return [
        {name: a[name] - b[name] for name in a if name in b}
        for a, b in zip(left, right, strict=True)
    ]


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", default="C")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--value-weight", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("runs/joint"))
    given = parser.parse_args()
    teaching = Config(
        data="faces", teacher="B", teacher_epochs=16, heads=JOINT, value_weight=given.value_weight
    )
    teacher = teach.teach(teaching, None, Terminal())
    seeds = [of_seed(seed, given, teacher) for seed in range(given.seeds)]
    taught = {name: [rows[name] for rows, _ in seeds] for name in TITLES}
    print(
        f"| student {given.student}, {given.seeds} seeds | accuracy % | valence CCC x100 | arousal"
        " CCC x100 |"
    )
    print("| --- | ---: | ---: | ---: |")
    print(line("teacher B, joint (one)", [seeds[0][1].pop("teacher")]))
    for name, title in TITLES.items():
        print(line(title, taught[name]))
    for name in ("float32", "int8"):
        print(line(f"joint, distilled, {name} file", [files[name] for _, files in seeds]))
    for name in ("alone", "classes", "values"):
        paired = difference(taught["distilled"], taught[name])
        print(line(f"distilled - {TITLES[name]}, paired", paired, signed=True))


if __name__ == "__main__":
    main()
