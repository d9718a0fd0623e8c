"""A comparison in words and as a page: a chart of means and intervals first, then the numbers, task
by task.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from keras_kd.sessions import _questionnaires
from keras_kd.sessions._comparison_notes import notes
from keras_kd.sessions._dots import dots
from keras_kd.sessions._estimates import Estimate
from keras_kd.sessions._html import NOTICE, document, table
from keras_kd.sessions.comparison import Comparison, Study

MOMENTS = {
    "spikes_per_minute": "negative moments a minute",
    "smiles_per_minute": "positive moments a minute",
}


def is_share(measure: str) -> bool:
    """Whether a measure is a share of time or of probability, shown in percent."""
    return measure.startswith("share_") or measure in ("uncertain", "negative")


def named(measure: str) -> str:
    """Return a measure's name for people, with its unit."""
    bare = measure.removeprefix("share_").removeprefix(_questionnaires.PREFIX)
    name = MOMENTS.get(measure) or bare.replace("_", " ")
    if measure == "negative":
        return f"{name}, points"
    return f"{name}, %" if is_share(measure) else name


def shown(study: Study) -> list[tuple[str, ...]]:
    """Return rows of text, a header first: shares in percent, changes in points; without what is 0
    for everybody.
    """
    header = ["task", "measure", "n", *study.groups]
    two = len(study.groups) == 2
    rows = [tuple([*header, "difference", "Hedges' g", "p", "p, Holm"] if two else header)]
    return rows + [(row.task, *_cells(row)) for row in study.rows if not row.always_zero]


def _cells(row: Comparison) -> list[str]:
    factor, usual = (100, 0) if is_share(row.measure) else (1, 2)
    digits = _digits(row, factor, usual)
    counts = list(row.counts.values())
    n = str(counts[0]) if len(set(counts)) == 1 else ", ".join(map(str, counts))
    cells = [named(row.measure), n, *(_text(mean, factor, digits) for mean in row.means.values())]
    if row.difference and row.effect:
        cells += [_text(row.difference, factor, digits, "+"), _text(row.effect, 1, 2, "+")]
        cells += [_chance(row.chance), _chance(row.corrected)]
    return cells


def _digits(row: Comparison, factor: float, usual: int) -> int:
    """Decimals of a measure's numbers: more than usual where all would be shown as 0, beside an
    effect.
    """
    found = [*row.means.values(), *([row.difference] if row.difference else [])]
    largest = factor * max((abs(one.value) for one in found if one.value == one.value), default=0.0)
    return max(usual, -math.floor(math.log10(largest))) if largest else usual


def _chance(p: float) -> str:
    if math.isnan(p):
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _text(found: Estimate, factor: float, digits: int, sign: str = "") -> str:
    if math.isnan(found.value):
        return "–"
    # Adding 0 takes the sign from what rounds to nothing.
    rounded = [
        round(factor * number, digits) + 0.0 for number in (found.value, found.low, found.high)
    ]
    value, low, high = (f"{number:{sign if number else ''}.{digits}f}" for number in rounded)
    return value if math.isnan(found.low) else f"{value} ({low} to {high})"


def folded(study: Study) -> str:
    """Return what is 0 for everybody, in a sentence; empty where nothing is."""
    zero: dict[str, list[str]] = {}
    for row in study.rows:
        if row.always_zero:
            bare = named(row.measure).removesuffix(", %").removesuffix(", points")
            zero.setdefault(row.task, []).append(bare)
    found = "; ".join(f"{task}: {', '.join(measures)}" for task, measures in zero.items())
    return f"0 for everybody, so not shown: {found}." if found else ""


def page(study: Study) -> str:
    """Return the comparison's page, which opens offline."""
    title = " and ".join(study.groups)
    body = [f"<h1>{html.escape(title)}</h1>", f'<p class="notice">{NOTICE}</p>']
    header, *_ = shown(study)
    for task in dict.fromkeys(row.task for row in study.rows):
        rows = [row for row in study.rows if row.task == task and not row.always_zero]
        body.append(f"<h2>{html.escape(task)}</h2>")
        body += (
            _task(study.groups, header, rows)
            if rows
            else ["<p>Nothing to compare: all is 0 or unknown.</p>"]
        )
    body += [
        "<h2>How to read it</h2>",
        _listed([note for note in [*notes(study), folded(study)] if note]),
    ]
    if study.left_out:
        body += ["<h2>Left out</h2>", _listed(study.left_out)]
    return document(title, body)


def _task(groups: Sequence[str], header: Sequence[str], rows: Sequence[Comparison]) -> list[str]:
    """A task's chart, one axis a unit, and its table."""
    shares = [row for row in rows if is_share(row.measure)]
    others = [row for row in rows if not is_share(row.measure)]
    task = rows[0].task
    charts = [(shares, 100, f"{task}, shares of time")] if shares else []
    charts += [([row], 1, f"{task}, {named(row.measure)}") for row in others]
    pictures = [
        dots(
            [(named(row.measure), list(row.means.values())) for row in part], groups, factor, label
        )
        for part, factor, label in charts
    ]
    legend = "".join(
        f"<li>{_mark(number)}{html.escape(group)}</li>" for number, group in enumerate(groups)
    )
    figure = (
        f'<figure class="print-whole"><ul class="legend">{legend}</ul>{"".join(pictures)}</figure>'
    )
    return [figure, table(header[1:], [_cells(row) for row in rows], f"{task}, numbers")]


def _mark(number: int) -> str:
    shape = (
        '<circle cx="7" cy="7" r="5"/>'
        if number == 0
        else '<rect x="2" y="2" width="10" height="10"/>'
    )
    return f'<svg class="key mark{number}" viewBox="0 0 14 14" aria-hidden="true">{shape}</svg>'


def _listed(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
