"""Evidence: embedded once, looked up by backbone and text, and honest about what could not be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.evidence import unit
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed, embed_texts, label_evidence
from rung.evidence.text_faults import fault
from rung.labels import Labels


class Counting:
    """A backbone that remembers what it was asked; a text's vector depends on the text alone."""

    name = "counting"
    abilities = frozenset({"embed"})
    dimensions = 8
    max_tokens = 4
    costly = True
    numerics = "numpy"

    def __init__(self, fingerprint: str = "f") -> None:
        self.fingerprint = fingerprint
        self.asked: list[str] = []

    def embed(self, texts, role="text"):
        self.asked += texts
        return unit(
            np.array([np.random.default_rng(list(f"{role}{t}".encode())).normal(size=8) for t in texts], np.float32)
        )

    def windows(self, text: str) -> list[str]:
        words = text.split()
        return [" ".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def test_duplicates_are_embedded_once() -> None:
    """A thousand rows of two texts cost two."""
    backbone = Counting()
    rows = embed(["x", "y"] * 500, backbone)
    assert sorted(backbone.asked) == ["x", "y"]
    assert np.array_equal(rows[0], rows[998])


@given(st.lists(st.text(min_size=1, max_size=5), max_size=30))
def test_order_and_company_do_not_change_a_row(texts: list[str]) -> None:
    """Row i is the vector of text i, whatever stands around it."""
    rows = embed(texts, Counting())
    for text, row in zip(texts, rows, strict=True):
        assert np.array_equal(row, Counting().embed([text])[0])


def test_the_second_time_nothing_is_computed(tmp_path: Path) -> None:
    """What the cache holds is not asked of the backbone again, and is the same bit by bit."""
    first, second = Counting(), Counting()
    before = embed(["a", "b"], first, cache=Cache(tmp_path))
    after = embed(["b", "a", "c"], second, cache=Cache(tmp_path))
    assert second.asked == ["c"]
    assert np.array_equal(before, after[[1, 0]])


def test_another_fingerprint_is_another_backbone(tmp_path: Path) -> None:
    """Vectors of one backbone are never taken for another's."""
    embed(["a"], Counting("one"), cache=Cache(tmp_path))
    other = Counting("two")
    embed(["a"], other, cache=Cache(tmp_path))
    assert other.asked == ["a"]


def test_a_cheap_backbone_keeps_nothing(tmp_path: Path) -> None:
    """Where computing is faster than the disk, the disk is left alone."""
    backbone = Counting()
    backbone.costly = False
    embed(["a"], backbone, cache=Cache(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fine", None),
        ("", "the text is empty"),
        (" \n\t", "the text is empty"),
        (None, "the text is missing"),
        (float("nan"), "the text is missing"),
        (3.5, "not a text but float"),
        (["a"], "not a text but list"),
        (np.zeros(2), "not a text but ndarray"),
    ],
)
def test_a_text_that_cannot_be_read_says_why(text: object, reason: str | None) -> None:
    """Missing, empty and other things are told apart."""
    assert fault(text) == reason


def test_unreadable_rows_keep_their_place() -> None:
    """Rows in = rows out; what could not be read is zero, and has a reason."""
    features, reasons = embed_texts(["a", None, "b", ""], Counting())
    assert [reason is None for reason in reasons] == [True, False, True, False]
    assert not features[[1, 3]].any()
    assert np.array_equal(features[2], Counting().embed(["b"])[0])


def test_long_texts_can_be_read_whole() -> None:
    """With long="mean" a text's row is the unit mean over its windows; a short text's is its own."""
    features, _ = embed_texts(["a b c d e f", "short"], Counting(), long="mean")
    pieces = Counting().embed(["a b c d", "e f"])
    assert features[0] == pytest.approx(unit(pieces.mean(axis=0)), abs=1e-6)
    assert features[1] == pytest.approx(Counting().embed(["short"])[0], abs=1e-6)


def test_progress_counts_every_row_once() -> None:
    """A progress bar ends at the number of rows, duplicates and unreadable ones included."""
    for long in ("cut", "mean"):
        steps: list[int] = []
        embed_texts(["a", "a", None, "b", ""], Counting(), long=long, progress=steps.append)
        assert sum(steps) == 5


def test_words_weigh_as_much_as_the_name_however_many_they_are() -> None:
    """An anchor is the mean of its groups: naming ten words instead of one does not drown the name."""
    one = label_evidence(Labels.parse({"a": {"words": ["x"]}, "b": ""}), Counting())
    ten = label_evidence(Labels.parse({"a": {"words": ["x"] * 10}, "b": ""}), Counting())
    assert one.anchors == pytest.approx(ten.anchors, abs=1e-6)
    assert np.linalg.norm(one.anchors, axis=1) == pytest.approx(1, abs=1e-6)
