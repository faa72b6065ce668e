"""Entailment models (BERT, RoBERTa, DeBERTa, BART … trained on NLI): whether a text entails a hypothesis."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

from rung.backbones.catalog import Entry
from rung.backbones.common.cross_encoder import CrossEncoder
from rung.backbones.common.pretrained import architecture
from rung.errors import UserError


class Verdicts(NamedTuple):
    """The classes of an entailment model that decide: which says yes, and which says no."""

    entailment: int
    against: list[int]


class EntailmentBackbone(CrossEncoder):
    """A cross-encoder that judges premise and hypothesis, frozen, in float32.

    log p = log( exp(e) / (exp(e) + exp(c)) ), e and c the logits of entailment and contradiction

    "Neutral" is left out: it says that the text does not tell, which holds of most labels and most texts. A model that knows
    "not entailment" only, has that in place of contradiction.
    Source: Yin, Hay, Roth 2019, "Benchmarking zero-shot text classification", section 4.
    """

    model_class = "AutoModelForSequenceClassification"
    style = "entailment"

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` put texts into classes, whichever these are."""
        return architecture(folder).endswith("ForSequenceClassification")

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:
        """The backbone of `folder`. Raises UserError for a classifier that was trained for labels of its own."""
        opened = super().open(folder, name, entry)
        _ = opened.verdicts
        return opened

    @cached_property
    def verdicts(self) -> Verdicts:
        """Which classes are entailment and its opposite, by their names in the config. Raises UserError where none is so called."""
        names = _names(self.config)
        said = {i: name.casefold().replace("-", "_").replace(" ", "_") for i, name in names.items()}
        yes = [i for i, name in said.items() if name.startswith("entail")]
        if len(yes) != 1 or len(said) < 2:
            raise self._no_verdict(names)
        others = [i for i in said if i not in yes]
        no = [i for i in others if said[i].startswith("contra")] or [i for i in others if said[i] != "neutral"]
        return Verdicts(yes[0], no or others)

    def pair_log_p(self, logits: Any) -> Any:
        """log p (b,) of entailment against contradiction, from logits (b, c)."""
        yes, no = self.verdicts
        return logits[:, [yes, *no]].log_softmax(-1)[:, 0]

    def _no_verdict(self, names: dict[int, str]) -> UserError:
        listed = ", ".join(names[i] for i in sorted(names)[:6]) or "unnamed ones"
        return UserError(
            "backbone {name!r}: its classes are {listed}; none is called entailment, so it was trained "
            "for labels of its own and cannot judge yours.",
            "Take a model trained on NLI, such as  --backbone deberta-zeroshot ; if this is one, name "
            'its classes in {folder}, as in  "id2label": {{"0": "entailment", "1": "neutral", "2": '
            '"contradiction"}}',
            name=self.name,
            listed=listed,
            folder=self.folder / "config.json",
        )


def _names(config: dict[str, Any]) -> dict[int, str]:
    """The classes' names by their places, from `id2label`, or from `label2id` where that says LABEL_0 and so on.

    >>> _names({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"entailment": 1, "neutral": 0}})
    {1: 'entailment', 0: 'neutral'}
    """
    found = {int(i): str(name) for i, name in (config.get("id2label") or {}).items()}
    turned = {int(i): str(name) for name, i in (config.get("label2id") or {}).items()}
    unnamed = all(name.startswith("LABEL_") for name in found.values())
    return turned if unnamed and turned else found


BACKBONE = EntailmentBackbone
