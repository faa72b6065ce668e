"""The cache on disk: never another backbone's vector, never a lost answer."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from rung.evidence.cache import Cache, CacheWarning


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)


def test_what_was_put_is_found_again(tmp_path: Path) -> None:
    """Vectors come back bit by bit, in another process's cache object too, and only those that were put."""
    Cache(tmp_path).put("space", ["a", "b"], rows(2))
    found = Cache(tmp_path).get("space", ["b", "new", "a"])
    assert sorted(found) == [0, 2]
    assert np.array_equal(found[0], rows(2)[1])


def test_the_key_holds_the_space_and_not_the_text_alone(tmp_path: Path) -> None:
    """The same text under another backbone, precision or role is another entry."""
    cache = Cache(tmp_path)
    cache.put("minilm/float32/text", ["a"], rows(1, 1))
    cache.put("minilm/bf16/text", ["a"], rows(1, 2))
    assert cache.get("minilm/float32/label", ["a"]) == {}
    assert not np.array_equal(cache.get("minilm/float32/text", ["a"])[0], cache.get("minilm/bf16/text", ["a"])[0])


def test_texts_are_not_stored(tmp_path: Path) -> None:
    """Nobody can read a text out of the cache's files."""
    Cache(tmp_path).put("space", ["a very private sentence"], rows(1))
    assert all(b"private" not in file.read_bytes() for file in tmp_path.iterdir())


def test_the_oldest_go_when_it_is_full(tmp_path: Path) -> None:
    """The file stays near its limit, and what was put last is still there."""
    cache = Cache(tmp_path, max_bytes=400_000)
    for day in range(6):
        texts = [f"{day} {i}" for i in range(200)]
        cache.put("space", texts, np.zeros((200, 256), dtype=np.float32))
    assert 0 < sum(each.entries for each in cache.usage()) < 1200
    with sqlite3.connect(cache.path) as db:
        pages, free = (db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count"))
    assert (pages - free) * 4096 < 500_000


def _fill(folder: Path, worker: int) -> None:
    cache = Cache(folder)
    for i in range(20):
        cache.put("space", [f"{worker} {i}"], rows(1, i))
        cache.get("space", [f"{1 - worker} {i}"])


def test_two_runs_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two processes that write and read together both find all they put."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(tmp_path, worker)) for worker in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(Cache(tmp_path).get("space", [f"{w} {i}" for w in (0, 1) for i in range(20)])) == 40


@pytest.mark.parametrize("harm", ["damaged file", "folder is a file"])
def test_a_broken_cache_costs_no_answer(harm: str, tmp_path: Path) -> None:
    """One warning, then everything goes on without it."""
    folder = tmp_path / "cache"
    if harm == "damaged file":
        folder.mkdir()
        (folder / "embeddings.sqlite3").write_bytes(b"not a database" * 100)
    else:
        folder.write_text("in the way")
    cache = Cache(folder)
    with pytest.warns(CacheWarning, match="continues without"):
        cache.put("space", ["a"], rows(1))
    assert cache.get("space", ["a"]) == {}


def test_clearing_leaves_nothing(tmp_path: Path) -> None:
    """After `clear` no file is left, and the cache works again."""
    cache = Cache(tmp_path)
    cache.put("space", ["a"], rows(1), backbone="b")
    assert [(each.backbone, each.entries) for each in cache.usage()] == [("b", 1)]
    assert cache.clear() > 0
    assert (cache.size(), cache.usage(), list(tmp_path.iterdir())) == (0, [], [])
