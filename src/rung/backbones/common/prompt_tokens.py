"""Prompts as token ids in three parts, so that what does not fit is cut out of the text and never out of its frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from rung.backbones.common.batching import bare
from rung.backbones.common.control_tokens import ControlTokens, read
from rung.backbones.prompt import Prompt
from rung.text_encoding import encodable

Kept = Callable[[list[int], int], list[int]]  # what stays of a text when only so many of its tokens may


class PromptIds(NamedTuple):
    """Ids of the frame's beginning, of the text and of the frame's end."""

    before: list[int]
    text: list[int]
    after: list[int]

    @property
    def frame(self) -> int:
        """How many tokens the frame takes."""
        return len(self.before) + len(self.after)

    @property
    def size(self) -> int:
        """How many tokens there are in all."""
        return self.frame + len(self.text)

    def within(self, room: int | None, kept: Kept) -> list[int]:
        """All ids in a row, at most `room` where the frame leaves any for the text: `kept` says what stays of it."""
        long = room is not None and self.size > room
        text = kept(self.text, max(0, room - self.frame)) if long and room is not None else self.text
        return [*self.before, *text, *self.after]


def prompt_ids(tokenizer: Any, control: ControlTokens, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
    """Ids of each prompt as one string, special tokens that the tokenizer would put around it left out.

    Of a `Prompt`, control tokens are read in the frame only. A string is all text, and is tokenized as it is.
    """
    plain = [i for i, prompt in enumerate(prompts) if isinstance(prompt, str)]
    rows = bare(tokenizer, [str(prompts[i]) for i in plain])
    strings = dict(zip(plain, rows, strict=True))
    return [
        PromptIds([], strings[i], []) if isinstance(prompt, str) else _framed(tokenizer, control, prompt)
        for i, prompt in enumerate(prompts)
    ]


def _framed(tokenizer: Any, control: ControlTokens, prompt: Prompt) -> PromptIds:
    before, text, after = encodable(prompt.before), encodable(prompt.text), encodable(prompt.after)
    if not getattr(tokenizer, "is_fast", True):
        text = control.as_text(text, before, after)
        return _between(bare(tokenizer, [before + text + after])[0], *bare(tokenizer, [before, after]))
    ids, offsets = read(tokenizer, before + text + after)
    if control.within(before + text + after, ids, offsets, (len(before), len(before) + len(text))):
        text = control.as_text(text, before, after)
        ids, offsets = read(tokenizer, before + text + after)
    start, end = len(before), len(before) + len(text)
    first = sum(1 for _ in takewhile(lambda span: span[0] < start, offsets))
    last = first + sum(1 for _ in takewhile(lambda span: span[0] < end and span[1] <= end, offsets[first:]))
    last = last if after else len(ids)  # white space at the end may be said to cover nothing
    return PromptIds(ids[:first], ids[first:last], ids[last:])


def _between(ids: list[int], before: list[int], after: list[int]) -> PromptIds:
    """The same for a tokenizer that does not say where a token stands: the frame is what the whole has in common with it.

    >>> _between([1, 2, 7, 8, 4], [1, 2, 3], [4])
    PromptIds(before=[1, 2], text=[7, 8], after=[4])
    """
    first = _common(ids, before)
    last = len(ids) - _common(ids[first:][::-1], after[::-1])
    return PromptIds(ids[:first], ids[first:last], ids[last:])


def _common(ids: list[int], others: list[int]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, others, strict=False)))


def head(ids: list[int], room: int) -> list[int]:
    """The first tokens of a text."""
    return ids[:room]


def tail(ids: list[int], room: int) -> list[int]:
    """The last tokens of a text.

    >>> tail([1, 2, 3], 2), tail([1, 2, 3], 0)
    ([2, 3], [])
    """
    return ids[max(0, len(ids) - room) :]


def ends(ids: list[int], room: int) -> list[int]:
    """The first and last tokens of a text: what it is about stands at its beginning and its end.

    Source: Sun et al. 2019, "How to fine-tune BERT for text classification", section 5.3.1: head and tail.

    >>> ends([1, 2, 3, 4, 5], 3), ends([1, 2], 3)
    ([1, 2, 5], [1, 2])
    """
    return ids if len(ids) <= room else [*ids[: room - room // 2], *ids[len(ids) - room // 2 :]]
