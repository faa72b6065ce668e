"""What the library underneath writes of the command line, in the language of the person: help pages and usage errors."""

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
_EXTRA = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)")
_DASHES = "‐‑‒–—―−－"  # what editors and input methods write for hyphens
_NAMES = 30  # places for the names of options; a longer one has a line of its own


def localize(command: Any) -> Any:
    """The command, and all below it, with their help in the language of the person; in English nothing changes."""
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
    for below in getattr(command, "commands", {}).values():
        localize(below)
    return command


def usage_error(error: Any, arguments: Sequence[str], commands: Sequence[str]) -> str:
    """Two lines: what was typed wrongly, and what to type next, or the command whose help says so.

    error comes from the library, which tells an error's kind by its class and its message; arguments are what was typed after
    `rung`, commands the names of all commands.
    """
    typed = next((each for each in arguments if each in commands), None)
    page = f"{error.ctx.command_path if error.ctx else f'rung {typed}' if typed else 'rung'} --help"
    said, near = _said(error, arguments, commands)
    if hint := _for_what_is_left(error, arguments, page):
        return f"{said}\n  {hint}"
    return f"{said}\n  {tr('Did you mean {near}?   {page}', near=near, page=page) if near else page}"


def _for_what_is_left(error: Any, arguments: Sequence[str], page: str) -> str | None:
    """What to type where more was given than the command takes: hyphens for other dashes, quotation marks around spaces."""
    if not _EXTRA.match(error.message):
        return None
    dashed = next((each for each in arguments if each[0:1] in _DASHES), None)
    if dashed is not None:
        return tr("Write  {option}  with plain hyphens.", option="--" + dashed.lstrip("-" + _DASHES))
    return tr('A value with spaces needs quotation marks ("a,b c"), and one file is read at a time:  {page}', page=page)


def _said(error: Any, arguments: Sequence[str], commands: Sequence[str]) -> tuple[str, str | None]:
    """What was typed wrongly, and what was probably meant."""
    option = getattr(error, "option_name", None)
    if hasattr(error, "possibilities") and option:
        return tr("there is no option {option}.", option=option), nearest(option, error.possibilities or ())
    if option and "requires an argument" in error.message:
        return tr("{option} needs a value.", option=option), None
    if option and "does not take a value" in error.message:
        return tr("{option} takes no value.", option=option), None
    if getattr(error, "param", None) is not None:
        return _of_parameter(error, arguments), None
    if found := _EXTRA.match(error.message):
        return tr("there is more than was expected: {rest}", rest=found[1]), None
    if found := re.match(r"No such command '(.*?)'\.", error.message):
        return tr("there is no command {name!r}.", name=found[1]), nearest(found[1], commands)
    return error.format_message(), None


def _of_parameter(error: Any, arguments: Sequence[str]) -> str:
    """What is wrong with the value of an option or an argument, or that there is none."""
    parameter = error.param
    if parameter.param_type_name != "option":
        name, value = str(parameter.metavar or parameter.name), None
    else:
        name, value = max(parameter.opts, key=len), _typed_value(parameter.opts, arguments)
    if type(error).__name__ == "MissingParameter":
        return tr("{name} is missing.", name=name)
    if value is not None and "is not one of" in error.message:
        choices = re.sub(r".* is not one of (.*?)\.?$", r"\1", error.message)
        return tr("{name}: {value!r} is none of {choices}.", name=name, value=value, choices=choices)
    if value is not None and "integer" in error.message:
        return tr("{name}: {value!r} is no whole number.", name=name, value=value)
    if value is not None and ("number" in error.message or "float" in error.message):
        return tr("{name}: {value!r} is no number.", name=name, value=value)
    return tr("{name}: {fault}", name=name, fault=error.message)


def _typed_value(names: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The value that was typed for an option, the last one where it was given twice."""
    for place in reversed(range(len(arguments))):
        name, sign, value = arguments[place].partition("=")
        if name in names:
            return value if sign else next(iter(arguments[place + 1 :]), None)
    return None


def _formatter(base: type) -> type:
    """A formatter of help pages whose own words are translated, and whose lines are as long as a terminal shows them."""

    class Formatter(base):  # type: ignore[misc]  # the library's own, whichever it is
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

        def write_dl(self, rows: Any, col_max: int = _NAMES, col_spacing: int = 2) -> None:
            rows = list(rows)
            first = min(max(width(name) for name, _ in rows), col_max) + col_spacing
            indent = " " * self.current_indent
            for name, text in rows:
                lines = wrapped(_translated(text), self.width - first - 2)
                beside = width(name) <= first - col_spacing
                head = indent + name + (" " * (first - width(name)) + lines.pop(0) if beside and lines else "")
                self.write("\n".join([head.rstrip(), *(f"{indent}{'':{first}}{line}" for line in lines)]) + "\n")

    return Formatter


def _translated(text: str) -> str:
    """The help of an option with what the library adds to it: its default, and whether it is required."""
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
