"""`rung cache`: what is kept on disk, and forgetting it."""

from __future__ import annotations

from typing import Annotated

import typer


def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Forget all embeddings, and models converted for speed.")
    ] = False,
) -> None:
    """Show how much the cache of embeddings holds, or clear it.

    It keeps embeddings under hashes of the texts, never the texts.
    """
    from rung.backbones.common import engine_selection, engines
    from rung.cli.display import columns, size
    from rung.evidence.cache import Cache
    from rung.messages import tr, tr_n

    kept = Cache()
    if clear:
        given_back = kept.clear() + engines.clear_conversions()
        engine_selection.clear_choices()
        print(tr("cleared {size} in {folder}", size=size(given_back), folder=kept.folder))
        return
    limit = size(kept.max_bytes)
    print(
        tr(
            "{size} in {folder}   (limit {limit}; the least recently used go first)",
            size=size(kept.size()),
            folder=kept.folder,
            limit=limit,
        )
    )
    held = [
        (each.backbone, tr_n("{n:,} embedding", "{n:,} embeddings", n=each.entries), size(each.bytes))
        for each in kept.usage()
    ]
    empty = tr("empty: the built-in model is faster than the disk, so it keeps nothing here")
    print("\n".join(columns(held)) if held else f"  {empty}")
    if converted := engines.conversions_bytes():
        print("  " + tr("{size} of models converted for speed", size=size(converted)))
    if held or converted:
        print(tr("rung cache --clear   forgets them"))
