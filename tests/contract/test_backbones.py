"""What every backbone guarantees."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from rung import Classifier, load
from rung.evidence import Backbone

TEXTS = [
    "a card",
    "my card is lost, please help",
    "",
    "   ",
    "Zürich naïve ÆØÅ",
    "我的卡丢了",
    "👍🏽 🎉",
    "word " * 3000,
    "\x00 control \x07",
    "x" * 5000,
    "lone \ud800 surrogate",
    "a card",
]


@pytest.fixture(params=["builtin", pytest.param("tiny", marks=pytest.mark.torch)])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return load("builtin") if request.param == "builtin" else load(str(request.getfixturevalue("tiny_encoder")))


def test_rows_are_unit_float32(backbone: Backbone) -> None:
    """Every text, also empty, very long or not Latin, gives one row of length 1, never NaN."""
    rows = backbone.embed(TEXTS)
    assert rows.shape == (len(TEXTS), backbone.dimensions)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-4)


def test_a_row_depends_on_its_text_alone(backbone: Backbone) -> None:
    """Order, batch and duplicates change a row only in its last digits."""
    rows = backbone.embed(TEXTS)
    assert backbone.embed(TEXTS[::-1])[::-1] == pytest.approx(rows, abs=1e-5)
    assert np.concatenate([backbone.embed([text]) for text in TEXTS]) == pytest.approx(rows, abs=1e-5)


def test_the_fingerprint_is_unchanged_by_any_fit(backbone: Backbone) -> None:
    """No fit changes the backbone."""
    before, row = backbone.fingerprint, backbone.embed(["a card"])
    Classifier(["card", "money"], backbone=backbone, cache=False).fit(["my card is lost"] * 4).predict(["refund"])
    assert backbone.fingerprint == before
    assert np.array_equal(backbone.embed(["a card"]), row)


def test_it_says_what_it_is(backbone: Backbone) -> None:
    """Abilities, fingerprint and numerics are available before anything is embedded."""
    assert "embed" in backbone.abilities
    assert len(backbone.fingerprint) >= 64
    assert backbone.numerics


def test_limits_are_told(backbone: Backbone) -> None:
    """Cut texts are counted, windows cover the text, and unknown tokens are a share."""
    assert 0 <= backbone.cut(["word " * 3000, "a"]) <= 1
    assert "".join(backbone.windows("word " * 300)).split() == ["word"] * 300
    assert 0 <= backbone.unknown_share(["my card", "我的卡丢了"]) <= 1
    assert backbone.unknown_share([]) == 0


def test_it_survives_pickling(backbone: Backbone, tmp_path: Path) -> None:
    """An unpickled backbone gives the same answers."""
    copy = pickle.loads(pickle.dumps(backbone))
    assert copy.embed(["a card"]) == pytest.approx(backbone.embed(["a card"]), abs=1e-6)
