"""Texts read two by two: what a tokenizer puts around a pair, and one forward pass for many pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rung.backbones.common.batching import TOKENS, batches, ones
from rung.backbones.common.pretrained import Pretrained
from rung.backbones.common.prompt_tokens import PromptIds, head
from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.evidence import Array

_PAIRS = 8192  # held at once


class Frame(NamedTuple):
    """The special tokens before, between and after two texts, and which part of a pair each token is said to belong to."""

    before: list[int]
    between: list[int]
    after: list[int]
    kinds: tuple[list[int], int, list[int], int, list[int]] | None  # None: the model is not told

    @classmethod
    def of(cls, tokenizer: Any) -> Frame:
        """What `tokenizer` does with any pair, seen on a short one."""
        first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", "b"))
        encoded = tokenizer("a", "b")
        ids = encoded["input_ids"]
        a = _place(first, ids, 0)
        b = _place(second, ids, a + len(first))
        ends = [0, a, a + len(first), b, b + len(second), len(ids)]
        before, _, between, _, after = [ids[i:j] for i, j in pairwise(ends)]
        told = encoded.get("token_type_ids")
        return cls(
            before, between, after, (told[:a], told[a], told[ends[2] : b], told[b], told[ends[4] :]) if told else None
        )

    @property
    def size(self) -> int:
        """How many tokens it takes itself."""
        return len(self.before) + len(self.between) + len(self.after)

    def ids(self, first: list[int], second: list[int]) -> list[int]:
        """The ids of a pair in its frame."""
        return [*self.before, *first, *self.between, *second, *self.after]

    def parts(self, first: list[int], second: list[int]) -> list[int]:
        """The part (0 or 1) of each of these tokens."""
        assert self.kinds is not None
        before, a, between, b, after = self.kinds
        return [*before, *[a] * len(first), *between, *[b] * len(second), *after]


class Pairs(Pretrained):
    """A model that reads a text and a statement together and says how well they go with each other.

    Each pair is a pass of its own, so n texts and k candidates cost n · k passes: `among` says which are worth it.
    """

    abilities = frozenset({"score"})
    style: str
    pairwise = True
    options: tuple[str, ...] = ("precision",)
    tokens_at_once = TOKENS  # of one forward pass; it moves the speed and the memory, not the answer

    def score(
        self, prompts: Sequence[str | Prompt], candidates: Sequence[str], *, among: npt.NDArray[np.bool_] | None = None
    ) -> Array:
        """Natural log p(the candidate holds of the prompt), (n, k) float32; each by itself, so rows do not sum to 1.

        `among` (n, k): only these pairs are read, the others are NaN. Both are plain texts, in which no control token is read
        (but for the frame of a `Prompt`). Of a pair beyond `max_tokens` the text's end is cut, never the candidate or the frame.
        Raises UserError for a candidate or a frame that leaves no room.
        """
        found = np.full((len(prompts), len(candidates)), np.nan, dtype=np.float32)
        firsts, seconds = self._firsts(prompts), self.control.text_ids(candidates)
        rooms = self._rooms(seconds, candidates)
        self.check_frames(firsts, min(rooms, default=None))
        wanted = np.argwhere(np.ones(found.shape, dtype=bool) if among is None else among).tolist()
        rows = iter(wanted)
        while part := list(islice(rows, _PAIRS)):
            pairs = [(firsts[i].within(rooms[j] if rooms else None, head), seconds[j]) for i, j in part]
            for places, log_p in self._log_p(pairs):
                i, j = np.array([part[place] for place in places]).T
                found[i, j] = log_p
        return found

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:
        """How many prompts are too long for one of the candidates to stand beside them, so that their end is not read."""
        limit = self.max_tokens
        if limit is None:
            return 0
        alone = limit - int(self.tokenizer.num_special_tokens_to_add(pair=False))
        room = min(self._rooms(self.control.text_ids(candidates), candidates), default=alone)
        return sum(row.size > room for row in self._firsts(prompts))

    def judged(self, logits: Any) -> Any:
        """log p (b,) that the pairs go together, from the classes' logits (b, c)."""
        raise NotImplementedError

    def _log_p(self, pairs: list[tuple[list[int], list[int]]]) -> Iterator[tuple[list[int], Array]]:
        import torch

        ids = [self._frame.ids(*pair) for pair in pairs]
        encoded = {"input_ids": ids, "attention_mask": ones(ids)}
        if self._frame.kinds is not None:
            encoded["token_type_ids"] = [self._frame.parts(*pair) for pair in pairs]
        pad = self.tokenizer.pad_token_id
        with torch.inference_mode():
            for places, batch in batches(encoded, self.tokens_at_once, pad=pad, device=self.model.device):
                yield places, self.judged(self.model(**batch).logits.float()).cpu().numpy()

    @cached_property
    def _frame(self) -> Frame:
        return Frame.of(self.tokenizer)

    def _firsts(self, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
        """Token ids of what stands first in a pair; a string is a text without a frame."""
        return self.prompt_ids([Prompt("", each) if isinstance(each, str) else each for each in prompts])

    def _rooms(self, seconds: Sequence[list[int]], candidates: Sequence[str]) -> list[int]:
        """Tokens of a prompt that fit beside each candidate; none where there is no limit."""
        limit = self.max_tokens
        if limit is None:
            return []
        return [self._room(ids, candidate, limit) for ids, candidate in zip(seconds, candidates, strict=True)]

    def _room(self, ids: list[int], candidate: str, limit: int) -> int:
        """Tokens of a prompt that fit beside a candidate."""
        room = limit - self._frame.size - len(ids)
        if room < 1:
            raise UserError(
                "backbone {name!r}: the candidate {candidate!r} has {n_ids} tokens, the model reads "
                "{max_tokens} of a text and a candidate together.",
                "Give shorter labels or descriptions, or take a backbone that reads more.",
                name=self.name,
                candidate=candidate[:40],
                n_ids=len(ids),
                max_tokens=limit,
            )
        return room


def _place(part: list[int], whole: list[int], start: int) -> int:
    """Where `part` stands in `whole`, from `start` on."""
    return next(i for i in range(start, len(whole)) if whole[i : i + len(part)] == part)
