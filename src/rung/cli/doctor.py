"""`rung doctor`: what is installed, what works, where things are."""

from __future__ import annotations

from rung.errors import UserError

Rows = list[tuple[str, ...]]


def doctor() -> None:
    """Say what is installed, what works here, and where the cache is."""
    import platform
    from importlib.metadata import version

    from rung.cli.display import columns

    sections = {
        f"rung {version('rung')}, Python {platform.python_version()}, {platform.platform()}": [],
        "packages": _packages(),
        "backbones": _backbones(),
        "cache": _cache(),
        "network": _network(),
    }
    for title, rows in sections.items():
        print(title)
        print("\n".join(columns(rows)) + "\n" if rows else "")


def _packages() -> Rows:
    """Every requirement that rung declares, with the extra that brings it, read from rung's own metadata."""
    import re
    from importlib.metadata import requires

    rows: Rows = []
    for requirement in requires("rung") or []:
        name = re.split(r"[ ;<>=\[~!]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        if name == "rung" or (extra and extra[1] in ("dev", "all")):
            continue
        rows.append((name, _version(name), f"rung[{extra[1]}]" if extra else "base"))
    return rows


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _backbones() -> Rows:
    from rung.backbones.catalog import catalog
    from rung.backbones.loading import best_installed, is_here

    here = [name for name, entry in catalog().items() if is_here(entry)]
    rows: Rows = [(name, *_tried(name)) for name in here]
    return [*rows, ("auto", f"takes {best_installed()} here", "")]


def _tried(name: str) -> tuple[str, str]:
    """Whether a backbone really works: it reads two sentences."""
    import time

    from rung.backbones.loading import load

    start = time.perf_counter()
    try:
        backbone = load(name)
        rows = backbone.embed(["a short text", "another one"], "label")  # all read labels
    except UserError as error:
        return "does not work", str(error).replace("\n", " ")
    except (ImportError, OSError, RuntimeError) as error:
        return "does not work", f"{type(error).__name__}: {error}"
    first = f"first answer after {time.perf_counter() - start:.1f} s"
    return "works", f"{rows.shape[1]} dimensions, {backbone.numerics}, {first}"


def _cache() -> Rows:
    from rung.cli.display import size
    from rung.evidence.cache import Cache

    kept = Cache()
    return [
        ("folder", str(kept.folder)),
        ("size", size(kept.size())),
        ("set with", "RUNG_CACHE=folder, or go without: --no-cache"),
    ]


def _network() -> Rows:
    import os

    offline = os.environ.get("HF_HUB_OFFLINE", "")
    said = (
        f"HF_HUB_OFFLINE={offline}"
        if offline
        else "HF_HUB_OFFLINE is not set: models named hf:… are fetched when missing"
    )
    return [("hub", said), ("rung itself", "sends nothing anywhere")]
