"""The command line: parse, print, exit codes; one file per command, loaded when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from tunebench import __version__
from tunebench.cli.help import completed
from tunebench.cli.output import complain
from tunebench.console import ENDINGS, KEPT, signals
from tunebench.errors import Terminated, TunebenchError

COMMANDS = {
    "cache": "Show the size of the cache, or clear it.",
    "certify": "Certify that a tuned network loses at most a budget of accuracy.",
    "check": "Check a tuner, or a file with tuners, before you share it.",
    "explain": "Say what a word, a column, a status or an option means.",
    "gate": "Fail when a run is worse than a baseline.",
    "leaderboard": "Print the leaderboard of a run.",
    "list": "List tuners, data sets, models, compressions and plugins.",
    "merge": "Merge run folders into one.",
    "new": "Write a plugin package, ready to install and test.",
    "paper": "Set the published tables and figures beside ours.",
    "run": "Run a suite and print its leaderboard.",
    "tune": "Raise the recall of one class of your own trained network.",
}


class LazyGroup(click.Group):
    """Knows its commands' names and imports one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All command names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tunebench.cli.{cmd_name}_command").command
        return completed(cmd_name, command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say which command was meant when the name is wrong."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from tunebench.naming import unknown_name

            raise unknown_name("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="tunebench %(version)s")
def tunebench() -> None:
    """Compare tuners that raise one class of a trained classifier, fairly."""


def main(args: list[str] | None = None) -> None:
    """Run a command and exit with its code; an error of the user is one line and exit code 2."""
    try:
        with signals():
            code = tunebench.main(args, prog_name="tunebench", standalone_mode=False)
    except TunebenchError as exc:
        fail(str(exc), exc.exit_code)
    except click.UsageError as exc:
        where = f" (see {exc.ctx.command_path} --help)" if exc.ctx else ""
        fail(exc.format_message() + where, 2)
    except click.ClickException as exc:
        fail(exc.format_message(), 2)
    except (click.Abort, KeyboardInterrupt, Terminated) as exc:
        said_by(exc.__cause__ if isinstance(exc, click.Abort) else exc)
    sys.exit(code if isinstance(code, int) else 0)


def said_by(cause: BaseException | None) -> None:
    """Say what has ended a command and exit: a signal, or an error that click takes for one."""
    for kind, text, code in ENDINGS.values():
        if isinstance(cause, kind):
            fail(text, code)
    fail(f"{type(cause).__name__} was raised, though nobody interrupted: {cause or 'no text'}; {KEPT}", 1)


def fail(text: str, code: int) -> None:
    """Print one line and exit."""
    complain(text)
    sys.exit(code)
