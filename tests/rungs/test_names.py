"""The names rung: the nearest anchor, as probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from rung.evidence import Evidence, unit
from rung.rungs.names import Names


def evidence(n: int = 20, k: int = 5, d: int = 16, g: int = 60, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    features, anchors, general = (unit(rng.normal(size=(m, d)).astype(np.float32)) for m in (n, k, g))
    return Evidence(features, anchors, general, np.ones(n, dtype=bool))


def test_it_is_the_softmax_of_corrected_cosines() -> None:
    """The formula of the docstring, computed plainly."""
    given = evidence()
    hubness = [np.mean(sorted(float(g @ p) for g in given.general)[-20:]) for p in given.anchors]
    cosines = [[float(x @ p) - h / 2 for p, h in zip(given.anchors, hubness, strict=True)] for x in given.features]
    expected = np.exp(np.array(cosines) / 0.05)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.exp(Names().fit(given).log_posterior(given)) == pytest.approx(expected, abs=1e-4)


def test_without_correction_it_is_the_plain_cosine() -> None:
    """correction=0, or two labels, leave the argmax of sentence-transformers' recipe."""
    for rung, given in ((Names(correction=0), evidence()), (Names(), evidence(k=2))):
        plain = (given.features @ given.anchors.T).argmax(axis=1)
        assert (rung.log_posterior(given).argmax(axis=1) == plain).all()


def test_a_label_near_to_everything_takes_less() -> None:
    """A hub, an anchor amid the general texts, gets fewer texts than by plain cosine."""
    given = evidence(n=500, k=6)
    hub = unit(given.anchors + 0.8 * np.eye(1, 16, dtype=np.float32))
    shifted = unit(given.general + 0.8 * np.eye(1, 16, dtype=np.float32))
    texts = unit(given.features + 0.8 * np.eye(1, 16, dtype=np.float32))
    given = Evidence(texts, np.concatenate([given.anchors[:5], hub[5:]]), shifted, np.ones(500, dtype=bool))
    plain, corrected = (Names(correction=c).log_posterior(given).argmax(axis=1) for c in (0, 0.5))
    assert (corrected == 5).sum() < (plain == 5).sum()


def test_a_text_on_an_anchor_gets_that_label() -> None:
    """The text that is the label's own wording is answered with the label, nearly surely."""
    given = evidence(k=3)
    on_anchor = given.of_texts(given.anchors, [None] * 3)
    posterior = np.exp(Names().log_posterior(on_anchor))
    assert (posterior.argmax(axis=1) == [0, 1, 2]).all()
    assert (posterior.max(axis=1) > 0.9).all()
