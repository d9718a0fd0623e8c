"""What a run that is resumed must find as it was."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_kd import config
from keras_kd._common import run_files
from keras_kd.datasets import Samples
from keras_kd.datasets.splits import Data
from keras_kd.errors import ConfigError
from keras_kd.pipelines import run_folder
from keras_kd.pipelines.supervision import Supervision

FACTS = {"images": "a", "teacher": "b"}


def _begun(
    out: Path,
    facts: dict[str, str],
    epoch: int = 0,
    step: int = 1,
    options: dict[str, Any] | None = None,
) -> None:
    """Begin a run, whose training has come as far."""
    run_folder.require_beginning(out, facts, options or {})
    state = {"epoch": epoch, "step": step, "variables": 0, "metrics": 0, "history": []}
    state |= {"finished": False, "callbacks": []}
    np.savez(out / run_files.STATE / "state.npz", state=np.array(json.dumps(state)))


def test_the_commit_stays_that_of_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that is changed during a run is not the code of the run."""
    first = run_folder.versions()
    monkeypatch.setattr("subprocess.run", lambda *args, **options: 1 / 0)
    assert run_folder.versions() == first


def test_a_resumed_run_must_find_what_it_began_with(tmp_path: Path) -> None:
    _begun(tmp_path, FACTS)
    run_folder.require_beginning(tmp_path, FACTS)
    with pytest.raises(ConfigError, match="Since the run in .* began, teacher changed"):
        run_folder.require_beginning(tmp_path, {**FACTS, "teacher": "c"})
    with pytest.raises(ConfigError, match="images changed"):
        run_folder.require_beginning(tmp_path, {"images": "x", "teacher": "c"})


def test_options_that_were_edited_meanwhile_are_told(tmp_path: Path) -> None:
    options = {"data": "photos", "epochs": 6, "learning_rate": 0.1, "alpha": 1}
    _begun(tmp_path, FACTS, options=options)
    # A command's 1 is 1.0, and a configuration's 1.
    moved = {**options, "data": "elsewhere", "learning_rate": 0.01, "alpha": 1.0}
    run_folder.require_beginning(tmp_path, FACTS, moved)
    edited = {**moved, "epochs": 8}
    with pytest.raises(ConfigError, match="Since the run in .* began, the option epochs changed"):
        run_folder.require_beginning(tmp_path, {**FACTS, "teacher": "c"}, edited)


@pytest.mark.parametrize("first", ["old/own.keras", "old/own.py:net"])
def test_a_students_file_may_be_moved(first: str, tmp_path: Path) -> None:
    """Its place could not be written into the record of a stopped run, as those of others can."""
    _begun(tmp_path, FACTS, options={"student": first})
    moved = first.replace("old", "new")
    run_folder.require_beginning(tmp_path, FACTS, {"student": moved})
    with pytest.raises(ConfigError, match="the option student changed"):
        run_folder.require_beginning(tmp_path, FACTS, {"student": "B"})
    note = tmp_path / ".state" / run_files.BEGINNING
    # As earlier versions noted it.
    note.write_text(json.dumps({**FACTS, "the option student": json.dumps(first)}))
    run_folder.require_beginning(tmp_path, FACTS, {"student": moved})
    note.write_text(json.dumps({**FACTS, "the option student": json.dumps("B")}))
    with pytest.raises(ConfigError, match="the option student changed"):
        run_folder.require_beginning(tmp_path, FACTS, {"student": moved})


def test_a_run_of_a_version_that_noted_no_options_goes_on(tmp_path: Path) -> None:
    _begun(tmp_path, FACTS)
    run_folder.require_beginning(tmp_path, FACTS, {"epochs": 6})
    with pytest.raises(ConfigError, match="images changed"):
        run_folder.require_beginning(tmp_path, {**FACTS, "images": "x"}, {"epochs": 6})


@pytest.mark.parametrize(
    ("option", "value"), [("data", "x"), ("student", "x.keras"), ("formats", "int8")]
)
def test_files_that_were_moved_are_spoken_of_where_one_is_another(
    option: str, value: str, tmp_path: Path
) -> None:
    options = config.completed({"recipe": "quick", "learning_rate": 0.1})
    (tmp_path / run_files.OPTIONS).write_text(config.dump(options, {}))
    other = {**options, option: value}
    with (
        pytest.raises(ConfigError, match=f"in {option}: resume") as told,
        run_folder.held(tmp_path, other, resume=True),
    ):
        pass
    assert ("files lie elsewhere" in str(told.value)) == (option != "formats")


