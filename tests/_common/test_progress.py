"""What a long run says of its progress."""

from __future__ import annotations

from keras_kd._common import progress


def test_without_a_terminal_lines_tell_how_much_is_done(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS_A_LINE", 0.0)
    terminal = progress.Terminal()
    with terminal.bar("Soft labels", 2000) as advance:
        advance(500)
        advance(700)
    with terminal.bar("film.mp4", None, "frames") as advance:
        advance(3)
    assert capsys.readouterr().err.splitlines() == [
        "Soft labels: 500 of 2,000 images",
        "Soft labels: 1,200 of 2,000 images",
        "film.mp4: 3 frames",
    ]


def test_a_short_run_without_a_terminal_says_nothing(capsys):
    with progress.Terminal().bar("Soft labels", 2000) as advance:
        advance(2000)
    assert not capsys.readouterr().err
