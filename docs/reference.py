"""Writes the command-line reference, docs/cli.md and the README's list, from the commands' own
help.
"""

from __future__ import annotations

from pathlib import Path

import click
from keras_kd.cli.main import kerakd

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- commands -->\n", "<!-- /commands -->\n"


def commands(
    group: click.Group, context: click.Context
) -> list[tuple[str, click.Command, click.Context]]:
    """Every command below a group, depth first, with its full name."""
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = click.Context(command, context, name, max_content_width=110, terminal_width=110)
        found.append((inner.command_path, command, inner))
        if isinstance(command, click.Group):
            found += commands(command, inner)
    return found


def pages() -> dict[Path, str]:
    """The text of every file that is made from the help."""
    found = commands(kerakd, click.Context(kerakd, info_name="kerakd"))
    sections = [
        f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
        for path, command, context in found
    ]
    reference = "# Commands\n\nMade from `--help` by `make docs`.\n\n" + "\n".join(sections)
    rows = [f"| `{path}` | {command.get_short_help_str(200)} |" for path, command, _ in found]
    table = "\n".join(["| command | |", "| --- | --- |", *rows]) + "\n"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return {
        ROOT / "docs" / "cli.md": reference,
        ROOT / "README.md": before + BEGIN + table + END + after,
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
