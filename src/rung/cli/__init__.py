"""The command line: one file per command, which is found automatically; nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pkgutil import iter_modules
from typing import Annotated, Any

import typer

from rung.cli.localization import localize, usage_error
from rung.cli.stopping import disk_fault
from rung.errors import UserError
from rung.messages import tr

_INTERRUPTED = 130  # the exit code of Ctrl-C: 128 and the number of SIGINT
_USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # typer has no public name for "the command was typed wrongly"

app = typer.Typer(
    help="Label texts with a pretrained model as it is: no training, no network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is quick, the same everywhere, and readable in a pipe
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        import rung

        print(f"rung {rung.__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


class _Interrupted(Exception):  # noqa: N818 - Ctrl-C is not an error
    """Ctrl-C stopped a command; typer would drop the message of a KeyboardInterrupt."""


def _with_interrupt_message(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command, whose message at Ctrl-C typer does not drop."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt as error:
            raise _Interrupted(str(error)) from None

    return run


def _register_commands() -> None:
    """Add every command: a module here with a function of the module's own name. `classify` comes first."""
    names = sorted((module.name for module in iter_modules(__path__)), key=lambda name: (name != "classify", name))
    for name in names:
        command = getattr(import_module(f"{__name__}.{name}"), name, None)
        if callable(command):
            app.command(name)(_with_interrupt_message(command))


_register_commands()


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 the user's mistake (two lines), 1 our bug (a traceback)."""
    warnings.formatwarning = _warning_line
    try:
        code = localize(typer.main.get_command(app))(prog_name="rung", standalone_mode=False)
        if code == _INTERRUPTED:  # Ctrl-C before the command began
            code = _print_error(tr("stopped; nothing was written."), _INTERRUPTED)
    except UserError as error:
        code = _print_error(str(error))
    except _USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            code = _print_error(error.message)
        else:
            names = [str(each.name) for each in app.registered_commands]
            code = _print_error(usage_error(error, sys.argv[1:], names))
    except (_Interrupted, KeyboardInterrupt, typer.Abort) as error:
        code = _print_error(str(error) or tr("stopped; nothing was written."), _INTERRUPTED)
    except BrokenPipeError:  # the program that reads our output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if (fault := disk_fault(error)) is None:
            raise
        code = _print_error(fault)
    sys.exit(code or 0)


def _warning_line(message: Warning | str, *_: object, **__: object) -> str:
    return tr("warning: {warning}", warning=message) + "\n"


def _print_error(message: str, code: int = 2) -> int:
    print(message, file=sys.stderr)
    return code
