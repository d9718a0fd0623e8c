"""Recordings of probabilities over time, as `kerakd analyze` writes them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

NAMES = ("angry", "happy", "neutral")


def write(path, chances, rate=10.0, quality=1.0, values=None, face=1, times=None, names=NAMES):
    """A recording of probabilities (T, 3), NaN rows for frames without a face, at `rate` or
    `times`.
    """
    rows = []
    times = np.arange(len(chances)) / rate if times is None else times
    for number, (time, row) in enumerate(zip(times, np.asarray(chances, float), strict=True)):
        start = {"frame": number, "time_s": f"{time:.4f}"}
        if np.isnan(row).any():
            rows.append(start)
            continue
        own = {name: column[number] for name, column in (values or {}).items()}
        rows.append(
            start
            | {
                "face_id": face,
                "box": "10.0 10.0 50.0 50.0",
                "detection_score": 0.9,
                "quality": quality,
            }
            | {f"p_{name}": value for name, value in zip(names, row, strict=True)}
            | own
            | {"sharpness": 0.2, "roll": 0, "turn": 0.1}
        )
    columns = [
        "frame",
        "time_s",
        "face_id",
        "box",
        "detection_score",
        "quality",
        *(f"p_{name}" for name in names),
    ]
    table = pd.DataFrame(rows, columns=[*columns, *(values or {}), "sharpness", "roll", "turn"])
    table["face_id"] = table["face_id"].astype("Int64")
    table.to_csv(path, index=False)
    return path


def mostly(name, seconds, rate=10):
    chances = np.full(3, 0.1)
    chances[NAMES.index(name)] = 0.8
    return [chances] * round(seconds * rate)


def write_settings(study, number, recipe=None, model="a", **options):
    """Write a recording's session.json with the usual settings but for these."""
    usual = {"smooth": 0.5, "confidence": 0.5, "baseline": 10.0, "faces": [], "tasks": []}
    record = {"options": usual | options, "model": model, "recipe": recipe}
    (study / "A" / f"p{number}").mkdir()
    (study / "A" / f"p{number}" / "session.json").write_text(json.dumps(record))
