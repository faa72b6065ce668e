"""Every kind of model in a folder: its config alone says how it is run, for Python and the command line, and nobody is asked."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny
from rung import Classifier, UserError, load
from rung.backbones.loading import require

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")]

Run = Callable[..., "object"]
VERDICTS = {0: "entailment", 1: "neutral", 2: "contradiction"}
TEXTS = ["my card is lost, please help me", "a {} and a </s> or [SEP]", "refund my money"]
LABELS = ["app", "card", "money"]
KINDS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bert": (lambda to: tiny.bert("BertForMaskedLM", to), "cloze"),
    "roberta": (lambda to: tiny.roberta("RobertaForMaskedLM", to), "cloze"),
    "deberta": (lambda to: tiny.deberta("DebertaV2ForMaskedLM", to), "cloze"),
    "gpt2": (tiny.gpt2, "continuation"),
    "t5": (tiny.t5, "answer"),
    "bart": (lambda to: tiny.bart("BartForConditionalGeneration", to), "answer"),
    "marian": (tiny.marian, "answer"),
    "nli-bert": (lambda to: tiny.bert("BertForSequenceClassification", to, id2label=VERDICTS), "entailment"),
    "nli-roberta": (lambda to: tiny.roberta("RobertaForSequenceClassification", to, id2label=VERDICTS), "entailment"),
    "next": (lambda to: tiny.bert("BertForNextSentencePrediction", to), "following"),
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each kind, with random weights."""
    home = tmp_path_factory.mktemp("kinds")
    return {kind: make(home / kind) for kind, (make, _) in KINDS.items()}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_folder_is_all_it_takes(rung: Run, folders: dict[str, Path], kind: str, tmp_path: Path) -> None:
    """The command line gives the labels that Python gives; braces and special tokens in a text are letters."""
    name = str(folders[kind])
    backbone = load(name)
    assert backbone.style == KINDS[kind][1]  # type: ignore[attr-defined]
    assert "score" in backbone.abilities
    labels = Classifier(LABELS, backbone=name, cache=False).predict(TEXTS).tolist()
    table = tmp_path / "in.csv"
    table.write_text("text\n" + "\n".join(f'"{text}"' for text in TEXTS), "utf-8")
    ran = rung("classify", table, "--labels", ",".join(LABELS), "--backbone", name, "--no-pool")
    assert ran.code == 0, ran.err
    assert [row["label"] for row in csv.DictReader(io.StringIO(ran.out))] == labels


def test_a_backbone_that_cannot_is_told_with_others_that_can(folders: dict[str, Path]) -> None:
    """What is asked, what it can do, and names of the catalog that do it; also where a geometry cannot embed."""
    bert = load(str(folders["bert"]))
    assert require(bert, "score") is bert
    with pytest.raises(UserError, match=r"cannot embed; it can score(.|\n)*builtin"):
        Classifier(["a", "b"], backbone="builtin", geometry=bert).predict(["a"])
    with pytest.raises(UserError, match=r"cannot generate; it can score(.|\n)*flan-t5-base"):
        require(bert, "generate")
    with pytest.raises(UserError, match=r"cannot score; it can embed(.|\n)*deberta-zeroshot"):
        require(load("builtin"), "score")


SPY = """
import socket, sys
asked = []
real = socket.getaddrinfo
socket.getaddrinfo = lambda *a, **k: asked.append(a) or real(*a, **k)
for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, lambda self, address: asked.append(address))
from rung import load
for name in sys.argv[1:]:
    assert load(name).score(["my card {}" if "bert" == name[-4:] else "my card"], ["money"]).shape == (1, 1), name
assert not asked, asked
print("silent")
"""


@pytest.mark.parametrize("offline", ["", "1"])
def test_files_that_are_here_need_no_network(folders: dict[str, Path], tmp_path: Path, offline: str) -> None:
    """From a folder or from the hub's cache, models are read without a look at the network, told to be offline or not."""
    cached = tmp_path / "hub" / "models--owner--t5"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0123abc")
    (cached / "snapshots").mkdir()
    (cached / "snapshots" / "0123abc").symlink_to(folders["t5"])
    said = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": offline, "PYTHONPATH": os.pathsep.join(sys.path)}
    names = [str(folders[kind]) for kind in ("bert", "gpt2", "bart", "marian", "nli-roberta")]
    command = [sys.executable, "-W", "ignore", "-c", SPY, *names, "hf:owner/t5"]
    ran = subprocess.run(command, env=os.environ | said, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "silent\n"), ran.stderr[-2000:]
