"""What a run that is resumed must find as it was."""

from pathlib import Path

import pytest

from keras_kd._common import run_files
from keras_kd.errors import ConfigError
from keras_kd.pipelines import run_folder

FACTS = {"images": "a", "teacher": "b"}


def test_a_resumed_run_must_find_what_it_began_with(tmp_path: Path) -> None:
    run_folder.require_beginning(tmp_path, FACTS)
    run_folder.require_beginning(tmp_path, FACTS)
    with pytest.raises(ConfigError, match="The teacher are not those.*began with"):
        run_folder.require_beginning(tmp_path, {**FACTS, "teacher": "c"})
    with pytest.raises(ConfigError, match="The images and the teacher are not those"):
        run_folder.require_beginning(tmp_path, {"images": "x", "teacher": "c"})


def test_a_damaged_beginning_is_told(tmp_path: Path) -> None:
    run_folder.require_beginning(tmp_path, FACTS)
    (tmp_path / ".state" / run_files.BEGINNING).write_text("{")
    with pytest.raises(ConfigError, match="began-with.json is damaged"):
        run_folder.require_beginning(tmp_path, FACTS)
