"""Writes the command-line reference, docs/cli.md, and the lists of commands, data sets and formats
in README.md and docs/export.md, from the commands' own help and the modules' docstrings.
"""

from __future__ import annotations

from pathlib import Path

import click
from keras_kd.cli.main import kerakd

from keras_kd import datasets, exporters

ROOT = Path(__file__).parents[1]


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
    """The text of every file that is made from help and docstrings."""
    found = commands(kerakd, click.Context(kerakd, info_name="kerakd"))
    sections = [
        f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
        for path, command, context in found
    ]
    reference = "# Commands\n\nMade from `--help` by `make docs`.\n\n" + "\n".join(sections)
    helps = {path: command.get_short_help_str(200) for path, command, _ in found}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    readme = with_table(readme, "commands", table("command", "what it does", helps))
    export = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    of_data = table("name", "what it is and its forms on disk", datasets.summaries())
    of_formats = table("format", "what it is", exporters.summaries())
    return {
        ROOT / "docs" / "cli.md": reference,
        ROOT / "docs" / "export.md": with_table(export, "formats", of_formats),
        ROOT / "README.md": with_table(readme, "data sets", of_data),
    }


def table(first: str, second: str, rows: dict[str, str]) -> str:
    """A Markdown table of names and what is said of them."""
    lines = [f"| `{name}` | {text} |" for name, text in rows.items()]
    return "\n".join([f"| {first} | {second} |", "| --- | --- |", *lines]) + "\n"


def with_table(page: str, name: str, made: str) -> str:
    """A page with a table in place of what stands between the comments of its name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, rest = page.split(begin)
    return before + begin + made + end + rest.split(end)[1]


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
