"""Cross-encoders: models that read a pair of texts together, many pairs in one forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rung.backbones.common.batching import BATCH_TOKENS, attention_masks, padded_batches
from rung.backbones.common.pretrained import Pretrained
from rung.backbones.common.prompt_tokens import PromptIds, keep_head
from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.evidence import Array

_PAIRS_IN_MEMORY = 8192


class PairFormat(NamedTuple):
    """The special tokens before, between and after two texts, and the token type (0 or 1) of each token of a pair."""

    before: list[int]
    between: list[int]
    after: list[int]
    token_types: tuple[list[int], int, list[int], int, list[int]] | None  # None: the model is not types

    @classmethod
    def of(cls, tokenizer: Any) -> PairFormat:
        """What `tokenizer` puts around a pair, found with a short one."""
        first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", "b"))
        encoded = tokenizer("a", "b")
        ids = encoded["input_ids"]
        a = _find(first, ids, 0)
        b = _find(second, ids, a + len(first))
        ends = [0, a, a + len(first), b, b + len(second), len(ids)]
        before, _, between, _, after = [ids[i:j] for i, j in pairwise(ends)]
        types = encoded.get("token_type_ids")
        return cls(
            before,
            between,
            after,
            (types[:a], types[a], types[ends[2] : b], types[b], types[ends[4] :]) if types else None,
        )

    @property
    def size(self) -> int:
        """How many special tokens there are."""
        return len(self.before) + len(self.between) + len(self.after)

    def ids(self, first: list[int], second: list[int]) -> list[int]:
        """The ids of a pair with its special tokens."""
        return [*self.before, *first, *self.between, *second, *self.after]

    def token_type_ids(self, first: list[int], second: list[int]) -> list[int]:
        """The token type (0 or 1) of each of these tokens."""
        assert self.token_types is not None
        before, a, between, b, after = self.token_types
        return [*before, *[a] * len(first), *between, *[b] * len(second), *after]


class CrossEncoder(Pretrained):
    """A model that reads a text and a statement together and scores how well they fit.

    Each pair takes a forward pass of its own, so n texts and k candidates cost n · k passes; `among` limits them to some pairs.
    """

    abilities = frozenset({"score"})
    style: str
    pairwise = True
    options: tuple[str, ...] = ("precision",)
    tokens_at_once = BATCH_TOKENS  # of one forward pass; it changes speed and memory, not the answer

    def score(
        self, prompts: Sequence[str | Prompt], candidates: Sequence[str], *, among: npt.NDArray[np.bool_] | None = None
    ) -> Array:
        """Natural log p(the candidate is true of the prompt), (n, k) float32; pairs are independent, so rows do not sum to 1.

        `among` (n, k): only these pairs are computed, the others are NaN. Prompts and candidates are plain texts, in which no
        control token is read (except in the frame of a `Prompt`). Where a pair exceeds `max_tokens`, the end of the text is cut,
        never the candidate or the frame. Raises UserError for a candidate or a frame that leaves no room for a text.
        """
        found = np.full((len(prompts), len(candidates)), np.nan, dtype=np.float32)
        firsts, seconds = self._prompt_tokens(prompts), self.control.text_ids(candidates)
        rooms = self._prompt_rooms(seconds, candidates)
        self.check_frames(firsts, min(rooms, default=None))
        wanted = np.argwhere(np.ones(found.shape, dtype=bool) if among is None else among).tolist()
        rows = iter(wanted)
        while part := list(islice(rows, _PAIRS_IN_MEMORY)):
            pairs = [(firsts[i].truncated(rooms[j] if rooms else None, keep_head), seconds[j]) for i, j in part]
            for places, log_p in self._log_p(pairs):
                i, j = np.array([part[place] for place in places]).T
                found[i, j] = log_p
        return found

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:
        """How many prompts do not fit beside the longest candidate, so that their end is not read."""
        limit = self.max_tokens
        if limit is None:
            return 0
        alone = limit - int(self.tokenizer.num_special_tokens_to_add(pair=False))
        room = min(self._prompt_rooms(self.control.text_ids(candidates), candidates), default=alone)
        return sum(row.size > room for row in self._prompt_tokens(prompts))

    def pair_log_p(self, logits: Any) -> Any:
        """log p (b,) that the texts of each pair fit, from the logits (b, c) of the classes."""
        raise NotImplementedError

    def _log_p(self, pairs: list[tuple[list[int], list[int]]]) -> Iterator[tuple[list[int], Array]]:
        import torch

        ids = [self._pair_format.ids(*pair) for pair in pairs]
        encoded = {"input_ids": ids, "attention_mask": attention_masks(ids)}
        if self._pair_format.token_types is not None:
            encoded["token_type_ids"] = [self._pair_format.token_type_ids(*pair) for pair in pairs]
        pad = self.tokenizer.pad_token_id
        with torch.inference_mode():
            for places, batch in padded_batches(encoded, self.tokens_at_once, pad=pad, device=self.model.device):
                yield places, self.pair_log_p(self.model(**batch).logits.float()).cpu().numpy()

    @cached_property
    def _pair_format(self) -> PairFormat:
        return PairFormat.of(self.tokenizer)

    def _prompt_tokens(self, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
        """Token ids of the first text of each pair; a string is a text without a frame."""
        return self.prompt_ids([Prompt("", each) if isinstance(each, str) else each for each in prompts])

    def _prompt_rooms(self, seconds: Sequence[list[int]], candidates: Sequence[str]) -> list[int]:
        """How many tokens of a prompt fit beside each candidate; an empty list where there is no limit."""
        limit = self.max_tokens
        if limit is None:
            return []
        return [self._room(ids, candidate, limit) for ids, candidate in zip(seconds, candidates, strict=True)]

    def _room(self, ids: list[int], candidate: str, limit: int) -> int:
        """How many tokens of a prompt fit beside one candidate."""
        room = limit - self._pair_format.size - len(ids)
        if room < 1:
            raise UserError(
                "backbone {name!r}: the candidate {candidate!r} has {n} tokens, but the model reads "
                "{max_tokens} of a text and a candidate together.",
                "Give shorter labels or descriptions, or take a backbone that reads more.",
                name=self.name,
                candidate=candidate[:40],
                n=len(ids),
                max_tokens=limit,
            )
        return room


def _find(part: list[int], whole: list[int], start: int) -> int:
    """Where `part` begins in `whole`, searched from `start`."""
    return next(i for i in range(start, len(whole)) if whole[i : i + len(part)] == part)
