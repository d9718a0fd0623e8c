"""How a figure, a name or a note is written in the tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from keras_kd.reproduction.published import (
    NOTES,
)

NOT_RUN = "not run"


def mean(shares: Sequence[float | None]) -> str:
    """Mean and standard deviation in percent."""
    known = [100 * share for share in shares if share is not None]
    if not known:
        return NOT_RUN
    deviation = f" ± {statistics.stdev(known):.2f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.2f}{deviation}"


def count(parameters: int | None) -> str:
    return "–" if parameters is None else f"{parameters:,}"


def printed_value(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def yes(true: bool) -> str:
    return "yes" if true else "no"


def notes(number: str) -> str:
    return "\n".join(f"- {line}" for line in NOTES[number])


def label(model: str) -> str:
    return "teacher, ResEmoteNet" if model == "resemotenet" else f"student {model}"
