"""Some models of benchmarks/zoo.py through the doors that cost little; all of them: the program."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import pytest
from keras import layers

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import zoo
import zoo_doors
from zoo_models import Animal

DOORS = ("evaluate", "store", "live", "student", "compact")


def _of_uint8_nested_with_two_heads():
    image = keras.Input((8, 8, 3), dtype="uint8")
    trunk = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu")])
    x = layers.GlobalAveragePooling2D()(trunk(layers.Rescaling(1 / 127.5, -1)(image)))
    return keras.Model(image, {"classes": layers.Dense(5)(x), "value": layers.Dense(1)(x)})


def _of_colours(*end):
    stack = [layers.Rescaling(1 / 127.5, -1), layers.GlobalAveragePooling2D(), *end]
    return keras.Sequential([keras.Input((8, 8, 3)), *stack])


# Less than 20 s of processor together; float32 starts a process that imports TensorFlow.
FAST = {
    "nested, uint8, two heads": (_of_uint8_nested_with_two_heads, (*DOORS, "float32")),
    "one logit": (lambda: _of_colours(layers.Dense(1)), DOORS),
    "softmax": (lambda: _of_colours(layers.Dense(5, "softmax")), DOORS),
}


@pytest.mark.parametrize("name", FAST)
def test_foreign_models_are_right_through_every_door(name):
    build, doors = FAST[name]
    with zoo_doors.kept(Animal(build, side=8)) as keeper:
        assert keeper.alive
        outcomes = {door: zoo.judged(keeper, door) for door in doors}
    others = {door: outcome for door, outcome in outcomes.items() if "difference" not in outcome}
    assert list(others) == (["student"] if name == "softmax" else []), outcomes
    assert not [outcome for outcome in outcomes.values() if "fault" in outcome]


# Does nothing but leave lines, and dies at a door as TensorFlow does.
WORKER = """
import json, os, signal, sys
record, doors = sys.argv[3], sys.argv[5].split(",")
done = [json.loads(line) for line in open(record)]
for door in doors:
    if door not in [line["door"] for line in done]:
        line = {"model": "nested", "door": door}
        with open(record, "a") as file:
            file.write(json.dumps({**line, "fault": "started"}) + "\\n")
        if door == "int8":
            os.kill(os.getpid(), signal.SIGSEGV)
        with open(record, "a") as file:
            file.write(json.dumps({**line, "difference": 0.5}) + "\\n")
"""


def test_a_door_that_ends_the_process_is_a_fault_and_the_next_ones_are_tried(tmp_path):
    record, program = tmp_path / "record.jsonl", tmp_path / "worker.py"
    program.write_text(WORKER)
    zoo.write(record, {"model": "nested", "door": "evaluate", "difference": 0.0})
    zoo.run(["nested"], ["evaluate", "compact", "int8", "qat"], record, str(program))
    ended = {"model": "nested", "door": "int8", "fault": "ended the process: SIGSEGV"}
    assert ended in zoo.read(record)
    figures = {line["door"]: line.get("difference") for line in zoo.read(record)}
    assert figures == {"evaluate": 0.0, "compact": 0.5, "int8": None, "qat": 0.5}


def test_refusals_and_faults_are_told_apart_in_the_table(tmp_path):
    record = tmp_path / "record.jsonl"
    zoo.write(record, {"model": "LSTM", "door": "int8", "fault": "ended the process"})
    zoo.write(record, {"model": "LSTM", "door": "int8", "refused": "a sentence"})
    zoo.write(record, {"model": "LSTM", "door": "float32", "difference": 2e-7})
    made = zoo.table(zoo.read(record), "minutes")
    (row,) = [line for line in made.splitlines() if line.startswith("| LSTM")]
    assert "| (2) |" in row and "| (1) |" in row and "2e-7" in row and "ended" not in row
    assert made.splitlines()[-2:] == ["1. Not run: minutes", "2. a sentence"]
    page = zoo.written_into_page(made, f"before\n{zoo.BEGIN}\nold\n{zoo.END}\nafter\n")
    assert page == f"before\n{zoo.BEGIN}\n\n{made}\n\n{zoo.END}\nafter\n"


def test_a_lost_record_begins_with_the_cells_of_the_page(tmp_path):
    lines = [
        {"model": "LSTM", "door": "evaluate", "difference": 2e-7},
        {"model": "LSTM", "door": "int8", "refused": "a sentence (of two parts)"},
        {"model": "GRU", "door": "compact", "difference": 0.0},
        {"model": "GRU", "door": "bundle", "difference": 0.004},
    ]
    fault = {"model": "GRU", "door": "onnx", "fault": "ended the process"}
    made = zoo.table([*lines, fault], "minutes")
    page = zoo.written_into_page(made, f"1. first\n{zoo.BEGIN}\nold\n{zoo.END}\n")
    assert sorted(zoo.cells(page), key=str) == sorted(lines, key=str)
    record = tmp_path / "record.jsonl"
    zoo.begin(record, page, lambda line: line["model"] == "GRU")
    assert zoo.read(record) == [line for line in zoo.cells(page) if line["model"] == "LSTM"]
    zoo.begin(record, "no table", lambda line: line["door"] == "int8")
    assert zoo.read(record) == lines[:1]


def test_the_zoo_has_forty_models():
    assert len(zoo.ZOO) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", list(zoo.ZOO))
def test_every_model_of_the_zoo(name, tmp_path):
    record = tmp_path / "record.jsonl"
    zoo.run([name], list(zoo.DOORS), record)
    assert not [line for line in zoo.read(record) if "fault" in line]