def test_a_run_that_took_no_step_is_bound_by_nothing(tmp_path: Path) -> None:
    """Its training saves a state before the first step, and stopped in the first minute has no
    other.
    """
    other = {**FACTS, "images": "x"}
    _begun(tmp_path, FACTS, step=0)
    run_folder.require_beginning(tmp_path, other)
    _begun(tmp_path, other, step=1)
    with pytest.raises(ConfigError, match="images changed"):
        run_folder.require_beginning(tmp_path, FACTS)
    (tmp_path / run_files.STATE / "state.npz").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match="images changed"):
        run_folder.require_beginning(tmp_path, FACTS)


def test_a_damaged_beginning_is_told(tmp_path: Path) -> None:
    _begun(tmp_path, FACTS, epoch=1, step=0)
    (tmp_path / ".state" / run_files.BEGINNING).write_text("{")
    with pytest.raises(ConfigError, match="began-with.json is damaged"):
        run_folder.require_beginning(tmp_path, FACTS)


def test_a_beginning_of_another_version_is_told(tmp_path: Path) -> None:
    _begun(tmp_path, FACTS)
    with pytest.raises(
        ConfigError, match="Another version .* noted nothing of classes: go on with"
    ):
        run_folder.require_beginning(tmp_path, {**FACTS, "classes": "c"})


def _data(images: np.ndarray, labels: list[int], names: tuple[str, ...] = ("a", "b")) -> Data:
    samples = Samples(images, np.array(labels), names)
    return Data("drawn", samples, samples, samples)


def test_what_changed_in_the_data_is_named(tmp_path: Path) -> None:
    images = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    other = images.copy()
    other[0, 0, 0, 0] += 100
    _begun(tmp_path, _data(images, [0, 0, 1, 1]).facts())
    run_folder.require_beginning(tmp_path, _data(images.copy(), [0, 0, 1, 1]).facts())
    # As where two class folders exchanged their names.
    exchanged = images[[2, 3, 0, 1]]
    for changed, data in {
        "the images": _data(other, [0, 0, 1, 1]),
        "the labels": _data(exchanged, [0, 0, 1, 1]),
        "the order or the splits of the images": _data(exchanged, [1, 1, 0, 0]),
        "the order of classes": _data(images, [0, 0, 1, 1], ("b", "a")),
        "the test images or their labels": replace(
            _data(images, [0, 0, 1, 1]), test=Samples(images, np.array([0, 0, 1, 0]), ("a", "b"))
        ),
    }.items():
        with pytest.raises(ConfigError, match=f"{changed} changed: "):
            run_folder.require_beginning(tmp_path, data.facts())


def test_test_images_may_have_other_values_than_training_images() -> None:
    """Then values of the test are not scored; what they are is a fact of the test alone."""
    data = _data(np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1), [0, 1])
    learnt = replace(data.train, values={"valence": np.zeros(2, np.float32)})
    scored = replace(data.test, values={"arousal": np.ones(2, np.float32)})
    facts = replace(data, train=learnt, validation=learnt).facts()
    others = replace(data, train=learnt, validation=learnt, test=scored).facts()
    assert [name for name, fact in facts.items() if others[name] != fact] == [
        "the test images or their labels"
    ]


def test_other_unlabelled_pictures_are_named() -> None:
    """Not the teacher, whose soft labels are also of these; their order on disk is no matter."""
    images = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)

    def facts(rows: list[int], count: int = 2) -> dict[str, str]:
        learnt = _data(images[rows], [0, 0, 1, 1])
        return Supervision("t", learnt=learnt, unlabeled=count).facts()

    (name,) = facts([0, 1, 2, 3])
    assert name == "the unlabelled pictures"
    assert facts([0, 1, 2, 3]) == facts([1, 0, 3, 2]) != facts([0, 1, 2, 1])
    assert facts([0, 1, 2, 3], count=0) == {}
