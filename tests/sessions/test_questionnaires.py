"""Which columns of a questionnaire become the SUS score."""

from __future__ import annotations

import re
import warnings

import pandas as pd
import pytest

from keras_kd.errors import DataError
from keras_kd.sessions import _questionnaires

ITEMS = range(1, 11)
# As Brooke printed them in 1996.
WORDING = (
    "I think that I would like to use this system frequently",
    "I found the system unnecessarily complex",
    "I thought the system was easy to use",
    "I think that I would need the support of a technical person to be able to use this system",
    "I found the various functions in this system were well integrated",
    "I thought there was too much inconsistency in this system",
    "I would imagine that most people would learn to use this system very quickly",
    "I found the system very cumbersome to use",
    "I felt very confident using the system",
    "I needed to learn a lot of things before I could get going with this system",
)
# The even items of the scale with positive items alone (Sauro and Lewis, 2011).
POSITIVE = (
    "I found the system to be simple",
    "I think that I could use the system without the support of a technical person",
    "I thought there was a lot of consistency in the system",
    "I found the system very intuitive",
    "I could use the system without having to learn anything new",
)


def _asked(path, columns) -> tuple[list[str], list[float], list[str]]:
    """Measures of a questionnaire whose even answers are 1 and odd ones 4, the first one's numbers,
    and what is told.
    """
    rows = pd.DataFrame({"task": ["a"], "group": ["A"], "participant": ["p0"], "readable": [1.0]})
    quoted = [f'"{column}"' for column in columns]
    answers = ["4" if number % 2 == 0 else "1" for number in range(len(columns))]
    path.write_text(f"participant,{','.join(quoted)}\np0,{','.join(answers)}\n", "utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _questionnaires.joined(rows, path)
    names = [name for name in found if name.startswith("questionnaire_")]
    told = [text for one in caught if "SUS" in (text := str(one.message))]
    return names, found.loc[found["task"] == "questionnaire", names].iloc[0].tolist(), told


@pytest.mark.parametrize(
    "columns",
    [
        [f"SUS{number}" for number in ITEMS],
        [f"sus_{number:02}" for number in ITEMS],
        [f"SUS[SQ{number:03}]" for number in ITEMS],
        [f"SUS Q{number}" for number in ITEMS],
        WORDING,
        [f"System Usability Scale [{text}.]" for text in WORDING],
        [f"{n}. {text}." for n, text in enumerate(WORDING, start=1)],
        [text.replace("system", "mobile app") for text in WORDING],
        [text.replace("cumbersome", "awkward").replace(" frequently", "") for text in WORDING],
    ],
    ids=["SUS1", "sus_01", "LimeSurvey", "Q", "wording", "forms", "numbered", "app", "revised"],
)
def test_sus_is_found_by_what_its_columns_say(columns, tmp_path):
    # (4 - 1) five times and (5 - 1) five times are 35, times 2.5.
    assert _asked(tmp_path / "q.csv", columns) == (["questionnaire_SUS"], [87.5], [])
    # Studies shuffle the questions.
    names, _, told = _asked(tmp_path / "q.csv", columns[::-1])
    assert names == ["questionnaire_SUS"] and not told


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ([f"Q{number}" for number in ITEMS], "no column says that it is one of its items"),
        ([f"sus_{number}" for number in range(10)], "no column is item 10"),
        (WORDING[:9], "no column is item 10"),
        (
            [text for pair in zip(WORDING[::2], POSITIVE, strict=True) for text in pair],
            "no column is item 2, 4, 6, 8, 10",
        ),
        ([*WORDING, "sus_1"], "'I think .* frequently' and 'sus_1' are one item"),
    ],
)
def test_answers_to_sus_without_a_score_are_told(columns, why, tmp_path):
    names, _, (told,) = _asked(tmp_path / "q.csv", columns)
    assert len(names) == len(columns) and re.search(f"No SUS score is made, because {why}", told)
    assert "sus_1 to sus_10" in told


@pytest.mark.parametrize(
    "columns", [["mental", "physical", "effort"], [f"Q{n}" for n in range(9)], ["SUS", "SUS score"]]
)
def test_other_questionnaires_are_not_taken_for_sus(columns, tmp_path):
    names, _, told = _asked(tmp_path / "q.csv", columns)
    assert names == [f"questionnaire_{column}" for column in columns] and not told


def _joined(text, path, people=2):
    """The questionnaire's part of a study of p0, p1 …, and what is told."""
    names = [f"p{number}" for number in range(people)]
    rows = pd.DataFrame({"task": "a", "group": "A", "participant": names, "readable": 1.0})
    path.write_text(text, "utf-8")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _questionnaires.joined(rows, path)
    names = [name for name in found if name.startswith("questionnaire_")]
    return found.loc[found["task"] == "questionnaire", names], [str(one.message) for one in caught]


def test_what_qualtrics_writes_above_the_answers_is_none(tmp_path):
    ids = ",".join(f'"{{""ImportId"":""QID{number}""}}"' for number in range(11))
    head = f"participant,{','.join(f'SUS_{number}' for number in ITEMS)}"
    texts = ",".join(["Your number?", *(f'"SUS - {text}"' for text in WORDING)])
    lines = [head, texts, ids, f"p0{',5,1' * 5}", f"p1{',3' * 10}"]
    found, told = _joined("\n".join(lines), tmp_path / "q.csv")
    assert found["questionnaire_SUS"].tolist() == [100, 50] and not told


def test_columns_without_a_number_are_passed_over_and_told(tmp_path):
    head = "Timestamp,participant,ease,Remarks,Colour\n"
    lines = "2026/11/29 2:03 PM,p0,4,nice,\n2026/11/29 2:09 PM,p1,5,,\n"
    found, (told,) = _joined(head + lines, tmp_path / "q.csv")
    assert found.columns.tolist() == ["questionnaire_ease", "questionnaire_Colour"]
    assert found["questionnaire_ease"].tolist() == [4, 5]
    assert "Timestamp (2026/11/29 2:03 PM), Remarks (nice)." in told and "Colour" not in told


def test_answers_of_words_to_sus_are_not_passed_over(tmp_path):
    items = ",".join(f"sus_{number}" for number in ITEMS)
    with pytest.raises(DataError, match="line 2: sus_1 is 'agree', a text"):
        _joined(f"participant,x,{items}\np0,1{',agree' * 10}\n", tmp_path / "q.csv")
    with pytest.raises(DataError, match="line 3: sus_2 is 0, and answers to SUS are 1, 2, 3, 4"):
        _joined(f"participant,{items}\np0{',3' * 10}\np1,3,0{',3' * 8}\n", tmp_path / "q.csv")


def test_who_left_an_answer_to_sus_out_is_told(tmp_path):
    items = ",".join(f"sus_{number}" for number in ITEMS)
    text = f"participant,{items}\np0{',3' * 10}\np1,3,{',3' * 8}\n"
    found, (told,) = _joined(text, tmp_path / "q.csv")
    assert found["questionnaire_SUS"].tolist() == pytest.approx([50, float("nan")], nan_ok=True)
    assert "1 of 2 rows have no SUS score, because an answer is missing: line 3." in told
