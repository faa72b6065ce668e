"""What a person sees when the input cannot be used: what is wrong, and what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from rung.messages import Localized, tr


class UserError(ValueError):
    """A mistake in the input, in two lines: `what` is wrong (with the value), and a `hint`: what to type next.

    Both are English templates, which are looked up in the catalog of messages and filled with `values` (see `rung.messages.tr`).
    The command line prints both and exits 2; HTTP answers 4xx with {"error", "hint"}. Everything else that is raised is our bug.

    >>> print(UserError("labels: {name!r} is given twice.", "Give every label once.", name="refund"))
    labels: 'refund' is given twice.
      Give every label once.
    """

    def __init__(self, what: str, hint: str, /, **values: object) -> None:
        self.what, self.hint = (each if isinstance(each, Localized) else tr(each, **values) for each in (what, hint))
        super().__init__(self.what, self.hint)

    def __str__(self) -> str:
        return f"{self.what}\n  {self.hint}"


def did_you_mean(given: object, known: Iterable[object], otherwise: str) -> str:
    """The hint for an unknown name: the known name that is nearest to `given`; `otherwise`, a finished hint, where none is near.

    >>> did_you_mean("lenght", ["length", "long"], "The parameters are length, long.")
    "Did you mean 'length'?"
    """
    meant = nearest(str(given), map(str, known))
    return Localized(otherwise) if meant is None else tr("Did you mean {meant!r}?", meant=meant)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, or None.

    >>> nearest("minlm", ["builtin", "minilm"])
    'minilm'
    """
    close = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None
