"""BERT's second head: whether one sentence follows another, and so whether a label in a sentence fits a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rung.backbones.common.cross_encoder import CrossEncoder
from rung.backbones.common.pretrained import architecture

HEAD = "next-sentence"


class NextSentenceBackbone(CrossEncoder):
    """A BERT that was trained to tell the next sentence from a random sentence, frozen, in float32.

    log p = log p(class 0 | text, candidate): the candidate comes next

    It recognizes topics rather than truth, since a random sentence usually has another topic. Sources: Devlin et al. 2019,
    "BERT", section 3.1, task 2; Sun et al. 2022, "NSP-BERT", who classify with it without labeled texts.
    """

    model_class = "AutoModelForNextSentencePrediction"
    style = "following"

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` have this head only."""
        return architecture(folder).endswith("ForNextSentencePrediction")

    @property
    def fingerprint_parts(self) -> object:
        """The files, and which of their heads is used."""
        return {"files": self.hashes, "head": HEAD}

    def pair_log_p(self, logits: Any) -> Any:
        """log p (b,) of class 0, from logits (b, 2)."""
        return logits.log_softmax(-1)[:, 0]


BACKBONE = NextSentenceBackbone
