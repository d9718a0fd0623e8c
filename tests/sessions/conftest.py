"""Recordings that several files of tests compare."""

from __future__ import annotations

import pytest
from drawn_timeline import mostly, write


@pytest.fixture
def study(tmp_path):
    """Two designs: in A everybody is happy for half of the time, in B for a fifth."""
    for group, share in (("A", 0.5), ("B", 0.2)):
        (tmp_path / group).mkdir()
        for number in range(4):
            seconds = 20 * share + number
            chances = [*mostly("neutral", 20 - seconds), *mostly("happy", seconds)]
            write(tmp_path / group / f"p{number}.csv", chances)
    return tmp_path
