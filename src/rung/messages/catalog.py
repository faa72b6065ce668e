"""Look up messages in the language of the person: English where they stand in the code, Chinese from zh.json."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from importlib import resources

LANGUAGES = ("en", "zh")
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # as POSIX orders them; the first that is set decides


class Localized(str):
    """A text that came through `tr`: it is in the language of the person already."""

    __slots__ = ()


def tr(template: str, /, **values: object) -> Localized:
    """`template` in the language of the person, its {fields} filled with `values` as `str.format` does.

    template is the English message and its key in the catalog; a message that the catalog lacks stays English. Without values the
    text is taken as it is, braces included.

    >>> tr("labels: {name!r} is given twice.", name="refund")
    "labels: 'refund' is given twice."
    """
    found = _translation(template)
    return Localized(found.format(**values) if values else found)


def tr_n(one: str, many: str, /, *, n: int, **values: object) -> Localized:
    """`one` where n is 1, else `many`, in the language of the person; both are whole messages and may name {n}.

    >>> tr_n("{n:,} row", "{n:,} rows", n=1), tr_n("{n:,} row", "{n:,} rows", n=1200)
    ('1 row', '1,200 rows')
    """
    return tr(one if n == 1 else many, n=n, **values)


def message(template: str) -> str:
    """`template` as it is: marks a message that stands in a table and is looked up by `tr` when it is shown.

    What gettext calls `N_`: `tools/message_catalog.py` finds it, as it finds the templates inside `tr` and `UserError`.
    """
    return template


def _translation(template: str) -> str:
    return template if language() == "en" else catalog(language()).get(template, template)


def language() -> str:
    """The language of messages: `RUNG_LANG` where it is set, else that of the locale; "en" for all that is not known.

    It is read at every message, so that a program can change it while it runs.
    """
    asked = os.environ.get("RUNG_LANG") or next((os.environ[name] for name in _LOCALE if os.environ.get(name)), "")
    return next((each for each in LANGUAGES if asked.lower().replace("-", "_").split("_")[0] == each), "en")


@lru_cache(maxsize=len(LANGUAGES))
def catalog(name: str) -> dict[str, str]:
    """Every message of the language `name` by its English template."""
    found: dict[str, str] = json.loads((resources.files("rung.messages") / f"{name}.json").read_text("utf-8"))
    return found
