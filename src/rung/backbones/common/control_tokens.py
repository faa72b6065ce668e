"""Control tokens, which steer a model ("</s>", "[MASK]", "<|im_end|>"), and how a text is escaped so that it holds none.

A tokenizer reads control tokens wherever a text contains their characters, so a person's text could end itself, hide a word or
speak as the assistant. Asking the tokenizer to split special tokens is not enough: SentencePiece vocabularies hold "</s>" too,
normalization makes it out of full-width letters, and tokens that were added without being marked special ("<think>") are never
split. So a space is put after the first character of whatever is read as a control token, until none is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from rung.backbones.common.batching import plain_token_ids
from rung.text_encoding import encodable

_MAX_ROUNDS = 4  # after that, what is still read as a control token is removed
_UNKNOWN = re.compile(r"[<\[|]*(unk|unknown)[>\]|]*", re.IGNORECASE)  # stands for an unknown token, and steers nothing
# Added tokens that look like this steer a model even when they are not marked special; runs of spaces and technical terms do not.
_MARKUP = re.compile(r"\s*(<.+>|\[.+\]|\uff5c.+\uff5c)\s*", re.DOTALL)

Span = tuple[int, int]


class ControlTokens:
    """The control tokens of one tokenizer, from transformers or from the library `tokenizers`."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @cached_property
    def contents(self) -> dict[int, str]:
        """The text of each control token, by its id."""
        own = self._tokenizer
        other = getattr(own, "get_added_tokens_decoder", dict)  # a tokenizer that splits at spaces only adds none
        added = own.added_tokens_decoder if hasattr(own, "added_tokens_decoder") else other()
        found = {
            i: str(token.content) for i, token in added.items() if token.special or _MARKUP.fullmatch(token.content)
        }
        found |= dict(zip(getattr(own, "all_special_ids", ()), getattr(own, "all_special_tokens", ()), strict=True))
        return {i: content for i, content in found.items() if not _UNKNOWN.fullmatch(content)}

    @cached_property
    def ids(self) -> frozenset[int]:
        """The ids of all control tokens."""
        return frozenset(self.contents)

    def count(self, ids: Sequence[int]) -> int:
        """How many of `ids` are control tokens."""
        return 0 if self.ids.isdisjoint(ids) else sum(i in self.ids for i in ids)

    def as_text(self, text: str, before: str = "", after: str = "") -> str:
        """The text, which stands between `before` and `after`, with each control token that is read in it broken up by a space.

        >>> from rung.backbones.static import BUILTIN
        >>> from tokenizers import Tokenizer
        >>> ControlTokens(Tokenizer.from_file(str(BUILTIN / "tokenizer.json"))).as_text("a [SEP] b")
        'a [ SEP] b'
        """
        text = encodable(text)
        for _ in range(_MAX_ROUNDS):
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

    def plain(self, texts: Sequence[str], rows: Sequence[Sequence[int]], before: str = "", usual: int = 0) -> list[str]:
        """The texts; a text whose ids (in `rows`) hold more control tokens than the `usual` number is escaped as by `as_text`."""
        pairs = zip(texts, rows, strict=True)
        return [self.as_text(text, before) if self.count(ids) > usual else text for text, ids in pairs]

    def as_texts(self, texts: Sequence[str]) -> list[str]:
        """Each text as `as_text` gives it; all are tokenized in one call."""
        return self.plain(texts, plain_token_ids(self._tokenizer, texts))

    def text_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text: no control token in it, and no special token around it."""
        rows = plain_token_ids(self._tokenizer, texts)
        with_control = [i for i, row in enumerate(rows) if self.count(row)]
        for i, row in zip(
            with_control, plain_token_ids(self._tokenizer, [self.as_text(texts[i]) for i in with_control]), strict=True
        ):
            rows[i] = row
        return rows

    def _spans(self, text: str, before: str, after: str) -> list[Span]:
        """Where control tokens are read in the text, in characters."""
        if not self.ids:
            return []
        whole, shift = before + text + after, len(before)
        part = shift, shift + len(text)
        if getattr(self._tokenizer, "is_fast", True):
            found = self.spans_within(whole, *tokenize_with_offsets(self._tokenizer, whole), part)
        else:
            found = _clip_spans((each.span() for each in self._pattern.finditer(whole)), whole, part)
        return [(start - shift, end - shift) for start, end in found]

    def spans_within(self, whole: str, ids: Sequence[int], offsets: Sequence[Span], part: Span) -> list[Span]:
        """Where control tokens cover more than white space of a `part` of the `whole` text, from which `ids` were read."""
        found = [(i, span) for i, span in zip(ids, offsets, strict=True) if i in self.ids]
        return _clip_spans(
            [span for i, span in found if not self._stands_for_unknown(i, whole[slice(*span)])], whole, part
        )

    def _stands_for_unknown(self, i: int, spelled: str) -> bool:
        """Whether a control token that also serves as the unknown token (CLIP's end) stands for an unknown token here."""
        unknown = getattr(self._tokenizer, "unk_token_id", None)
        return i == unknown and self.contents[i].casefold() not in spelled.casefold()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Matches any control token, long ones first; for tokenizers that do not give offsets."""
        return re.compile("|".join(map(re.escape, sorted(self.contents.values(), key=len, reverse=True))))


def _clip_spans(spans: Iterable[Span], whole: str, part: Span) -> list[Span]:
    """The spans, limited to a part of the whole text and without white space around them; empty ones are left out."""
    found = []
    for first, last in spans:
        start, end = max(first, part[0]), min(last, part[1])
        inner = whole[start:end].strip() if start < end else ""
        if inner:
            start = whole.index(inner, start)
            found.append((start, start + len(inner)))
    return found


def tokenize_with_offsets(tokenizer: Any, text: str) -> tuple[list[int], list[Span]]:
    """Token ids of a text without special tokens around it, and the characters (start, end) of each token."""
    if hasattr(tokenizer, "encode_batch"):
        found = tokenizer.encode(text, add_special_tokens=False)
        return found.ids, found.offsets
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return encoded["input_ids"], encoded["offset_mapping"]
