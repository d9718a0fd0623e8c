from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from keras_kd._common.text import command_line, cut, first_line, plain_reason, reason_of_call, some


@pytest.mark.parametrize(
    ("message", "after", "shown"),
    [
        ("no room\nat line 3", "", "no room"),
        ("\n  no room", "", "no room"),
        ("", "", "ValueError"),
        ("layer failed. cause: no room\nmore", "cause: ", "no room"),
        ("no room", "cause: ", "no room"),
        ("layer failed. cause: ", "cause: ", "ValueError"),
    ],
)
def test_of_an_error_the_first_line_is_shown_or_its_type(message, after, shown):
    assert first_line(ValueError(message), after) == shown


@pytest.mark.parametrize("opened", [open, h5py.File, Path.iterdir])
def test_of_the_operating_systems_errors_the_plain_words_are_shown(
    opened: Callable, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"\[Errno 2\]") as caught:
        list(opened(tmp_path / "missing: 'x'"))
    assert plain_reason(caught.value) == first_line(caught.value) == "No such file or directory"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("it is cut short\n"), "it is cut short"),
        (OSError("file signature not found"), "file signature not found"),
        (OSError("error message = ''"), "error message = ''"),
        (ValueError("[Errno 13] Permission denied: '/a'"), "Permission denied"),
        # As pyarrow words it.
        (
            OSError(13, "Failed to open '/a'. Detail: [errno 13] Permission denied"),
            "Permission denied",
        ),
    ],
)
def test_other_words_stay_as_they_are(error: Exception, shown: str) -> None:
    assert plain_reason(error) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Exception encountered when calling A.call().\n\n\x1b[1mno room.\x1b[0m\n\nArguments",
            "no room",
        ),
        (
            "\x1b[1m{{node Add}} Incompatible shapes: [4,3] vs. [4] [Op:AddV2] name: \x1b[0m\n",
            "Incompatible shapes: [4,3] vs. [4]",
        ),
        ("failed\n\n\x1b[1m\x1b[0m\n\nArguments", "ValueError"),
        ("no room.\nmore", "no room"),
        ("", "ValueError"),
    ],
)
def test_of_an_error_of_a_layer_the_reason_is_shown_without_marks(said, shown):
    """A message of an export ended in the escape of the terminal's plain letters."""
    assert reason_of_call(ValueError(said)) == shown


@pytest.mark.parametrize(
    ("words", "posix", "windows"),
    [
        (["kerakd", "distill", "--out", "runs/c"], "kerakd distill --out runs/c", None),
        (["--out", Path("my runs")], "--out 'my runs'", '--out "my runs"'),
        (["a&b", "$HOME"], "'a&b' '$HOME'", '"a&b" "$HOME"'),
        (["a,b", "it's"], """a,b 'it'"'"'s'""", '"a,b" "it\'s"'),
    ],
)
def test_a_command_is_quoted_for_the_users_shell(monkeypatch, words, posix, windows):
    """On Windows it stood in quotes that cmd takes for letters."""
    assert command_line(words) == posix
    monkeypatch.setattr(os, "name", "nt")
    assert command_line([str(word) for word in words]) == (windows or posix)


def test_one_function_quotes_commands():
    root = Path(__file__).parents[2]
    files = [*(root / "keras_kd").rglob("*.py"), *(root / "cli").rglob("*.py")]
    assert [file.name for file in files if "shlex" in file.read_text()] == ["text.py"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (cut("abcd", 4), "abcd"),
        (cut("abcde", 4), "abc…"),
        (some([1, 2, 3], 3), "1, 2, 3"),
        (some(iter("abcd"), 3), "a, b, c, …"),
        (some([]), ""),
    ],
)
def test_what_is_left_out_of_a_name_or_a_list_leaves_a_sign(shown: str, expected: str) -> None:
    assert shown == expected
