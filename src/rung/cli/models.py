"""`rung models`: the backbones known by a short name."""

from __future__ import annotations

_NAMED = 4  # languages that are listed; of more, how many there are


def models() -> None:
    """List the models known by name, and which of them are here."""
    from rung.backbones.catalog import catalog
    from rung.backbones.loading import best_installed, is_here
    from rung.cli.display import columns
    from rung.messages import tr

    head = (
        tr("name"),
        tr("here"),
        tr("does"),
        tr("of"),
        tr("reads"),
        tr("license"),
        "MB",
        tr("what or where from"),
    )
    rows = [
        (
            entry.name + (" *" if entry.name == best_installed() else ""),
            tr("yes") if is_here(entry) else tr("no"),
            ", ".join(entry.abilities),
            entry.input,
            _reads(entry.languages),
            entry.license,
            f"{entry.megabytes:g}" if entry.megabytes else "",
            entry.note or entry.source,
        )
        for entry in catalog().values()
    ]
    print("\n".join(columns([head, *rows], indent=0)))
    print("\n" + tr("* what --backbone auto takes here. Also:  --backbone hf:owner/name  or  --backbone ./folder"))


def _reads(languages: list[str]) -> str:
    """The codes of a few languages, or how many there are."""
    from rung.messages import tr

    if len(languages) <= _NAMED:
        return ", ".join(languages)
    return tr("{n} languages", n=len(languages))
