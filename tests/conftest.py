"""What every test gets: a cache folder of its own, no network, and tiny models made on the spot."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings

import dual
from rung import errors
from rung.backbones.common import engine_selection

# No test is held to a clock: a busy machine is no defect.
settings.register_profile("rung", deadline=None)
settings.load_profile("rung")

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RUNG_LANG"] = "en"  # tests read English, whatever the locale of the developer
# The tests' own workers fill the cores already. This is PyTorch's number, and that of programs that a test starts; rung's own
# products need no such word (`rung.threads`).
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
messages = sys.modules["rung.messages.catalog"]  # the module; the package has a function of the same name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, and say why."""
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="the shared data sets are not beside this checkout"))
        if item.get_closest_marker("torch") and find_spec("torch") is None:
            item.add_marker(pytest.mark.skip(reason="needs rung[torch]"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _every_message_is_in_the_catalog(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No message of rung escapes translation: what the code says is among the templates that are found in its source."""
    strangers: list[str] = []
    looked_up = messages._translation
    known = catalogued()  # now: a test's threads that parse the source at once fail with a SystemError in Python 3.11

    def watched(template: str) -> str:
        if template not in known and said_by_rung(sys._getframe(1)):
            strangers.append(template)
        return looked_up(template)

    monkeypatch.setattr(messages, "_translation", watched)
    yield
    assert not strangers, f"tools/message_catalog.py does not find these messages in the source: {strangers}"


@cache
def catalogued() -> frozenset[str]:
    """Every template that tools/message_catalog.py finds."""
    spec = importlib.util.spec_from_file_location("message_catalog", ROOT / "tools" / "message_catalog.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return frozenset(tool.templates())


def said_by_rung(frame: FrameType | None) -> bool:
    """Whether the code that asked for a message is rung's own, and not a test's."""
    while frame is not None and Path(frame.f_code.co_filename) in (Path(messages.__file__), Path(errors.__file__)):
        frame = frame.f_back
    return frame is not None and Path(errors.__file__).parent in Path(frame.f_code.co_filename).parents


@pytest.fixture(autouse=True)
def one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders run by PyTorch in float32, not by what happens to be fastest at the moment: tests compare digits."""
    monkeypatch.setattr(engine_selection, "candidate_configs", lambda: [engine_selection.REFERENCE])


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches further than this machine, and only those marked `server` reach that far."""
    own = request.node.get_closest_marker("server") is not None

    def guarded(connect: Any) -> Any:
        def reach(self: socket.socket, address: Any) -> Any:
            if own and address[0] in ("127.0.0.1", "::1"):
                return connect(self, address)
            raise AssertionError(f"a test tried to reach {address}")

        return reach

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))


@pytest.fixture
def shared() -> Path:
    """The folder of real data sets; only for tests marked `shared`."""
    return SHARED


WORDS = [
    "the",
    "a",
    "is",
    "my",
    "card",
    "lost",
    "refund",
    "money",
    "app",
    "crashes",
    "invoice",
    "about",
    "text",
    "topic",
    "help",
]


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights, saved as sentence-transformers saves one; no batch may change its answer."""
    pytest.importorskip("torch")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    letters = list("abcdefghijklmnopqrstuvwxyz.,:?")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters, *("##" + x for x in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True).save_pretrained(folder / "bert")
    body = Transformer(str(folder / "bert"), max_seq_length=16)
    SentenceTransformer(modules=[body, Pooling(32, "mean")]).save(str(folder / "encoder"))
    return folder / "encoder"


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP with random weights."""
    pytest.importorskip("torch")
    return dual.clip(tmp_path_factory.mktemp("dual") / "clip")


@pytest.fixture(scope="session")
def color_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP that knows red, green and blue."""
    pytest.importorskip("torch")
    return dual.clip(tmp_path_factory.mktemp("dual") / "colors", steps=60)
