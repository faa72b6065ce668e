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
    """The indices of the classes that decide: entailment, and the classes against it."""

    entailment: int
    against: list[int]


class EntailmentBackbone(CrossEncoder):
    """A cross-encoder that judges a premise and a hypothesis, frozen, in float32.

    log p = log( exp(e) / (exp(e) + exp(c)) ), e and c the logits of entailment and contradiction

    "Neutral" is left out: it means that the text does not say, which is true of most labels and most texts. For a model with
    "not entailment" only, this class takes the place of contradiction.
    Source: Yin, Hay, Roth 2019, "Benchmarking zero-shot text classification", section 4.
    """

    model_class = "AutoModelForSequenceClassification"
    style = "entailment"

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` classify texts, into any classes."""
        return architecture(folder).endswith("ForSequenceClassification")

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:
        """The backbone in `folder`. Raises UserError for a classifier with labels of its own."""
        opened = super().open(folder, name, entry)
        _ = opened.verdicts
        return opened

    @cached_property
    def verdicts(self) -> Verdicts:
        """Which classes mean entailment and its opposite, by their names in the config. Raises UserError where no name says so."""
        names = _names(self.config)
        normalized = {i: name.casefold().replace("-", "_").replace(" ", "_") for i, name in names.items()}
        yes = [i for i, name in normalized.items() if name.startswith("entail")]
        if len(yes) != 1 or len(normalized) < 2:
            raise self._not_entailment(names)
        others = [i for i in normalized if i not in yes]
        no = [i for i in others if normalized[i].startswith("contra")] or [
            i for i in others if normalized[i] != "neutral"
        ]
        return Verdicts(yes[0], no or others)

    def pair_log_p(self, logits: Any) -> Any:
        """log p (b,) of entailment against contradiction, from logits (b, c)."""
        yes, no = self.verdicts
        return logits[:, [yes, *no]].log_softmax(-1)[:, 0]

    def _not_entailment(self, names: dict[int, str]) -> UserError:
        classes = ", ".join(names[i] for i in sorted(names)[:6]) or "–"
        return UserError(
            "backbone {name!r}: its classes are {classes}; none is called entailment, so the model was "
            "trained for labels of its own and cannot judge yours.",
            "Take a model trained on NLI, such as  --backbone deberta-zeroshot ; if this is one, name "
            'its classes in {folder}, for example  "id2label": {{"0": "entailment", "1": "neutral", "2": '
            '"contradiction"}}',
            name=self.name,
            classes=classes,
            folder=self.folder / "config.json",
        )


def _names(config: dict[str, Any]) -> dict[int, str]:
    """The names of the classes by index, from `id2label`, or from `label2id` where `id2label` says LABEL_0 and so on.

    >>> _names({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"entailment": 1, "neutral": 0}})
    {1: 'entailment', 0: 'neutral'}
    """
    from_id2label = {int(i): str(name) for i, name in (config.get("id2label") or {}).items()}
    from_label2id = {int(i): str(name) for name, i in (config.get("label2id") or {}).items()}
    unnamed = all(name.startswith("LABEL_") for name in from_id2label.values())
    return from_label2id if unnamed and from_label2id else from_id2label


BACKBONE = EntailmentBackbone
