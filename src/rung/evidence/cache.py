"""Embeddings kept on disk, so that trying twenty label sets costs one forward pass.

A key is a hash of (space, text); the space names the backbone's fingerprint, its numerics and the role. Texts are not stored.
Parts of a text can be guessed from its embedding, so clear the cache, or do without it, where the texts are confidential.

The cache is one SQLite file in write-ahead mode, so that two runs at once are safe and an interrupted run damages nothing. A cache
that fails (full disk, read-only folder, damaged file) is ignored after one warning: it saves time and must never cost an answer.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rung.messages import tr

Array = npt.NDArray[np.float32]
T = TypeVar("T")

MAX_BYTES = 2 << 30
_DAY_S = 86_400
_KEYS_PER_QUERY = 500  # SQLite limits the variables of a query
_SCHEMA = """
CREATE TABLE IF NOT EXISTS spaces (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, backbone TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, space INTEGER NOT NULL, used INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_age ON vectors (used);
"""


class CacheWarning(UserWarning):
    """The cache could not be used; the answers are the same, only slower."""


@dataclass(frozen=True)
class BackboneUsage:
    """What one backbone occupies in the cache: its name, the number of embeddings and their bytes."""

    backbone: str
    entries: int
    bytes: int


def default_folder() -> Path:
    """The folder of the cache: $RUNG_CACHE, or the cache folder that the operating system gives the user."""
    import platformdirs

    given = os.environ.get("RUNG_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("rung")


class Cache:
    """Embeddings in one folder, found by space and text; beyond `max_bytes` the least recently used are deleted first."""

    def __init__(self, folder: Path | str | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.folder = Path(folder) if folder is not None else default_folder()
        self.max_bytes = max_bytes
        self._works = True

    @property
    def path(self) -> Path:
        """The database file; SQLite keeps two small files beside it while it is open."""
        return self.folder / "embeddings.sqlite3"

    def get(self, space: str, texts: Sequence[str]) -> dict[int, Array]:
        """Embeddings (d,) of those texts that are known, by their place in `texts`."""
        places = {_key(space, text): i for i, text in enumerate(texts)}
        found: dict[int, Array] = {}

        def look_up(db: sqlite3.Connection) -> None:
            for keys in _batches(list(places)):
                marks = ",".join("?" * len(keys))
                for key, vector in db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", keys):  # noqa: S608
                    found[places[key]] = np.frombuffer(vector, dtype=np.float32)
                # mark as used today; the condition avoids a write where that is recorded already
                day = (_today(), *keys, _today())
                db.execute(f"UPDATE vectors SET used = ? WHERE key IN ({marks}) AND used < ?", day)  # noqa: S608

        self._transact(look_up, None)
        return found

    def put(self, space: str, texts: Sequence[str], vectors: Array, *, backbone: str = "") -> None:
        """Keep `vectors` (n, d) of `texts`; `backbone` is the name under which `usage` lists them."""

        def store(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR IGNORE INTO spaces (name, backbone) VALUES (?, ?)", (space, backbone or space))
            (number,) = db.execute("SELECT id FROM spaces WHERE name = ?", (space,)).fetchone()
            pairs = zip(texts, vectors, strict=True)
            rows = ((_key(space, text), number, _today(), row.tobytes()) for text, row in pairs)
            db.executemany("INSERT OR REPLACE INTO vectors (key, space, used, vector) VALUES (?, ?, ?, ?)", rows)
            self._shrink(db)

        self._transact(store, None)

    def usage(self) -> list[BackboneUsage]:
        """What the cache holds, by backbone."""
        if not self.path.exists():
            return []
        query = (
            "SELECT backbone, COUNT(*), SUM(LENGTH(vector) + LENGTH(key)) FROM vectors JOIN spaces ON space = id"
            " GROUP BY backbone ORDER BY backbone"
        )
        return self._transact(lambda db: [BackboneUsage(*row) for row in db.execute(query)], [])

    def size(self) -> int:
        """Bytes on disk."""
        return sum(part.stat().st_size for part in self._parts() if part.exists())

    def clear(self) -> int:
        """Delete everything and return how many bytes were freed."""
        before = self.size()
        self._works = True
        for part in self._parts():
            part.unlink(missing_ok=True)
        return before

    def _parts(self) -> list[Path]:
        return [self.path.with_name(self.path.name + end) for end in ("", "-wal", "-shm")]

    def _transact(self, act: Callable[[sqlite3.Connection], T], fallback: T) -> T:
        """What `act` returns, run in one transaction; `fallback` where the cache does not work."""
        if not self._works:
            return fallback
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=30)) as db, db:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                db.executescript(_SCHEMA)
                return act(db)
        except (sqlite3.Error, OSError) as error:
            self._works = False
            warnings.warn(
                tr(
                    "the cache in {folder} cannot be used ({error}); rung continues without it."
                    "  `rung cache --clear` resets it.",
                    folder=self.folder,
                    error=error,
                ),
                CacheWarning,
                stacklevel=3,
            )
            return fallback

    def _shrink(self, db: sqlite3.Connection) -> None:
        (pages,), (free,), (size,) = (
            db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "freelist_count", "page_size")
        )
        excess = (pages - free) * size - self.max_bytes
        if excess <= 0:
            return
        (entries,) = db.execute("SELECT COUNT(*) FROM vectors").fetchone()
        share = min(1.0, excess / ((pages - free) * size) + 0.1)  # a tenth more, so that not every call has to delete
        oldest = "DELETE FROM vectors WHERE key IN (SELECT key FROM vectors ORDER BY used LIMIT ?)"
        db.execute(oldest, (int(entries * share) + 1,))
        db.execute("PRAGMA incremental_vacuum").fetchall()


def _key(space: str, text: str) -> bytes:
    # a Python text may hold lone surrogates; they get a key like everything else
    return hashlib.blake2b(f"{space}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _today() -> int:
    return int(time.time()) // _DAY_S


def _batches(keys: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        yield keys[start : start + _KEYS_PER_QUERY]
