"""Which options have an effect only together with others, in one table: an option without an effect is refused, not ignored."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from rung.errors import UserError
from rung.messages import Localized, message, tr

_LEARNED = message("it needs a fit on the texts of IN")
_SAVED = message("a saved classifier keeps the settings that it was made with")


@dataclass(frozen=True)
class Rule:
    """An option that has no effect with another one (`beside`), or without at least one of some (`without`), and why.

    With one of `unless` it has an effect all the same. A name with a value, such as "--engine ray", means that value only.
    """

    option: str
    why: str
    beside: str | None = None
    without: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    def is_broken(self, given: Collection[str]) -> bool:
        """Whether these options, as they were typed, break the rule."""
        if self.option not in given or any(each in given for each in self.unless):
            return False
        return self.beside in given if self.beside else not any(each in given for each in self.without)


RULES: dict[str, list[Rule]] = {
    "classify": [
        *(
            Rule(option, _SAVED, beside="--classifier")
            for option in ("--shares", "--balanced", "--reject", "--multi-label", "--geometry", "--long")
        ),
        Rule("--no-pool", message("a saved classifier is not fitted again"), beside="--classifier"),
        *(
            Rule(option, _LEARNED, beside="--no-pool", unless=("--known",))
            for option in ("--shares", "--balanced", "--reject", "--multi-label", "--explain")
        ),
        Rule("--balanced", message("--balanced means equal shares"), beside="--shares"),
        Rule("--reject", message("a text that fits no label gets none in any case"), beside="--multi-label"),
        Rule("--level", message("label sets are made by --engine here only"), beside="--engine ray"),
        Rule("--calibrate", message("calibration is done by --engine here only"), beside="--engine ray"),
        Rule("--force", message("nothing is written that could be overwritten"), without=("--out", "--save")),
    ],
    "suggest": [
        *(Rule(option, _SAVED, beside="--classifier") for option in ("--multi-label", "--geometry")),
    ],
    "distill": [
        Rule("--no-pool", message("a saved classifier is not fitted again"), beside="--classifier"),
        Rule("--ce-weight", message("there are no known labels to weigh"), without=("--known",)),
    ],
    "tune": [
        *(
            Rule(option, message("only a linear head is fitted, in closed form"), beside="--way probe")
            for option in ("--steps", "--batch", "--accumulate", "--learning-rate", "--weight-decay", "--dropout")
        ),
        Rule("--patience", message("no texts are held out for early stopping"), without=("--validation",)),
    ],
    "pretrain": [
        *(
            Rule(option, message("the model of --start has its own size"), beside="--start")
            for option in ("--vocabulary", "--dimensions", "--layers", "--heads")
        ),
    ],
    "export": [
        Rule("--text", message("it names a column of --texts"), without=("--texts",)),
    ],
}


def check_options(context: typer.Context) -> None:
    """Raise UserError for an option that was typed and has no effect with the others."""
    command, given = str(context.info_name), typed_options(context)
    for rule in RULES.get(command, ()):
        if not rule.is_broken(given):
            continue
        hint = tr("Leave out one of them:  rung {command} --help", command=command)
        if rule.beside:
            raise UserError(
                "{option} does nothing with {other}: {why}.",
                hint,
                option=rule.option,
                other=rule.beside,
                why=tr(rule.why),
            )
        raise UserError(
            "{option} does nothing without {others}: {why}.",
            "Leave it out:  rung {command} --help",
            option=rule.option,
            others=tr(" or ").join(rule.without),
            why=tr(rule.why),
            command=command,
        )


def typed_options(context: typer.Context) -> set[str]:
    """The options that were typed, each by its long name, alone and with its value."""
    found: set[str] = set()
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if parameter.param_type_name == "option" and source is not None and source.name == "COMMANDLINE":
            name = max(parameter.opts, key=len)
            found |= {name, f"{name} {context.params[str(parameter.name)]}"}
    return found


def refuse_input_as_output(out: Path | None, read: Mapping[str, Iterable[str | None]]) -> None:
    """Raise UserError if `out` is a file that an option reads (by option): --force never replaces labels made by hand."""
    for option, file in ((option, file) for option, files in read.items() for file in files):
        if out is not None and file is not None and os.path.isfile(file) and out.is_file() and out.samefile(file):
            raise UserError(
                "--out {out} is the file that {option} reads.",
                "Name another file:  --out {other}",
                out=out,
                option=option,
                other=Localized(shlex.quote(str(out.with_name("labelled-" + out.name)))),
            )
