from __future__ import annotations

import pytest

from keras_kd._common.text import first_line


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
