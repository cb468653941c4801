"""``tunebench explain``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tunebench.cli.output import say


@click.command(name="explain", context_settings={"ignore_unknown_options": True})
@click.argument("word", nargs=-1)
@click.option("--markdown", is_flag=True, help="Print the whole glossary as the page docs/glossary.md.")
def command(word: tuple[str, ...], markdown: bool) -> None:
    """Say what WORD means: a column, a status, an option, a tuner or a term; without WORD, list all that is known."""
    from tunebench import glossary

    if markdown:
        say(f"{glossary.as_markdown()}\n{options_table()}", nl=False)
    elif not word:
        say("\n".join(sorted({*glossary.words(), *options()}, key=str.casefold)))
    else:
        say("\n".join(meanings(" ".join(word))))


def meanings(word: str) -> list[str]:
    """One line for every meaning; UsageError with the nearest words when there is none."""
    from tunebench import glossary
    from tunebench.naming import unknown_name
    from tunebench.plugins import load_registry, summary_of

    found = [entry.sentence() for entry in glossary.lookup(word)]
    known = options()
    found += known.get(word if word.startswith("-") else f"--{word}", [])
    if not found:  # last, because plugins take a while to load
        tuners = load_registry().tuners
        if word not in tuners:
            raise unknown_name("word", word, [*glossary.words(), *known, *tuners])
        found = [f"{word}: tuner. {summary_of(tuners[word])}"]
    return found


def options() -> dict[str, list[str]]:
    """What every option of every command does, by each of its names."""
    found: dict[str, list[str]] = {}
    for command, option in every_option():
        for name in option.opts:
            found.setdefault(name, []).append(f"tunebench {command} {name}: {option.help}")
    return found


def options_table() -> str:
    """The last part of the glossary's page: every option, and what it means to each command that has it."""
    meanings: dict[tuple[str, str], list[str]] = {}
    for command, option in every_option():
        text = (option.help or "").replace("|", "\\|")
        meanings.setdefault((", ".join(f"`{name}`" for name in reversed(option.opts)), text), []).append(command)
    lines = [f"| {names} | {', '.join(commands)} | {text} |" for (names, text), commands in sorted(meanings.items())]
    return "\n".join(["## Options", "", "| option | of | meaning |", "|---|---|---|", *lines, ""])


def every_option() -> Iterator[tuple[str, click.Option]]:
    """Name of a command and one of its options, for all of them."""
    from tunebench.cli import COMMANDS, tunebench

    context = click.Context(tunebench)
    for name in sorted(COMMANDS):
        found = tunebench.get_command(context, name)
        for parameter in found.params if found else ():
            if isinstance(parameter, click.Option):
                yield name, parameter
