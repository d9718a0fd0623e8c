"""The command line `kerakd`: options in, one library call, result out."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import pkgutil
import sys
import warnings
from keyword import iskeyword

import click

from keras_kd._common import system_errors
from keras_kd._common.paths import require_local
from keras_kd._common.text import printable
from keras_kd.errors import ConfigError, KerasKDError, OutputError

from . import completion, options, stopping, streams


class Commands(click.Group):
    """One module a command, found by its name and imported only when it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        package = importlib.import_module(__package__)
        helpers = {
            "completion",
            "engine",
            "main",
            "options",
            "output",
            "sessions",
            "stopping",
            "start",
            "streams",
            "surroundings",
        }
        modules = {module.name for module in pkgutil.iter_modules(package.__path__)} - helpers
        # import_.py is the command `import`, which is no name for a module.
        return sorted(name.removesuffix("_") for name in modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        module = importlib.import_module(f".{name}{'_' * iskeyword(name)}", __package__)
        return completion.prepare(module.command)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was meant."""
        name = click.utils.make_str(arguments[0])
        known = self.list_commands(context)
        near = difflib.get_close_matches(name, known, 3)
        if near and name not in known:
            raise click.UsageError(
                f"No such command {name!r}. Did you mean {' or '.join(map(repr, near))}?", context
            )
        return super().resolve_command(context, arguments)


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="keras-kd", prog_name="kerakd")
def kerakd() -> None:
    """Turn a large image model into a small one that an app can trust."""


def main() -> None:
    """Run `kerakd`; exit 0 done, 2 what the user can mend, 1 a fault of ours, 130 Ctrl-C, 143
    SIGTERM, 129 SIGHUP.
    """
    streams.prepare()
    stopping.heed()
    # TensorFlow reads it once, when it is imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # One line, as errors have: Python's own form shows a line of our code.
    warnings.formatwarning = lambda message, *_, **__: f"kerakd: {_for_command(message)}\n"
    try:
        with stopping.recognized():
            _run()
    except click.exceptions.Exit as exit:
        sys.exit(exit.exit_code)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        for line in shown.getvalue().splitlines():
            streams.line(line, err=True)
        sys.exit(2)
    except click.Abort as abort:
        stopping.end(abort.__cause__)
    except KeyboardInterrupt as stop:
        stopping.end(stop)
    except KerasKDError as error:
        streams.line(f"kerakd: {_for_command(error)}", err=True)
        # 2 for what the user can mend, 1 for our own faults: the error knows.
        sys.exit(error.exit_code)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        streams.line(
            "kerakd: The system starts no further thread: close other programs, or raise `ulimit"
            " -u` or the container's limit.",
            err=True,
        )
        sys.exit(2)
    except MemoryError as error:
        streams.line(
            f"kerakd: Out of memory ({error}): use a smaller model or batch, or a larger machine.",
            err=True,
        )
        sys.exit(2)


def _for_command(message: object) -> str:
    """The library's message for the command that runs."""
    words = (word for word in sys.argv[1:] if not word.startswith("-"))
    command: click.Command | None = kerakd
    names, context = ["kerakd"], click.Context(kerakd)
    while isinstance(command, click.Group) and (name := next(words, "")):
        command, names = command.get_command(context, name), [*names, name]
    text = options.named_for(command, str(message))
    others = [_owned(option, names, context) for option in options.lacked(command, text)]
    return printable("".join([text, *others]))


def _owned(option: str, lacking: list[str], context: click.Context) -> str:
    """A sentence on the commands that have an option which one command lacks."""
    commands = {name: kerakd.get_command(context, name) for name in kerakd.list_commands(context)}
    owners = [name for name, one in commands.items() if not options.lacked(one, option)]
    shown = " and ".join(f"`kerakd {name}`" for name in owners[:3])
    return f" (`{' '.join(lacking)}` has no {option}; {shown} can take it.)" if owners else ""


def _refuse_empty_words() -> None:
    """Check that no argument is empty: most would be taken for the working folder."""
    for word in sys.argv[1:]:
        option, _, value = word.partition("=")
        if not word or (option.startswith("--") and word == f"{option}="):
            raise ConfigError(
                f"{option or 'An argument'} is empty, as a shell's variable that isn't set: give a"
                " value, or leave it out."
            )


def _refuse_addresses() -> None:
    """Check before the work that no result is to go to an address."""
    words = sys.argv[1:]
    given = [word.partition("=")[::2] for word in words] + list(zip(words, words[1:], strict=False))
    for option, value in given:
        if option in options.WRITTEN:
            require_local(value)


def _working_folder_is_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _run() -> None:
    _refuse_empty_words()
    _refuse_addresses()
    try:
        # Else click prints errors in its own form and ends the process.
        kerakd.main(standalone_mode=False)
    except SystemExit:
        # click ends this way when stdout's reader is gone, as with `| head -1`. The class is
        # click's own, and has another name in each of its versions.
        if not type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):
            raise
        return
    except OSError as error:
        # The library's own errors name their file; these are errors of the operating system.
        if error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EIO):
            streams.refused(error)
        elif error.errno == errno.ENOENT and _working_folder_is_gone():
            raise OutputError(
                "The folder that this command was started in is gone: change to another one."
            ) from error
        elif reason := system_errors.reason(error):
            raise OutputError(f"Can't use {error.filename or 'a file'}: {reason}.") from error
        else:
            raise
    streams.finish()
