"""What makes typing easier: `python -m`, words that are nearly right, and the shell's
completion.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import striped_images
from command_line import called
from keras_kd.cli import completion, options
from keras_kd.cli.main import kerakd

from keras_kd import exporters, models
from keras_kd.errors import OutputError


def test_python_runs_the_package_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "keras_kd", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "version" in done.stdout


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["distil"], "No such command 'distil'. Did you mean 'distill'"),
        (["evalute", "x"], "'evaluate'"),
        (["distill", "--studnet", "B"], "Did you mean one of: '--student'"),
        (["quux"], "No such command 'quux'"),
    ],
)
def test_what_was_meant_is_said(typed, meant, capsys) -> None:
    assert called(*typed) == 2
    assert meant in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "twice"),
    [
        ("distill --data a --epochs 3 --data=b", "--data takes one value and is given 2 times"),
        ("distill --resume --out a --out a", "--out takes one value"),
        ("distill --config a.toml --config b.toml --config c.toml", "--config takes one value and"),
        ("evaluate a.keras --split test --split train", "--split takes one value"),
        ("export a.keras --io app --io float", "--io takes one value"),
        ("sweep --temp 2 --temp 3", "--temp takes one value"),
        ("evaluate a.keras --range 0,1 --range -1,1", "range is given twice, as 0,1 and -1,1"),
        (
            "bench a.keras b.keras --range a.keras=0,1 --range a.keras=0,2",
            "range is given twice for a.keras, as 0,1 and 0,2",
        ),
        (
            "distill --teacher a.keras --teacher-mean 1 --teacher-mean 2",
            "teacher_mean is given twice, as 1 and 2",
        ),
    ],
)
def test_no_second_value_takes_the_place_of_the_first(
    typed: str, twice: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(*typed.split()) == 2
    error = capsys.readouterr().err
    assert twice in error and "give it once" in error
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "typed",
    [
        "bench a.tflite --seconds nan",
        "bench a.tflite --seconds inf",
        "export a.keras --tune --max-drop nan",
        "predict a.png --crop nan",
        "compare a.csv --least-readable nan",
    ],
)
def test_numbers_that_are_none_are_refused(typed: str, capsys) -> None:
    assert called(*typed.split()) == 2
    assert f"{typed.split()[-2]} must be a finite number." in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_no_timing_of_no_time(seconds: str, capsys) -> None:
    """One turn was timed, as if it had been asked for."""
    assert called("bench", "a.tflite", "--seconds", seconds) == 2
    assert "is not in the range x>0" in capsys.readouterr().err


def test_flags_may_be_taken_back_and_lists_go_on() -> None:
    parsed = kerakd.get_command(click.Context(kerakd), "distill").make_context(
        "distill",
        ["--json", "--json", "--baseline", "--no-baseline", "--teacher", "a", "--teacher", "b"],
    )
    assert parsed.params["baseline"] is False and parsed.params["teacher"] == "a;b"


def test_every_command_is_parsed_by_the_houses_class() -> None:
    context = click.Context(kerakd)
    commands = [kerakd.get_command(context, name) for name in kerakd.list_commands(context)]
    groups = [command for command in commands if isinstance(command, click.Group)]
    for group in groups:
        commands += [group.get_command(context, name) for name in group.list_commands(context)]
    plain = [command for command in commands if not isinstance(command, click.Group)]
    assert len(plain) > 15 and all(isinstance(command, options.Command) for command in plain)


def test_names_are_read_from_the_source_as_they_are() -> None:
    assert set(completion.architectures()) == set(models.names())
    assert completion.formats() == sorted(exporters.names())
    assert completion.targets() == list(exporters.targets.TARGETS)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("kerakd dist", "plain,distill"),
        ("kerakd distill --stu", "plain,--student"),
        ("kerakd distill --student reseM".lower(), "plain,resemotenet"),
        ("kerakd distill --formats float32,in", "plain,float32,int8"),
        ("kerakd distill --formats float32,mic", "plain,float32,microcontroller"),
        ("kerakd export --target mic", "plain,microcontroller"),
        ("kerakd distill --schedule co", "plain,cosine"),
        ("kerakd evaluate run", "file,run"),
    ],
)
def test_the_shell_completes_commands_options_names_and_files(words, completed) -> None:
    environment = {
        **os.environ,
        "_KERAKD_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    code = "from keras_kd.cli.main import kerakd; kerakd(prog_name='kerakd')"
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert completed in shown.stdout.splitlines()


@pytest.mark.parametrize(("command", "prefix"), [("distill", "teacher-"), ("evaluate", "")])
def test_messages_name_options_as_the_command_calls_them(command, prefix) -> None:
    message = "State --range 0,1, --channel-order bgr or --classes A,B; --heads and --json stay."
    expected = message
    for name in ("range", "channel-order", "classes"):
        expected = expected.replace(f"--{name}", f"--{prefix}{name}")
    found = options.named_for(kerakd.get_command(click.Context(kerakd), command), message)
    assert found == expected


def test_options_that_a_command_lacks_are_said_to_be_anothers(
    tmp_path, monkeypatch, capsys
) -> None:
    message = "Lower --batch-size or --port; `npm --prefix x` and --batch-size stay."
    web = kerakd.get_command(click.Context(kerakd), "web")
    assert options.lacked(web, message) == ["--batch-size"]
    assert options.lacked(None, message) == []
    finished = Path(__file__).parents[2] / "docs" / "results" / "fer2013-best-C-80"

    def refused(folder: str, out: str, terminal: object) -> None:
        raise OutputError("Choose another --out, or --port.")

    monkeypatch.setattr("keras_kd.pipelines.rerun.rerun", refused)
    assert called("rerun", str(finished), "--out", str(tmp_path / "new")) == 2
    error = capsys.readouterr().err
    assert "(`kerakd rerun` has no --port; `kerakd web` can take it.)" in error
    assert "has no --out" not in error


def test_a_rerun_into_a_used_folder_is_told_how_to_end_the_run_there(tmp_path, capsys) -> None:
    """It was told of --resume, which rerun lacks, and that analyze has one."""
    finished = Path(__file__).parents[2] / "docs" / "results" / "fer2013-best-C-80"
    used = tmp_path / "my run"
    used.mkdir()
    (used / "file").touch()
    assert called("rerun", str(finished), "--out", str(used)) == 2
    assert f"{used} is already in use: choose another --out.\n" in capsys.readouterr().err
    (used / "config.toml").touch()
    assert called("rerun", str(finished), "--out", str(used)) == 2
    told = f"or go on with the run there by `kerakd distill --resume --out '{used}'`.\n"
    assert capsys.readouterr().err.endswith(told)


def test_a_folder_with_a_dot_and_a_blank_keeps_its_name(tmp_path, monkeypatch, capsys) -> None:
    folder = striped_images.draw(tmp_path / "my photos.v1")
    monkeypatch.chdir(tmp_path)
    assert called("init", str(folder)) == 0
    assert "kerakd distill --config 'my photos.v1.toml'" in capsys.readouterr().out
    assert (tmp_path / "my photos.v1.toml").is_file()
    assert options.run_name(str(folder), "C") == "my photos.v1-C"
    lines = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in folder.rglob("*.png")]
    (tmp_path / "list.csv").write_text("\n".join(["file,label", *lines]))
    assert called("init", "list.csv") == 0 and (tmp_path / "list.toml").is_file()
