"""Prompts for backbones that score: a prompt for each text, candidates for each label.

A backbone's `score` adds nothing to its input, so all wording is here. A prompt has two parts: the frame, which rung and the model
define, and the person's text. Names and descriptions of labels stand in the frame, but control tokens in them are text. The
backbone's `style` says what kind of prompt it takes:

continuation    a causal model continues the prompt; with a chat template, as the assistant
answer          an encoder–decoder writes the label
cloze           a masked model fills the slot {} of a sentence
entailment      a cross-encoder says whether the text entails a hypothesis
following       a model says whether a sentence follows the text (BERT's next sentence)
options         a remote model picks a letter, since servers return the probabilities of a few next tokens only
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
    """Prompts and candidates for one set of labels: `owner` (m,) is the label that each candidate belongs to."""

    style: str
    frame: str
    candidates: list[str]
    owner: npt.NDArray[np.intp]

    def prompt(self, text: str) -> Prompt:
        """The text in its frame. Where the frame has a slot {}, a slot that the text spells is broken by a space."""
        before, _, after = self.frame.rpartition("{text}")  # the last one, since a label may have this name
        return Prompt(before, text.replace("{}", "{ }") if self.style == "cloze" else text, after)

    @property
    def key(self) -> str:
        """A hash of all that the scores depend on besides the text; "parts" separates them from scores of single-string prompts."""
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
    plain = [_as_text(label, backbone) for label in labels]
    if style == "options":
        return _options(plain)
    frame, candidate = _frames(plain, backbone)
    phrases = [[_described(label) if style in _SENTENCES else label.wording, *label.words] for label in plain]
    words = [candidate.replace("{label}", name) for each in phrases for name in each]
    return LabelPrompts(style, frame, words, np.repeat(np.arange(len(plain)), [len(each) for each in phrases]))


def _as_text(label: Label, backbone: Any) -> Label:
    """The label with its control tokens broken by spaces, since its name stands in the frame, where they would be obeyed."""
    as_text = getattr(backbone, "as_text", str)
    words = tuple(map(as_text, label.words))
    value = as_text(label.value) if isinstance(label.value, str) else label.value  # a number holds no control token
    return replace(label, value=value, description=as_text(label.description), words=words)


def _frames(labels: Sequence[Label], backbone: Any) -> tuple[str, str]:
    """The frame of texts, and the frame of labels."""
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
    """One letter per label. With more labels than letters the candidates are the names, to which a server can be constrained."""
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
