"""Some models of benchmarks/zoo.py through the doors that cost little; all of them: the program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import zoo
import zoo_doors

DOORS = ("evaluate", "store", "live", "student", "compact", "float32")


@pytest.mark.parametrize("name", ["nested", "two heads, a dict", "sigmoids", "uint8 input"])
def test_foreign_models_are_right_through_every_door(name):
    with zoo_doors.kept(zoo.ZOO[name]) as keeper:
        assert keeper.alive
        outcomes = {door: zoo.judged(keeper, door) for door in DOORS}
    refused = {door for door, outcome in outcomes.items() if "difference" not in outcome}
    of_one_class = {"evaluate", "store", "live", "student"}
    assert refused == (of_one_class if name == "sigmoids" else set()), outcomes
    assert not [outcome for outcome in outcomes.values() if "fault" in outcome]


def test_a_door_that_ends_the_process_is_a_fault_and_the_next_ones_are_tried(tmp_path, monkeypatch):
    record = tmp_path / "record.jsonl"
    for door in ("evaluate", "compact"):  # as a worker leaves it that dies at its second door
        zoo.write(record, {"model": "nested", "door": door, "difference": 0.0})
    zoo.write(record, {"model": "nested", "door": "int8", "fault": zoo.STARTED})
    codes = [-11, 0]
    monkeypatch.setattr(zoo.subprocess, "run", lambda *_, **__: _Ended(codes.pop(0)))
    zoo.run(["nested"], ["evaluate", "compact", "int8", "qat"], record)
    assert zoo.read(record)[-1]["fault"] == "ended the process: SIGSEGV"
    assert zoo.missing(["nested"], ["compact", "int8", "qat"], record) == {"nested": ["qat"]}


class _Ended:
    def __init__(self, code):
        self.returncode = code


def test_refusals_and_faults_are_told_apart_in_the_table(tmp_path):
    record = tmp_path / "record.jsonl"
    zoo.write(record, {"model": "LSTM", "door": "int8", "fault": "ended the process"})
    zoo.write(record, {"model": "LSTM", "door": "int8", "refused": "a sentence"})
    zoo.write(record, {"model": "LSTM", "door": "onnx", "not run": "minutes"})
    zoo.write(record, {"model": "LSTM", "door": "float32", "difference": 2e-7})
    made = zoo.table(zoo.read(record))
    row = made.splitlines()[3]
    assert "| (1) |" in row and "| (2) |" in row and "2e-7" in row and "ended" not in row
    assert made.splitlines()[-2:] == ["1. a sentence", "2. Not run: minutes"]
    page = zoo.written_into_page(made, f"before\n{zoo.BEGIN}\nold\n{zoo.END}\nafter\n")
    assert page == f"before\n{zoo.BEGIN}\n\n{made}\n\n{zoo.END}\nafter\n"


def test_the_zoo_has_forty_models():
    assert len(zoo.ZOO) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", list(zoo.ZOO))
def test_every_model_of_the_zoo(name, tmp_path):
    record = tmp_path / "record.jsonl"
    zoo.run([name], list(zoo.DOORS), record)
    assert not [line for line in zoo.read(record) if "fault" in line]
