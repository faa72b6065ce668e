"""`rung models`: the backbones known by a short name."""

from __future__ import annotations


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
            ", ".join(entry.languages),
            entry.license,
            f"{entry.megabytes:g}" if entry.megabytes else "",
            entry.note or entry.source,
        )
        for entry in catalog().values()
    ]
    print("\n".join(columns([head, *rows], indent=0)))
    print("\n" + tr("* what --backbone auto takes here. Also:  --backbone hf:owner/name  or  --backbone ./folder"))
