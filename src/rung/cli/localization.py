"""Help pages and usage errors, which typer writes, in the language of the person."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from rung.cli.display import width, wrapped
from rung.errors import nearest
from rung.messages import language, message, tr

_HEADINGS = [message("Arguments"), message("Options"), message("Commands")]
_USAGE = message("Usage: ")
_HELP_OPTION = message("Show this message and exit.")
_REQUIRED = message("required")
_DEFAULT = message("default: {default}")
_EXTRA_ARGUMENTS = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)")
_DASHES = "‐‑‒–—―−－"  # what editors and input methods write instead of hyphens
_NAME_COLUMNS = 30  # for the names of options; a longer name has a line of its own


def localize(command: Any) -> Any:
    """The command and its subcommands with their help in the language of the person; in English nothing changes."""
    if language() == "en":
        return command
    formatter = _formatter(command.context_class.formatter_class)
    command.context_class = type("Context", (command.context_class,), {"formatter_class": formatter})
    if command.help:
        command.help = tr(inspect.cleandoc(command.help))
        command.short_help = command.help.split("\n\n")[0]
    for parameter in command.params:
        if getattr(parameter, "help", None):
            parameter.help = tr(parameter.help)
    for subcommand in getattr(command, "commands", {}).values():
        localize(subcommand)
    return command


def usage_error(error: Any, arguments: Sequence[str], commands: Sequence[str]) -> str:
    """Two lines: what was typed wrongly, and what to type next, or the command whose help says it.

    error comes from typer, where its class and its message say what kind of error it is; arguments are what was typed after
    `rung`, commands are the names of all commands.
    """
    typed = next((each for each in arguments if each in commands), None)
    page = f"{error.ctx.command_path if error.ctx else f'rung {typed}' if typed else 'rung'} --help"
    mistake, near = _mistake(error, arguments, commands)
    if hint := _extra_arguments_hint(error, arguments, page):
        return f"{mistake}\n  {hint}"
    return f"{mistake}\n  {tr('Did you mean {near}?   {page}', near=near, page=page) if near else page}"


def _extra_arguments_hint(error: Any, arguments: Sequence[str], page: str) -> str | None:
    """What to type where there are too many arguments: hyphens for other dashes, quotation marks around spaces."""
    if not _EXTRA_ARGUMENTS.match(error.message):
        return None
    dashed = next((each for each in arguments if each[0:1] in _DASHES), None)
    if dashed is not None:
        return tr("Write  {option}  with plain hyphens.", option="--" + dashed.lstrip("-" + _DASHES))
    return tr('A value with spaces needs quotation marks ("a,b c"), and a command reads one file:  {page}', page=page)


def _mistake(error: Any, arguments: Sequence[str], commands: Sequence[str]) -> tuple[str, str | None]:
    """What was typed wrongly, and what was probably meant, or None."""
    option = getattr(error, "option_name", None)
    if hasattr(error, "possibilities") and option:
        return tr("there is no option {option}.", option=option), nearest(option, error.possibilities or ())
    if option and "requires an argument" in error.message:
        return tr("{option} needs a value.", option=option), None
    if option and "does not take a value" in error.message:
        return tr("{option} takes no value.", option=option), None
    if getattr(error, "param", None) is not None:
        return _parameter_mistake(error, arguments), None
    if found := _EXTRA_ARGUMENTS.match(error.message):
        return tr("there are too many arguments: {rest}", rest=found[1]), None
    if found := re.match(r"No such command '(.*?)'\.", error.message):
        return tr("there is no command {name!r}.", name=found[1]), nearest(found[1], commands)
    return error.format_message(), None


def _parameter_mistake(error: Any, arguments: Sequence[str]) -> str:
    """What is wrong with the value of an option or an argument, or that it is missing."""
    parameter = error.param
    if parameter.param_type_name != "option":
        name, value = str(parameter.metavar or parameter.name), None
    else:
        name, value = max(parameter.opts, key=len), _typed_value(parameter.opts, arguments)
    if type(error).__name__ == "MissingParameter":
        return tr("{name} is missing.", name=name)
    if value is not None and "is not one of" in error.message:
        choices = re.sub(r".* is not one of (.*?)\.?$", r"\1", error.message)
        return tr("{name}: {value!r} is not one of {choices}.", name=name, value=value, choices=choices)
    if value is not None and "integer" in error.message:
        return tr("{name}: {value!r} is not a whole number.", name=name, value=value)
    if value is not None and ("number" in error.message or "float" in error.message):
        return tr("{name}: {value!r} is not a number.", name=name, value=value)
    return tr("{name}: {fault}", name=name, fault=error.message)


def _typed_value(names: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The value that was typed for an option; the last one where it was given twice."""
    for i in reversed(range(len(arguments))):
        name, sign, value = arguments[i].partition("=")
        if name in names:
            return value if sign else next(iter(arguments[i + 1 :]), None)
    return None


def _formatter(base: type) -> type:
    """A formatter of help pages that translates headings, and measures lines by what a terminal shows."""

    class Formatter(base):  # type: ignore[misc]  # the class that typer uses
        def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
            super().write_usage(prog, args, prefix or tr(_USAGE))

        def write_heading(self, heading: str) -> None:
            super().write_heading(tr(heading) if heading in _HEADINGS else heading)

        def write_text(self, text: str) -> None:
            indent = " " * self.current_indent
            paragraphs = [" ".join(each.splitlines()) for each in text.split("\n\n")]
            parts = [
                "\n".join(indent + line for line in wrapped(each, self.width - len(indent))) for each in paragraphs
            ]
            self.write("\n\n".join(parts) + "\n")

        def write_dl(self, rows: Any, col_max: int = _NAME_COLUMNS, col_spacing: int = 2) -> None:
            rows = list(rows)
            names_width = min(max(width(name) for name, _ in rows), col_max) + col_spacing
            indent = " " * self.current_indent
            for name, text in rows:
                lines = wrapped(_translated(text), self.width - names_width - 2)
                is_short = width(name) <= names_width - col_spacing
                padding = " " * (names_width - width(name))
                head = indent + name + (padding + lines.pop(0) if is_short and lines else "")
                rest = (f"{indent}{'':{names_width}}{line}" for line in lines)
                self.write("\n".join([head.rstrip(), *rest]) + "\n")

    return Formatter


def _translated(text: str) -> str:
    """The help of an option with what typer adds to it translated: its default, and whether it is required."""
    if text == _HELP_OPTION:
        return tr(text)
    found = re.search(r"\[(?:default: (?P<default>.*?))?(?:; )?(?P<required>required)?\]$", text)
    if not found:
        return text
    added = [
        *([tr(_DEFAULT, default=found["default"])] if found["default"] else []),
        *([tr(_REQUIRED)] if found["required"] else []),
    ]
    return f"{text[: found.start()]}[{'; '.join(added)}]"
