"""What the matrix found of each shipped file, as a line of its card."""

from __future__ import annotations

import pandas as pd
from runtime_files import EXPORTS, SHIPPED

from keras_kd._common.files import write_text

BEGIN = "- Run on "
# Differences of the arithmetic: int8 probabilities come in steps of 1/256.
RIGHT = 0.1


def line(rows: pd.DataFrame, model: str, count: int, data: str) -> str:
    """Return the line of a shipped model.

    Args:
        rows: of docs/results/runtimes.csv.
        model: the bundle's name.
        count: the number of images.
        data: their data set.
    """
    found = rows[(rows["model"] == model) & (rows["kind"] == SHIPPED)]
    ran = found[found["reason"] == ""]
    right, wrong = (ran[(ran["largest_difference"] <= RIGHT) == is_right] for is_right in (1, 0))
    largest, changed = right["largest_difference"].max(), 100 * right["changed_answers"].max()
    parts = [
        f"{BEGIN}{count} images of `{data}` (fewer where slow): {'; '.join(right['runtime'])}."
        f" Probabilities differ by at most {largest:.2g}, and {changed:.1f} % of the answers.",
        *(f"Wrong on {one.runtime}: {100 * one.changed_answers:.0f} % of the answers change."
          for one in wrong.itertuples()),
        *(f"Refused by {one.runtime}: {one.reason.rstrip('.')}."
          for one in found[found["reason"] != ""].itertuples()),
        "All figures: [the table of runtimes](../../docs/export.md#every-runtime-an-app-may-meet).",
    ]  # fmt: skip
    return " ".join(parts)


def write(rows: pd.DataFrame, count: int, data: str) -> None:
    """Put the line into the card of each model that has rows, in the place of the last one, or
    after the oldest runtimes.
    """
    names = set(rows.loc[rows["kind"] == SHIPPED, "model"])
    for path in sorted(EXPORTS.glob("*/README.md")):
        if path.parent.name not in names:
            continue
        kept = [one for one in path.read_text("utf-8").split("\n") if not one.startswith(BEGIN)]
        place = next(i for i, one in enumerate(kept) if one.startswith("- Runs right on: "))
        kept.insert(place + 1, line(rows, path.parent.name, count, data))
        write_text(path, "\n".join(kept))
