"""Texts and labels put into words that a scoring backbone can answer: a prompt for each text, candidates for each label.

A backbone's `score` adds nothing to what it is given, so all wording is here. A prompt has two parts: the frame is ours and the
model's, the text is a person's; names and descriptions of labels stand in the frame, and are text too. The backbone's `style`
says what kind of words it takes:

continuation    a causal model continues the prompt; with a chat template, as the assistant
answer          an encoder–decoder writes the label
cloze           a masked model fills the slot {} of a sentence
entailment      a cross-encoder says whether the text entails a hypothesis
following       a model says whether a sentence follows the text (BERT's next sentence)
options         a remote model picks a letter, since only a few next tokens come back with their probabilities
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.labels import Label, Labels

STYLES = ("continuation", "answer", "cloze", "entailment", "following", "options")
_SENTENCES = ("entailment", "following")  # labels are put as sentences, which are scored as a whole


@dataclass(frozen=True)
class LabelPrompts:
    """Prompts and candidates for one set of labels: `owner` (m,) is the label that each candidate speaks for."""

    style: str
    frame: str
    candidates: list[str]
    owner: npt.NDArray[np.intp]

    def prompt(self, text: str) -> Prompt:
        """The text in its frame; where the frame has a slot, what looks like one in the text itself is taken apart."""
        before, _, after = self.frame.rpartition("{text}")  # the last one: a label may be called so
        return Prompt(before, text.replace("{}", "{ }") if self.style == "cloze" else text, after)

    @property
    def key(self) -> str:
        """What the scores depend on besides the text; "parts" sets them apart from those of prompts that were one string."""
        return sha256("\x1f".join(["parts", self.style, self.frame, *self.candidates]).encode()).hexdigest()


def label_prompts(labels: Labels, backbone: Any) -> LabelPrompts:
    """The prompts and candidates that suit the backbone. Raises UserError for a style that is not known, or too many options."""
    style = backbone.style
    if style not in STYLES:
        raise UserError(
            "backbone {backbone_name!r} has the unknown style {style!r}.",
            "The styles are {styles}.",
            backbone_name=backbone.name,
            style=style,
            styles=", ".join(STYLES),
        )
    told = [_as_text(label, backbone) for label in labels]
    if style == "options":
        return _options(told)
    frame, candidate = _frames(told, backbone)
    said = [[_described(label) if style in _SENTENCES else label.wording, *label.words] for label in told]
    words = [candidate.replace("{label}", name) for each in said for name in each]
    return LabelPrompts(style, frame, words, np.repeat(np.arange(len(told)), [len(each) for each in said]))


def _as_text(label: Label, backbone: Any) -> Label:
    """The label with the control tokens that it spells taken apart, since its name stands in the frame."""
    plain = getattr(backbone, "as_text", str)
    words = tuple(map(plain, label.words))
    value = plain(label.value) if isinstance(label.value, str) else label.value  # a number spells nothing
    return replace(label, value=value, description=plain(label.description), words=words)


def _frames(labels: Sequence[Label], backbone: Any) -> tuple[str, str]:
    """The frame of a text and that of a label."""
    if backbone.style == "cloze":
        return "{text} This text is about {}.", "{label}"
    if backbone.style in _SENTENCES:
        return "{text}", "This text is about {label}."
    question = f"{_instruction(labels)}\n\nText: {{text}}"
    if backbone.style == "answer":
        return f"{question}\nLabel:", "{label}"
    chat = backbone.chat([{"role": "user", "content": f"{question}\n\nAnswer with the label only."}])
    return (chat, "{label}") if chat else (f"{question}\nLabel:", " {label}")


def _options(labels: Sequence[Label]) -> LabelPrompts:
    """A letter a label; beyond the alphabet, the names themselves, among which a server can be held to choose."""
    if len(labels) > len(string.ascii_uppercase):
        frame = f"{_instruction(labels)}\n\nText: {{text}}\n\nAnswer with the label only."
        return LabelPrompts("options", frame, [label.wording for label in labels], np.arange(len(labels)))
    lines = [f"{letter}. {_described(label)}" for letter, label in zip(string.ascii_uppercase, labels, strict=False)]
    frame = "Which label fits the text best?\n" + "\n".join(lines) + "\n\nText: {text}\n\nAnswer with its letter only."
    return LabelPrompts("options", frame, list(string.ascii_uppercase[: len(labels)]), np.arange(len(labels)))


def _instruction(labels: Sequence[Label]) -> str:
    described = any(label.description for label in labels)
    listed = (
        "\n".join(f"- {_described(label)}" for label in labels)
        if described
        else ", ".join(label.wording for label in labels)
    )
    return "Which label fits the text best?\nLabels:" + ("\n" if described else " ") + listed


def _described(label: Label) -> str:
    wording = label.wording
    return wording if label.description in ("", wording) else f"{wording}: {label.description}"
