"""Markdown from rows of text."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are aligned right."""
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def escaped(text: Any) -> str:
    """Return text as one line of which neither Markdown nor HTML reads anything as its own."""
    line = html.escape(" ".join(str(text).split()), quote=False)
    # An underscore within a word is no markup.
    return re.sub(r"[\\`*\[\]|~#]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", line)


def fenced(code: str, language: str) -> str:
    """Return a block of code, in a fence longer than any in the code."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def chance_note(scores: Mapping[str, Any]) -> str:
    """Return the sentence of a card about ECE by chance; `scores` has `ece_by_chance` and `n`."""
    return (
        f"Probabilities that are exactly right have an ECE of about"
        f" {100 * scores['ece_by_chance']:.1f} % on {scores['n']:,} images, by chance."
    )


def ties_note(scores: Mapping[str, Any]) -> str:
    """Return the sentence of a card about equal highest outputs; `scores` has `ties` and `n`."""
    return (
        f"For {scores['ties']:,} of the {scores['n']:,} images several classes share the highest"
        " output, as steps of int8 make them: the first of these classes counts as the answer."
    )
