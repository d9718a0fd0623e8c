"""The parts that all pages share: one file each that opens offline, without a script; words from
outside are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
NOTICE = (
    "Made by an emotion recognition system (EU AI Act, Article 3(39)). A label says what a face"
    " showed, as a program trained on other people's judgements sees it: not what a person felt."
    " Use it to find moments that are worth a look, then look. Never for decisions on a person."
)


def document(title: str, body: Sequence[str]) -> str:
    """Return a whole page that may load nothing and run nothing."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]], label: str) -> str:
    """Return an HTML table of text; its first column names the rows, `label` distinguishes it from
    the page's others.
    """
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
    inner = "".join(f"<tr>{_line(row)}</tr>" for row in rows)
    return scrolled(f"<table><thead><tr>{head}</tr></thead><tbody>{inner}</tbody></table>", label)


def _line(row: Sequence[str]) -> str:
    first, *rest = map(html.escape, row)
    return f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest)


def scrolled(inner: str, label: str) -> str:
    """Return a part that scrolls sideways where it is too wide, by keyboard too, and shows that it
    does.
    """
    return (
        '<div class="scroll" tabindex="0" role="region"'
        f' aria-label="{html.escape(label)}">{inner}</div>'
    )


def percent(share: float) -> str:
    """Return a share as 12 %, or a dash where it is unknown."""
    # NaN, which stands for unknown, differs from itself.
    return "–" if share != share else f"{100 * share:.0f} %"


def points(share: float) -> str:
    """Return a change of a share in percentage points, or a dash."""
    if share != share:
        return "–"
    # A change that rounds to nothing has no sign.
    return f"{change:+d}" if (change := round(100 * share)) else "0"
