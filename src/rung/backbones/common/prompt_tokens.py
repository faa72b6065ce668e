"""Prompts as token ids in three parts, so that a prompt that is too long loses a part of its text and nothing of its frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from rung.backbones.common.batching import plain_token_ids
from rung.backbones.common.control_tokens import ControlTokens, tokenize_with_offsets
from rung.backbones.prompt import Prompt
from rung.text_encoding import encodable

Truncation = Callable[[list[int], int], list[int]]  # from a text's tokens and how many may stay: those that stay


class PromptIds(NamedTuple):
    """Token ids of the frame's beginning, of the text and of the frame's end."""

    before: list[int]
    text: list[int]
    after: list[int]

    @property
    def frame(self) -> int:
        """How many tokens the frame has."""
        return len(self.before) + len(self.after)

    @property
    def size(self) -> int:
        """How many tokens the prompt has in all."""
        return self.frame + len(self.text)

    def truncated(self, room: int | None, truncate: Truncation) -> list[int]:
        """All ids in a row, at most `room` of them: `truncate` shortens the text, the frame stays complete."""
        long = room is not None and self.size > room
        text = truncate(self.text, max(0, room - self.frame)) if long and room is not None else self.text
        return [*self.before, *text, *self.after]


def prompt_ids(tokenizer: Any, control: ControlTokens, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
    """Token ids of each prompt, tokenized as one string, without special tokens around it.

    Of a `Prompt`, control tokens are read in the frame only. A plain string is all text, and its control tokens are read.
    """
    plain = [i for i, prompt in enumerate(prompts) if isinstance(prompt, str)]
    rows = plain_token_ids(tokenizer, [str(prompts[i]) for i in plain])
    strings = dict(zip(plain, rows, strict=True))
    return [
        PromptIds([], strings[i], []) if isinstance(prompt, str) else _framed(tokenizer, control, prompt)
        for i, prompt in enumerate(prompts)
    ]


def _framed(tokenizer: Any, control: ControlTokens, prompt: Prompt) -> PromptIds:
    before, text, after = encodable(prompt.before), encodable(prompt.text), encodable(prompt.after)
    if not getattr(tokenizer, "is_fast", True):
        text = control.as_text(text, before, after)
        return _between(
            plain_token_ids(tokenizer, [before + text + after])[0], *plain_token_ids(tokenizer, [before, after])
        )
    ids, offsets = tokenize_with_offsets(tokenizer, before + text + after)
    if control.spans_within(before + text + after, ids, offsets, (len(before), len(before) + len(text))):
        text = control.as_text(text, before, after)
        ids, offsets = tokenize_with_offsets(tokenizer, before + text + after)
    start, end = len(before), len(before) + len(text)
    first = sum(1 for _ in takewhile(lambda span: span[0] < start, offsets))
    last = first + sum(1 for _ in takewhile(lambda span: span[0] < end and span[1] <= end, offsets[first:]))
    last = last if after else len(ids)  # some tokenizers give no offsets for white space at the end
    return PromptIds(ids[:first], ids[first:last], ids[last:])


def _between(ids: list[int], before: list[int], after: list[int]) -> PromptIds:
    """The three parts for a tokenizer without offsets: the frame is what the ids of the prompt share with the frame's own ids.

    >>> _between([1, 2, 7, 8, 4], [1, 2, 3], [4])
    PromptIds(before=[1, 2], text=[7, 8], after=[4])
    """
    first = _common(ids, before)
    last = len(ids) - _common(ids[first:][::-1], after[::-1])
    return PromptIds(ids[:first], ids[first:last], ids[last:])


def _common(ids: list[int], others: list[int]) -> int:
    """How many tokens both rows begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ids, others, strict=False)))


def keep_head(ids: list[int], room: int) -> list[int]:
    """The first tokens of a text."""
    return ids[:room]


def keep_tail(ids: list[int], room: int) -> list[int]:
    """The last tokens of a text.

    >>> keep_tail([1, 2, 3], 2), keep_tail([1, 2, 3], 0)
    ([2, 3], [])
    """
    return ids[max(0, len(ids) - room) :]


def keep_ends(ids: list[int], room: int) -> list[int]:
    """The first and last tokens of a text: its beginning and its end usually say what it is about.

    Source: Sun et al. 2019, "How to fine-tune BERT for text classification", section 5.3.1: head and tail.

    >>> keep_ends([1, 2, 3, 4, 5], 3), keep_ends([1, 2], 3)
    ([1, 2, 5], [1, 2])
    """
    return ids if len(ids) <= room else [*ids[: room - room // 2], *ids[len(ids) - room // 2 :]]
