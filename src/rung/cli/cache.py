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
    from rung.cli.display import columns, counted, size
    from rung.evidence.cache import Cache

    kept = Cache()
    if clear:
        given_back = kept.clear() + engines.clear()
        engine_selection.forget()
        print(f"cleared {size(given_back)} in {kept.folder}")
        return
    print(f"{size(kept.size())} in {kept.folder}   (limit {size(kept.max_bytes)}; the least recently used go first)")
    held = [(each.backbone, counted(each.entries, "embedding"), size(each.bytes)) for each in kept.usage()]
    print(
        "\n".join(columns(held))
        if held
        else "  empty: the built-in model is faster than the disk, so it keeps nothing here"
    )
    if converted := engines.kept_bytes():
        print(f"  {size(converted)} of models converted for speed")
    if held or converted:
        print("rung cache --clear   forgets them")
