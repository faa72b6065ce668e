"""`rung doctor`: which models work here, and what is installed."""

from __future__ import annotations

from rung.errors import UserError
from rung.messages import tr, tr_n

Rows = list[tuple[str, ...]]


def doctor() -> None:
    """Show which models work here, where the cache is, and what is installed."""
    import platform
    from importlib.metadata import version

    from rung.cli.display import columns

    sections = {
        tr("models that work here"): _backbones(),
        tr("cache"): _cache(),
        tr("network"): _network(),
        tr("packages"): _packages(),
    }
    print(f"rung {version('rung')}, Python {platform.python_version()}, {platform.platform()}")
    for title, rows in sections.items():
        print("\n" + title)
        print("\n".join(columns(rows)))


def _packages() -> Rows:
    """Every package in rung's metadata, with the smallest extra that installs it; packages that are not installed come last."""
    import re
    from collections import Counter
    from importlib.metadata import requires

    extras_of: dict[str, list[str]] = {}
    for requirement in requires("rung") or []:
        name = re.split(r"[ ;<>=\[~!]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        if name != "rung" and not (extra and extra[1] in ("dev", "all")):
            extras_of.setdefault(name, []).append(f"rung[{extra[1]}]" if extra else "")
    sizes = Counter(extra for extras in extras_of.values() for extra in extras)
    rows = [
        (name, _version(name), "" if "" in extras else min(extras, key=lambda each: sizes[each]))
        for name, extras in extras_of.items()
    ]
    installed = [(name, version, extra) for name, version, extra in rows if version is not None]
    return [*installed, *((name, tr("not installed"), extra) for name, version, extra in rows if version is None)]


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _backbones() -> Rows:
    from rung.backbones.catalog import catalog
    from rung.backbones.loading import best_installed, is_here

    here = [name for name, entry in catalog().items() if is_here(entry)]
    return [("auto", tr("uses {name} here", name=best_installed())), *((name, *_try_backbone(name)) for name in here)]


def _try_backbone(name: str) -> tuple[str, str]:
    """Whether a backbone embeds two texts, and how long it takes to load and to do so."""
    import time

    from rung.backbones.loading import load

    start = time.perf_counter()
    try:
        backbone = load(name)
        rows = backbone.embed(
            ["a short text", "another one"], "label"
        )  # every backbone reads labels, also one for images
    except UserError as error:
        return tr("does not work"), str(error).replace("\n", " ")
    except (ImportError, OSError, RuntimeError) as error:
        return tr("does not work"), f"{type(error).__name__}: {error}"
    return tr("works"), tr_n(
        "{n} dimension, {numerics}, first answer after {seconds:.1f} s",
        "{n} dimensions, {numerics}, first answer after {seconds:.1f} s",
        n=rows.shape[1],
        numerics=backbone.numerics,
        seconds=time.perf_counter() - start,
    )


def _cache() -> Rows:
    from rung.cli.display import size
    from rung.evidence.cache import Cache

    store = Cache()
    return [
        (tr("folder"), str(store.folder)),
        (tr("size"), size(store.size())),
        (tr("set with"), tr("RUNG_CACHE=FOLDER; without a cache: --no-cache")),
    ]


def _network() -> Rows:
    import os

    offline = os.environ.get("HF_HUB_OFFLINE", "")
    unset = tr("HF_HUB_OFFLINE is not set: models named hf:… are downloaded where they are missing")
    return [
        (tr("hub"), f"HF_HUB_OFFLINE={offline}" if offline else unset),
        (tr("rung itself"), tr("sends nothing anywhere")),
    ]
