"""Tables as JSON lines."""

from __future__ import annotations

import json

import pytest
from table_files import rows, values

from keras_kd import datasets
from keras_kd.errors import DataError


def test_hugging_face_s_metadata_in_json_lines(tmp_path):
    for start, split in ((0, "train"), (50, "test")):
        lines = rows(tmp_path / split, ("wütend", "froh"), start, 10)
        pairs = (line.split(",") for line in lines)
        (tmp_path / split / "metadata.jsonl").write_text(
            "\n\n".join(
                json.dumps(
                    {"text": None, "file_name": file, "label": [label], "boxes": [1, 2]}
                    # Of columns that are not read, a person's may be anything, too.
                    | {"user": {"id": split, "names": [start]}}
                )
                for file, label in pairs
            ),
            encoding="utf-8-sig",
        )
    test = datasets.load(tmp_path, "test")
    assert test.class_names == ("froh", "wütend")
    assert values(test) == [*range(50, 70)] and test.labels.tolist() == [1] * 10 + [0] * 10
    boxes, told = datasets.passed_over(tmp_path)
    assert boxes.startswith("metadata.jsonl: boxes (boxes) are not read")
    assert "images of one user may fall into several splits" in told


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"file_name": "0.png", "label": ["a", "b"]}', "line 7 has several values as its label"),
        ('{"file_name": "0.png", "label": "a"', "line 7: not one JSON object a line"),
        ('["0.png", "a"]', "line 7: not one JSON object a line"),
        ('{"file_name": "0.png"}', "line 7: the label is missing"),
        ('{"file_name": null, "label": "a"}', "line 7: .*has no file of the name ''"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path, line, words):
    pairs = [one.split(",") for one in rows(tmp_path, ("a", "b"))]
    lines = [json.dumps({"file_name": file, "label": label}) for file, label in pairs]
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines, line]))
    with pytest.raises(DataError, match=words):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"file_name": "images/0.png"', r"labels.jsonl, line 1: not one .* the line\.( See|$)"),
        ('{"kind": 1, "of": 2}', "has the fields file and label; its first has kind, of; name"),
    ],
)
def test_json_lines_that_are_no_table_are_told_why(tmp_path, line, told, alone):
    rows(tmp_path, "ab", where="images/")
    (tmp_path / "labels.jsonl").write_text(line)
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path / "labels.jsonl" if alone else tmp_path, "train")
