"""A language model of about a million weights, from nothing, on tiny Shakespeare.

Writes results/pretrain.json. Causal: the speeches of the corpus, a tenth of them held out; perplexity by token (of its own
vocabulary of 2048) on these before the first epoch and after each, and of what it then writes after the beginnings of 50 speeches,
drawn from p itself, the share of words that occur in the corpus. Masked with the next sentence, smaller: texts are runs of 40
speeches, a fifth of them held out; the loss of both heads together, perplexity of hidden words, and how often it is right on
whether a run of sentences follows another, half of them from another text.
"""

from __future__ import annotations

import argparse
import json
import re
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sets

from rung.backbones.causal import CausalBackbone
from rung.training.pretraining.from_scratch import Size
from rung.training.pretraining.lm_datasets import passages
from rung.training.pretraining.pretrain import pretrain
from rung.training.provenance import Record
from rung.training.training_log import read

CAUSAL: dict[str, Any] = {"kind": "causal", "max_tokens": 128, "epochs": 6, "batch": 16}
NEXT: dict[str, Any] = {"kind": "masked+next", "epochs": 80, "held_out": 0.2}
SMALLER = Size(dimensions=64, layers=2, heads=2)  # of the second kind, which needs more steps
SPEECHES = 40  # a text of the second kind
BEGINNINGS, WRITTEN = 50, 60  # held-out beginnings, tokens written after each
_WORD = re.compile(r"[a-z']+")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    asked.add_argument("--only", choices=("causal", "next"), help="one of the two; the other stays as it was measured")
    asked.add_argument("--epochs", type=int, help="as a trial, which is not written")
    chosen = asked.parse_args()
    speeches = passages((sets.DATA / "tinyshakespeare" / "corpus.txt").read_text("utf-8").split("\n"))
    longer = {} if chosen.epochs is None else {"epochs": chosen.epochs}
    kinds = {"causal": (CAUSAL, causal), "masked+next": (NEXT, following)}
    for kind, (settings, measured) in kinds.items():
        if chosen.only in (None, kind.removeprefix("masked+")):
            rows: list[dict[str, Any]] = []
            for seed in range(chosen.seeds):
                rows.append(measured(speeches, seed, longer))
                if chosen.epochs is None:
                    keep({kind: {"settings": settings, "rows": rows}})


def keep(result: dict[str, Any]) -> None:
    """Write what is measured by now; the other kind stays as it was measured."""
    sets.write("pretrain", {"set": "tinyshakespeare", **measured_before(), **result}, ["accelerate"])


def measured_before() -> dict[str, Any]:
    """What the file holds of the kind that is not measured now."""
    file = sets.RESULTS / "pretrain.json"
    known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    return {kind: known[kind] for kind in ("causal", "masked+next") if kind in known}


def causal(speeches: list[str], seed: int, longer: dict[str, Any]) -> dict[str, Any]:
    """Held-out perplexity by epoch, and the words of what is written."""
    with TemporaryDirectory() as folder:
        model = pretrain(speeches, out=Path(folder) / "model", seed=seed, **(CAUSAL | longer))
        assert isinstance(model, CausalBackbone)
        results = Record.read(model.folder).results
        begun = [" ".join(speech.split()[:6]) for speech in speeches[:: len(speeches) // BEGINNINGS]][:BEGINNINGS]
        written = model.generate(begun, WRITTEN, seed=seed, temperature=1.0)
    known = set(words(" ".join(speeches)))
    said = [word for text in written for word in words(text)[:-1]]  # the last one may be broken off
    falls = [row["perplexity"] for row in results["epochs"]]
    row = {
        "seed": seed,
        "weights": results["weights"],
        "epochs": results["epochs"],
        "falls_monotonically": all(a > b for a, b in pairwise(falls)),
        "words_written": len(said),
        "words_of_the_corpus": round(sum(word in known for word in said) / len(said), 4),
        "sample": begun[0] + written[0],
    }
    print(row, flush=True)
    return row


def following(speeches: list[str], seed: int, longer: dict[str, Any]) -> dict[str, Any]:
    """Loss, held-out perplexity and accuracy of the next sentence by epoch."""
    texts = ["\n".join(speeches[at : at + SPEECHES]) for at in range(0, len(speeches), SPEECHES)]
    with TemporaryDirectory() as folder:
        model = pretrain(texts, out=Path(folder) / "model", seed=seed, size=SMALLER, **(NEXT | longer))
        results = Record.read(model.folder).results
        losses = [line["held_out_loss"] for line in read(model.folder) if line["event"] == "held out"]
    last = results["epochs"][-1]
    row = {
        "seed": seed,
        "weights": results["weights"],
        "held_out_pairs": results["held_out_rows"],
        "held_out_loss": [round(loss, 4) for loss in losses],
        "perplexity": [each["perplexity"] for each in results["epochs"]],
        "next_sentence_accuracy": [round(each["next_sentence_accuracy"], 4) for each in results["epochs"]],
        "interval": last["next_sentence_interval"],
    }
    print(row, flush=True)
    return row


def words(text: str) -> list[str]:
    """Its words, in lower case."""
    return _WORD.findall(text.lower())


if __name__ == "__main__":
    main()
