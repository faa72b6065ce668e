"""`rung cache`: show what the cache on disk holds, or clear it."""

from __future__ import annotations

from typing import Annotated

import typer


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Delete all embeddings, and the models that were converted for speed.")
    ] = False,
) -> None:
    """Show how much the cache of embeddings holds, or clear it.

    The cache stores embeddings under hashes of the texts, never the texts themselves.
    """
    from rung.backbones.common import engine_selection, engines
    from rung.cli.display import columns, size
    from rung.evidence.cache import Cache
    from rung.messages import tr, tr_n

    store = Cache()
    if clear:
        freed = store.clear() + engines.clear_conversions()
        engine_selection.clear_choices()
        print(tr("cleared {size} in {folder}", size=size(freed), folder=store.folder))
        return
    print(
        tr(
            "{size} in {folder}   (limit {limit}; the least recently used embeddings are deleted first)",
            size=size(store.size()),
            folder=store.folder,
            limit=size(store.max_bytes),
        )
    )
    rows = [
        (each.backbone, tr_n("{n:,} embedding", "{n:,} embeddings", n=each.entries), size(each.bytes))
        for each in store.usage()
    ]
    empty = tr("empty: the built-in model is faster than the disk, so it stores nothing here")
    print("\n".join(columns(rows)) if rows else f"  {empty}")
    if converted := engines.conversions_bytes():
        print("  " + tr("{size} of models converted for speed", size=size(converted)))
    if rows or converted:
        print(tr("rung cache --clear   deletes them"))
