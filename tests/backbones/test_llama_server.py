"""llama.cpp's own server with a tiny model that the test makes: scores are those of the same model in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import llama
from rung import Classifier, load
from rung.backbones.remote import RemoteBackbone
from rung.inference.label_scoring import score_labels
from rung.inference.prompts import label_prompts
from rung.labels import Labels

for package in ("torch", "llama_cpp", "gguf", "openai"):
    if find_spec(package) is None:
        pytest.skip("needs rung[llama]", allow_module_level=True)

pytestmark = [pytest.mark.server, pytest.mark.torch]

LABELS = Labels.parse(["card", "film", "app"])
TEXTS = ["my card is lost", "it was a film", "the app is slow"]
CLOSE = 1e-3  # nats; llama.cpp computes attention in float16


@pytest.fixture(scope="module")
def model() -> Any:
    return llama.model()


@pytest.fixture(scope="module")
def url(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = llama.written(model, tmp_path_factory.mktemp("llama") / "tiny.gguf")
    with llama.serving(file) as found:
        yield found


@pytest.fixture
def server(url: str) -> Iterator[Callable[..., RemoteBackbone]]:
    """The server as a backbone, with options; its connections are closed at the end."""
    opened: list[Any] = []

    def open_it(**options: Any) -> RemoteBackbone:
        opened.append(load(f"openai:tiny@{url}", **options))
        return opened[-1]

    yield open_it
    for each in opened:
        if "_openai_client" in vars(each):
            vars(each).pop("_openai_client").close()


def log_p_after_each_token(model: Any, text: str) -> Any:
    """log p of every token after each position of a text, in torch."""
    import torch

    with torch.no_grad():
        return model(torch.tensor([llama.tokens(text)])).logits[0].log_softmax(-1).numpy()


def test_letters_have_the_models_own_probabilities(server: Callable[..., RemoteBackbone], model: Any) -> None:
    """With via=chat, scores are the model's probabilities of the first token."""
    backbone = server()
    found, why = score_labels(TEXTS, LABELS, backbone)
    wording = label_prompts(LABELS, backbone)
    for text, row in zip(TEXTS, found, strict=True):
        last = log_p_after_each_token(model, wording.prompt(text))[-1]
        expected = [last[llama.FIRST_LETTER + llama.LETTERS.index(each)] for each in wording.candidates]
        assert row[wording.owner] == pytest.approx(expected, abs=CLOSE)
    assert why == [None] * len(TEXTS)


def test_labels_have_the_models_own_probabilities(server: Callable[..., RemoteBackbone], model: Any) -> None:
    """With via=completions, a score is the sum over a label's tokens."""
    candidates = [" card", " film", " app crash"]
    found = server(via="completions").score(TEXTS, candidates)
    for text, row in zip(TEXTS, found, strict=True):
        for candidate, value in zip(candidates, row, strict=True):
            ids, told = llama.tokens(text + candidate), log_p_after_each_token(model, text + candidate)
            expected = sum(told[at - 1, ids[at]] for at in range(len(ids) - len(candidate), len(ids)))
            assert value == pytest.approx(expected, abs=CLOSE * len(candidate))


def test_its_answers_are_constrained_to_names(server: Callable[..., RemoteBackbone]) -> None:
    """Names cannot be read off one token, so a grammar constrains the server to them."""
    backbone = server()
    assert np.isnan(backbone.score(TEXTS, LABELS.names)).all()
    places, why = backbone.choose(TEXTS, LABELS.names)
    assert all(place in range(len(LABELS)) for place in places), why


def test_a_classifier_on_it(server: Callable[..., RemoteBackbone]) -> None:
    """A classifier on this server gives every text a label."""
    answers = Classifier(LABELS.names, backbone=server(), geometry="builtin", cache=False).answers(TEXTS)
    assert all(answer.label in LABELS.names for answer in answers)
