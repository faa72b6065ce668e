"""Control tokens, which steer a model ("</s>", "[MASK]", "<|im_end|>"), and texts in which they are characters like all others.

A tokenizer reads them wherever a text spells them, so that a person's text could end itself, hide a word or speak as the
assistant. Asking the tokenizer to split them is not enough: SentencePiece's pieces hold "</s>" too, normalizing makes one out of
full-width letters, and what was added to a vocabulary without being called special ("<think>") is never split. So whatever is
read as a control token is spelled apart, by a space after its first character, until none is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from rung.backbones.common.batching import bare
from rung.text_encoding import encodable

_TRIES = 4  # then what is still read as a control token is left out
_UNKNOWN = re.compile(r"[<\[|]*(unk|unknown)[>\]|]*", re.IGNORECASE)  # stands for what is not known, and steers nothing
# What an added token looks like that steers although it is not called special; runs of spaces and words of a field do not.
_MARKUP = re.compile(r"\s*(<.+>|\[.+\]|\uff5c.+\uff5c)\s*", re.DOTALL)

Span = tuple[int, int]


class ControlTokens:
    """The control tokens of one tokenizer, of transformers or of the library `tokenizers`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def _contents(self) -> dict[int, str]:
        """Control tokens as they are spelled, by their ids."""
        own = self._tokenizer
        other = getattr(own, "get_added_tokens_decoder", dict)  # what splits at spaces only adds none
        added = own.added_tokens_decoder if hasattr(own, "added_tokens_decoder") else other()
        found = {
            i: str(token.content) for i, token in added.items() if token.special or _MARKUP.fullmatch(token.content)
        }
        found |= dict(zip(getattr(own, "all_special_ids", ()), getattr(own, "all_special_tokens", ()), strict=True))
        return {i: content for i, content in found.items() if not _UNKNOWN.fullmatch(content)}

    @cached_property
    def ids(self) -> frozenset[int]:
        """The ids of all control tokens."""
        return frozenset(self._contents)

    def count(self, ids: Sequence[int]) -> int:
        """How many of `ids` are control tokens."""
        return 0 if self.ids.isdisjoint(ids) else sum(i in self.ids for i in ids)

    def as_text(self, text: str, before: str = "", after: str = "") -> str:
        """The text with each control token that is read in it, between `before` and `after`, spelled apart.

        >>> from rung.backbones.static import BUILTIN
        >>> from tokenizers import Tokenizer
        >>> ControlTokens(Tokenizer.from_file(str(BUILTIN / "tokenizer.json"))).as_text("a [SEP] b")
        'a [ SEP] b'
        """
        text = encodable(text)
        for _ in range(_TRIES):
            spans = self._spans(text, before, after)
            if not spans:
                return text
            for start, end in reversed(spans):
                place = start + 1 if end - start > 1 else start
                text = f"{text[:place]} {text[place:]}"
        while spans := self._spans(text, before, after):
            for start, end in reversed(spans):
                text = text[:start] + text[end:]
        return text

    def text_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, none of them a control token, and none put around it."""
        rows = bare(self._tokenizer, texts)
        steered = [i for i, row in enumerate(rows) if self.count(row)]
        for i, row in zip(steered, bare(self._tokenizer, [self.as_text(texts[i]) for i in steered]), strict=True):
            rows[i] = row
        return rows

    def _spans(self, text: str, before: str, after: str) -> list[Span]:
        """Where control tokens are read in the text, in its characters."""
        if not self.ids:
            return []
        whole, shift = before + text + after, len(before)
        part = shift, shift + len(text)
        if getattr(self._tokenizer, "is_fast", True):
            found = self.within(whole, *read(self._tokenizer, whole), part)
        else:
            found = _clipped((each.span() for each in self._spelled.finditer(whole)), whole, part)
        return [(start - shift, end - shift) for start, end in found]

    def within(self, whole: str, ids: Sequence[int], offsets: Sequence[Span], part: Span) -> list[Span]:
        """Where a control token covers more than white space of a `part` of the `whole` text that `ids` were read from."""
        steering = [(i, span) for i, span in zip(ids, offsets, strict=True) if i in self.ids]
        return _clipped(
            [span for i, span in steering if not self._stands_for_unknown(i, whole[slice(*span)])], whole, part
        )

    def _stands_for_unknown(self, i: int, spelled: str) -> bool:
        """Whether a control token that also stands for what is not known (CLIP's end) stands for that here."""
        unknown = getattr(self._tokenizer, "unk_token_id", None)
        return i == unknown and self._contents[i].casefold() not in spelled.casefold()

    @cached_property
    def _spelled(self) -> re.Pattern[str]:
        """Any control token, the long ones first, for tokenizers that do not say where a token stands."""
        return re.compile("|".join(map(re.escape, sorted(self._contents.values(), key=len, reverse=True))))


def _clipped(spans: Iterable[Span], whole: str, part: Span) -> list[Span]:
    """What of the spans lies within a part of the whole, without white space around it, where that is anything."""
    found = []
    for first, last in spans:
        start, end = max(first, part[0]), min(last, part[1])
        inner = whole[start:end].strip() if start < end else ""
        if inner:
            start = whole.index(inner, start)
            found.append((start, start + len(inner)))
    return found


def read(tokenizer: Any, text: str) -> tuple[list[int], list[Span]]:
    """Ids of a text, nothing put around it, and the characters that each of them stands for."""
    if hasattr(tokenizer, "encode_batch"):
        found = tokenizer.encode(text, add_special_tokens=False)
        return found.ids, found.offsets
    told = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return told["input_ids"], told["offset_mapping"]
