"""BERT's second head: whether a sentence follows another, and so whether a label said as a sentence fits a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.backbones.common.cross_encoder import CrossEncoder
from rung.backbones.common.pretrained import architecture

HEAD = "next-sentence"


class NextSentenceBackbone(CrossEncoder):
    """A BERT that was trained to tell the next sentence from a sentence drawn at random, frozen, in float32.

    log p = log p(class 0 | text, candidate): the candidate is what comes next

    It knows topics rather than truth: a random sentence is mostly about something else.
    Sources: Devlin et al. 2019, "BERT", section 3.1, task 2; Sun et al. 2022, "NSP-BERT", who classify so without a label.
    """

    model_class = "AutoModelForNextSentencePrediction"
    style = "following"

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` have this head and no other."""
        return architecture(folder).endswith("ForNextSentencePrediction")

    @property
    def fingerprint_parts(self) -> object:
        """The files, and which of their heads is asked."""
        return {"files": self.hashes, "head": HEAD}

    def pair_log_p(self, logits: Any) -> Any:
        """log p (b,) of class 0, from logits (b, 2)."""
        return logits.log_softmax(-1)[:, 0]


BACKBONE = NextSentenceBackbone
