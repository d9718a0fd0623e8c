"""Table IV: the accuracy in every row of the paper beside that of the matching runs."""

from __future__ import annotations

from collections.abc import Sequence

from keras_kd._common.markdown import escaped, table
from keras_kd.reports.run_records import DATA_SETS, Record
from keras_kd.reproduction._cells import label, mean, notes, printed_value, yes
from keras_kd.reproduction.matched_runs import ROWS, accuracies, accuracies_of_teacher, of_row
from keras_kd.reproduction.published import (
    Row,
    fits,
)


def table_iv(records: Sequence[Record]) -> str:
    """Return Table IV: the paper's accuracy, and that of the runs with its student, T, alpha and
    recipe.

    Args:
        records: finished runs.

    Returns:
        Markdown.
    """
    parts = ["## Table IV: accuracy %, T 3"]
    for name in DATA_SETS:
        header = ["row", "model", "α", "paper"]
        header += (
            ["can be k/3,589", "k/7,178", "ours, both", "PrivateTest"]
            if name == "FER2013"
            else ["ours"]
        )
        header += ["validation", "int8", "no teacher", "gain", "taught by", "epochs", "seeds"]
        lines = [_line(row, records) for row in ROWS if row.data_set == name]
        parts += [f"### {name}", table(header, lines)]
    parts.append(notes("IV"))
    return "\n\n".join(parts)


def _line(row: Row, records: Sequence[Record]) -> tuple[str, ...]:
    chosen, on_fer2013 = of_row(records, row), row.data_set == "FER2013"
    line = [
        row.name,
        label(row.student),
        *(printed_value(value) for value in (row.alpha, row.accuracy)),
    ]
    if on_fer2013:
        known = row.accuracy is not None
        line += [yes(fits(row.accuracy, n)) if known else "–" for n in (3589, 7178)]
    figures = [
        accuracies_of_teacher(one) if row.name == "teacher" else accuracies(one, records)
        for one in chosen
    ]
    columns = ("both", "test") if on_fer2013 else ("test",)
    line += [
        mean([figure.get(name) for figure in figures])
        for name in (*columns, "validation", *_OF_STUDENT)
    ]
    if row.name == "teacher":
        line[-len(_OF_STUDENT) :] = ["–"] * len(_OF_STUDENT)
        return (*line, "–", "–", "–")
    teachers = ", ".join(dict.fromkeys(record.teacher or "nobody" for record in chosen))
    return (
        *line,
        escaped(teachers) or "–",
        _epochs(chosen[0]) if chosen else "–",
        str(len(chosen)),
    )


def _epochs(record: Record) -> str:
    return f"{'+' if record.config.get('start_from') else ''}{record.epochs}"


_OF_STUDENT = ("int8", "alone", "gain")
