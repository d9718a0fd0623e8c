"""Answers of a questionnaire that are joined to recordings."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from command_line import called

from keras_kd.errors import DataError
from keras_kd.sessions import _questionnaires, comparison


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("900", "1,200"), r"line 3: ms is 1,200, which may be 1200 or 1\.200"),
        (("1,200,000", "1"), "line 2: ms is 1,200,000"),
        (("1", "NA"), "line 3: ms is 'NA', a text where a number belongs: leave"),
        (("inf", "1"), "line 2: ms is 'inf'"),
        (("1,200", "1,5"), (1.2, 1.5)),
        (("0,512", ""), (0.512, None)),
        (("850,5", "1.200"), r"line 3: ms is 1.200, which may be 1200 or 1.200: .* point"),
        (("1.200", "900"), (1.2, 900)),
    ],
)
def test_numbers_of_a_questionnaire_are_what_they_say_or_refused(cells, expected, tmp_path):
    rows = pd.DataFrame({"group": "A", "participant": ["p0", "p1"], "task": "t", "readable": 1.0})
    path = tmp_path / "answers.csv"
    lines = [f"p{number};{cell}" for number, cell in enumerate(cells)]
    path.write_text("\n".join(["participant;ms", *lines]))
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            _questionnaires.joined(rows, path)
        return
    found = _questionnaires.joined(rows, path)["questionnaire_ms"].dropna().tolist()
    assert found == [number for number in expected if number is not None]


def test_a_questionnaire_is_joined_by_participant(study, tmp_path, capsys):
    names = [f"sus_{number}" for number in range(1, 11)]
    lines = [",".join(["participant", "group", *names, "seconds"])]
    for group, answers in (("A", [5, 1] * 5), ("B", [3] * 10)):
        for number in range(4):
            lines.append(",".join(map(str, [f"p{number}", group, *answers, 60 + number])))
    (tmp_path / "answers.csv").write_text("\n".join(lines) + "\n")
    files = [str(path) for path in sorted(study.glob("?/*.csv"))]
    asked = ["--questionnaire", str(tmp_path / "answers.csv"), "--json"]
    assert called("compare", *files, *asked, "--out", str(tmp_path / "page.html")) == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<h2>questionnaire</h2>" in page and "100.00" in page
    rows = {
        row["measure"]: row
        for row in json.loads(capsys.readouterr().out)
        if row["task"] == "questionnaire"
    }
    assert set(rows) == {"questionnaire_SUS", "questionnaire_seconds"}
    # The best answers give 100, the middle of every scale 50.
    assert rows["questionnaire_SUS"]["A_mean"] == 100 and rows["questionnaire_SUS"]["B_mean"] == 50
    assert rows["questionnaire_seconds"]["A_mean"] == pytest.approx(61.5)


def test_a_questionnaire_may_be_a_spreadsheet_s(study, tmp_path):
    rows = comparison.participants(sorted(study.glob("A/*.csv")))
    (tmp_path / "q.csv").write_text("Participant;Ease;\np0;4,5;\np1;;\n", "utf-16")
    found = _questionnaires.joined(rows, tmp_path / "q.csv")
    answers = found[found["task"] == "questionnaire"]
    assert answers["questionnaire_Ease"].tolist() == pytest.approx([4.5, np.nan], nan_ok=True)
    assert [name for name in found if name.startswith("questionnaire_")] == ["questionnaire_Ease"]


def test_mistakes_in_a_questionnaire_are_told(study, tmp_path):
    sus = [f"sus_{number}" for number in range(1, 11)]
    rows = comparison.participants(sorted(study.glob("?/*.csv")))
    one = rows[rows["group"] == "A"]
    for given, text, word in (
        (rows, "participant,x\np0,1\n", "needs the column group"),
        (one, "participant,x\np9,1\n", "p9, who has no recording.*; recordings are of p0, "),
        (rows, "participant,group,x\np1,A,1\np1,b,2\n", "p1 in group b, who has no recording"),
        (one, "participant,x\np0,1\np0,2\n", "p0 twice"),
        (one, "participant,x\np0,good\n", "text where a number belongs"),
        (one, "who,x\np0,1\n", "must have the column participant"),
        (one, "participant\np0\n", "must hold finite numbers"),
        (one, ",".join(["participant", *sus, "SUS"]) + "\np0" + ",3" * 11 + "\n", "remove one"),
        (
            one,
            ",".join(["participant", *sus]) + "\np0" + ",6" * 10 + "\n",
            "1, 2, 3, 4 or 5",
        ),
    ):
        (tmp_path / "q.csv").write_text(text)
        with pytest.raises(DataError, match=word):
            _questionnaires.joined(given, tmp_path / "q.csv")
