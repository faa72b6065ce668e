"""`rung models`: the backbones that have a short name."""

from __future__ import annotations

_MAX_LISTED = 4  # languages; of more of them only the number is shown


def models() -> None:
    """List the models that have a short name, and which of them are installed."""
    from rung.backbones.catalog import catalog
    from rung.backbones.loading import best_installed, is_here
    from rung.cli.display import columns
    from rung.messages import tr

    head = (
        tr("name"),
        tr("here"),
        tr("abilities"),
        tr("input"),
        tr("languages"),
        tr("license"),
        "MB",
        tr("description or source"),
    )
    rows = [
        (
            entry.name + (" *" if entry.name == best_installed() else ""),
            tr("yes") if is_here(entry) else tr("no"),
            ", ".join(entry.abilities),
            entry.input,
            _languages(entry.languages),
            entry.license,
            f"{entry.megabytes:g}" if entry.megabytes else "",
            entry.note or entry.source,
        )
        for entry in catalog().values()
    ]
    print("\n".join(columns([head, *rows], indent=0)))
    print("\n" + tr("* used by --backbone auto here. Other models:  --backbone hf:owner/name  or  --backbone ./folder"))


def _languages(codes: list[str]) -> str:
    """The codes of a few languages, or how many there are."""
    from rung.messages import tr

    return ", ".join(codes) if len(codes) <= _MAX_LISTED else tr("{n} languages", n=len(codes))
