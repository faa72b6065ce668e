"""Entailment models (NLI cross-encoders): whether a text entails "This text is about …"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rung.backbones.batches import TOKENS, batches, longer
from rung.backbones.catalog import Entry
from rung.backbones.pretrained import Pretrained, architecture, read_config
from rung.encoding import encodable
from rung.errors import UserError
from rung.evidence import Array

Flags = npt.NDArray[np.bool_]
_PAIRS = 4096  # tokenized at a time


class EntailmentBackbone(Pretrained):
    """A model that reads a premise and a hypothesis together, frozen, in float32.

    It reads each text with each label: k times as costly as an encoder, so `score` takes `among`, the labels worth asking.
    """

    abilities = frozenset({"score"})
    model_class = "AutoModelForSequenceClassification"
    style = "entailment"
    pairwise = True
    tokens_at_once = TOKENS  # of one forward pass; it moves the speed and the memory, not the answer

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` are those of a classifier of sequences."""
        return architecture(folder).endswith("ForSequenceClassification")

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:
        """The backbone of `folder`. Raises UserError where its config does not say which output means entailment."""
        _entailment(folder, name)
        return super().open(folder, name, entry)

    @cached_property
    def entailment(self) -> int:
        """Which of the model's outputs means that the premise entails the hypothesis."""
        return _entailment(self.folder, self.name)

    def score(self, prompts: Sequence[str], candidates: Sequence[str], *, among: Flags | None = None) -> Array:
        """Natural log p(the prompt entails the candidate), (n, k) float32; NaN for the pairs outside `among` (n, k).

        p is the model's own probability among all of its outputs (neutral and contradiction, or not_entailment). Of a pair
        beyond `max_tokens` the end of the prompt is not read. Source: Yin, Hay, Roth 2019, "Benchmarking zero-shot text
        classification".
        """
        import torch

        found = np.full((len(prompts), len(candidates)), np.nan, dtype=np.float32)
        asked = np.argwhere(np.ones(found.shape, dtype=bool) if among is None else among)
        for start in range(0, len(asked), _PAIRS):
            pairs = asked[start : start + _PAIRS]
            firsts = [encodable(prompts[i]) for i in pairs[:, 0]]
            seconds = [encodable(candidates[j]) for j in pairs[:, 1]]
            encoded = self.tokenizer(firsts, seconds, truncation="only_first", max_length=self.max_tokens)
            told = np.empty(len(pairs), dtype=np.float32)
            pad, device = self.tokenizer.pad_token_id, self.model.device
            with torch.inference_mode():
                for places, passed in batches(encoded, self.tokens_at_once, pad=pad, device=device):
                    log_p = self.model(**passed).logits.float().log_softmax(-1)
                    told[places] = log_p[:, self.entailment].cpu().numpy()
            found[pairs[:, 0], pairs[:, 1]] = told
        return found

    def cut(self, texts: Sequence[str]) -> int:
        """How many of `texts` are longer than `max_tokens` by themselves, so that their end is not read."""
        return longer(self.tokenizer, texts, self.max_tokens)


def _entailment(folder: Path, name: str) -> int:
    """The place of the label that begins with "entail", whatever its case, in the config's id2label."""
    labels: dict[str, Any] = read_config(folder).get("id2label") or {}
    found = [int(place) for place, label in labels.items() if str(label).lower().startswith("entail")]
    if len(found) != 1:
        said = ", ".join(map(str, labels.values())) or "LABEL_0, LABEL_1"
        raise UserError(
            f"backbone {name!r}: none of its outputs is called entailment ({said[:120]}): it was trained for labels of its own.",
            'Take a model trained on NLI, or name its outputs in config.json:  "id2label": {"0": "entailment", …}',
        )
    return found[0]


BACKBONE = EntailmentBackbone
