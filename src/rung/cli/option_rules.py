"""Which options count only together with others, in one table: an option that would do nothing is refused, not passed over."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from rung.errors import UserError
from rung.messages import Localized, message, tr

_LEARNED = message("it is learned from the texts of IN")
_KEPT = message("a saved classifier keeps the settings that it was made with")


@dataclass(frozen=True)
class Rule:
    """An option that does nothing beside another one (`beside`), or without any of some (`without`), and why.

    With one of `unless` it does something all the same. A name with a value, such as "--engine ray", is that value only.
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
            Rule(option, _KEPT, beside="--classifier")
            for option in ("--shares", "--balanced", "--reject", "--multi-label", "--geometry", "--long")
        ),
        Rule("--no-pool", message("a saved classifier is not fitted again"), beside="--classifier"),
        *(
            Rule(option, _LEARNED, beside="--no-pool", unless=("--known",))
            for option in ("--shares", "--balanced", "--reject", "--multi-label", "--explain")
        ),
        Rule("--balanced", message("it means equal shares"), beside="--shares"),
        Rule("--reject", message("a text that fits no label gets none anyway"), beside="--multi-label"),
        Rule("--level", message("label sets are made in this process"), beside="--engine ray"),
        Rule("--calibrate", message("labels are kept apart in this process"), beside="--engine ray"),
        Rule("--force", message("there is nothing to replace"), without=("--out", "--save")),
    ],
    "suggest": [
        *(Rule(option, _KEPT, beside="--classifier") for option in ("--multi-label", "--geometry")),
    ],
    "distill": [
        Rule("--no-pool", message("a saved classifier is not fitted again"), beside="--classifier"),
        Rule("--ce-weight", message("there are no known labels to weigh"), without=("--known",)),
    ],
    "tune": [
        *(
            Rule(option, message("only a head is fitted, in closed form"), beside="--way probe")
            for option in ("--steps", "--batch", "--accumulate", "--learning-rate", "--weight-decay", "--dropout")
        ),
        Rule("--patience", message("no texts are kept apart to stop early by"), without=("--validation",)),
    ],
    "pretrain": [
        *(
            Rule(option, message("a model to go on with has its own size"), beside="--start")
            for option in ("--vocabulary", "--dimensions", "--layers", "--heads")
        ),
    ],
    "export": [
        Rule("--text", message("it is a column of --texts"), without=("--texts",)),
    ],
}


def check_options(context: typer.Context) -> None:
    """Raise UserError for an option that was typed and would do nothing beside the others."""
    command, given = str(context.info_name), typed(context)
    for rule in RULES.get(command, ()):
        if not rule.is_broken(given):
            continue
        hint = tr("Leave out one of them:  rung {command} --help", command=command)
        if rule.beside:
            raise UserError(
                "{option} does nothing beside {other}: {why}.",
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


def typed(context: typer.Context) -> set[str]:
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
    for option, each in ((option, each) for option, given in read.items() for each in given):
        if out is not None and each is not None and os.path.isfile(each) and out.is_file() and out.samefile(each):
            raise UserError(
                "--out {out} is the file that {option} reads.",
                "Name another file:  --out {other}",
                out=out,
                option=option,
                other=Localized(shlex.quote(str(out.with_name("labelled-" + out.name)))),
            )
