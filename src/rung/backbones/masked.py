"""Masked language models (BERT, RoBERTa, DeBERTa, XLM-R …): the probability of a word at a masked position of a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from rung.backbones.common.batching import (
    BATCH_TOKENS,
    attention_masks,
    max_logit_tokens,
    padded_batches,
    plain_token_ids,
    special_tokens_around,
)
from rung.backbones.common.cross_encoder import CrossEncoder
from rung.backbones.common.pretrained import Pretrained, architecture, weight_names
from rung.backbones.common.prompt_tokens import keep_head, keep_tail
from rung.backbones.next_sentence import HEAD, NextSentenceBackbone
from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.evidence import Array
from rung.text_encoding import encodable

SLOT = "{}"
_ROWS = 4096  # in memory at once: a long text gives as many rows as it has tokens


class _Cloze(NamedTuple):
    """A prompt split at its slot, with the space that belongs to the candidate."""

    before: str | Prompt  # a `Prompt` where the person's text is before the slot
    space: str  # "" or " "
    after: str | Prompt  # a `Prompt` where the person's text is after the slot

    def masked(self, masks: str) -> str | Prompt:
        """The prompt with `masks` in its slot."""
        before, _, after = self
        if isinstance(before, Prompt):
            return Prompt(before.before, before.text, f"{before.after}{masks}{after}")
        return (
            Prompt(f"{before}{masks}{after.before}", after.text, after.after)
            if isinstance(after, Prompt)
            else (f"{before}{masks}{after}")
        )


class _MaskedRow(NamedTuple):
    """Token ids, the positions to mask, and the t positions at which log p of the `wanted` tokens (c, t) is read."""

    ids: list[int]
    masks: list[int]
    at: list[int]
    wanted: list[list[int]]

    def masked_with(self, mask: int) -> list[int]:
        hidden = set(self.masks)
        return [mask if i in hidden else each for i, each in enumerate(self.ids)]


class MaskedBackbone(Pretrained):
    """A model that was trained to fill gaps, frozen, in float32.

    A prompt is a sentence with the slot `{}` in place of the candidate; without a slot the candidate follows the prompt. The
    slot of a `Prompt` is in its frame, and braces in its text are plain characters. The model's own special tokens (BERT's
    [CLS] and [SEP]) surround the prompt, as in its training; nothing else is added.
    """

    abilities = frozenset({"score"})
    model_class = "AutoModelForMaskedLM"
    style = "cloze"
    options = ("head", "precision")
    tokens_at_once = BATCH_TOKENS  # of one forward pass; it changes speed and memory, not the answer

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` fill gaps; an option selects the next-sentence head of those that have it too."""
        found = architecture(folder)
        return found.endswith("ForMaskedLM") or found == "BertForPreTraining"

    def with_options(self, given: Mapping[str, str]) -> CrossEncoder | Self:
        """The backbone for the chosen `head`: "cloze" is this one, "next-sentence" the second head of BERT's original weights."""
        head = given.get("head", "cloze")
        if head not in ("cloze", HEAD):
            raise UserError(
                "backbone {name!r}: head must be cloze or {other}, got {head!r}.",
                "Type  {name}?head={other}",
                name=self.name,
                other=HEAD,
                head=head,
            )
        found = self.with_precision(given)
        if head == "cloze":
            return found
        if not any(key.endswith("seq_relationship.weight") for key in weight_names(self.folder)):
            raise UserError(
                "backbone {name!r}: its weights have no head for next-sentence prediction.",
                "Use one of the original BERT models, such as  hf:google-bert/bert-base-uncased?head=next-sentence",
                name=self.name,
            )
        following = NextSentenceBackbone(self.folder, found.name, self.entry)
        following.precision = found.precision
        return following

    @property
    def mask(self) -> str:
        """The mask token as text, such as "[MASK]"."""
        text = self.tokenizer.mask_token
        if text is None:
            raise UserError(
                "backbone {name!r}: its tokenizer has no mask token, so the model cannot fill gaps.",
                'Name it in {folder}, for example  "mask_token": "[MASK]"',
                name=self.name,
                folder=self.folder / "tokenizer_config.json",
            )
        return str(text)

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate in the slot of the prompt), (n, k) float32.

        A candidate of t tokens takes the place of t masks at once:  log p = Σ_i log p(c_i at mask i | the frame with t
        masks). So its tokens are independent given the frame, and each length has a frame of its own. This favors no
        candidate among those of one length, but a word of several tokens gets too little (its second token does not depend on
        the first), and sums over different lengths are not on one scale: divide by `lengths`, or subtract the score without
        the text.

        White space before the slot belongs to the candidate, as it does in byte-level vocabularies (" good" and "good" are
        two tokens there, and the mask stands for the first). Of a prompt beyond `max_tokens` the text is cut at its end that
        is far from the slot; a plain string at both ends. An empty candidate has log p = 0. Raises UserError for a prompt
        with two slots, a frame that leaves no room for a text, or a candidate that is longer than the model reads.
        """
        frames = {prompt: _cloze(prompt) for prompt in prompts}
        tokens = {
            space: plain_token_ids(self.tokenizer, [_with_space(each, space) for each in candidates])
            for space in ("", " ")
        }
        found = {prompt: np.zeros(len(candidates), dtype=np.float32) for prompt in frames}
        places, rows = [], []
        for prompt, frame in frames.items():
            for row, members in self._rows(frame, tokens[frame.space], candidates):
                places.append((prompt, members))
                rows.append(row)
        for (prompt, members), log_p in zip(places, self._log_p(rows), strict=True):
            found[prompt][members] = log_p.sum(axis=1)
        return np.array([found[prompt] for prompt in prompts], dtype=np.float32).reshape(len(prompts), len(candidates))

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """The number of tokens (k,) of each candidate after a space, which is the number of its masks."""
        return np.array(
            [len(ids) for ids in plain_token_ids(self.tokenizer, [_with_space(each, " ") for each in candidates])],
            np.intp,
        )

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:
        """How many prompts are too long with the longest candidate in their slot, so that one end is not read."""
        masks = self.mask * int(self.lengths(candidates).max(initial=0))
        rows = self.prompt_ids([_cloze(prompt).masked(masks) for prompt in prompts])
        limit = self.max_tokens
        return 0 if limit is None else sum(row.size + sum(map(len, self._specials)) > limit for row in rows)

    def pseudo_log_likelihood(
        self, texts: Sequence[str], *, within_word: bool = False
    ) -> list[tuple[list[str], Array]]:
        """The tokens of each text and their natural log p (t,), each given all others; what exceeds `max_tokens` is not read.

        Each token is masked in turn; the sum is the text's pseudo-log-likelihood. With `within_word`, the later tokens of the
        same word are masked too: otherwise "##ir" gives "souven" away, and long rare words score too high.

        Sources: Salazar et al. 2020, "Masked language model scoring", eq. 1; Kauf & Ivanova 2023, "A better way to do masked
        language model scoring" (PLL-word-l2r).
        """
        if not texts:
            return []
        if within_word and not self.tokenizer.is_fast:
            raise UserError(
                "backbone {name!r}: its tokenizer does not say which tokens form a word.",
                "Leave out within_word=True.",
                name=self.name,
            )
        encoded = self._encoded(texts)
        rows = [
            row
            for ids, places, words in encoded
            for row in _rows_masking_each_token(ids, places, words if within_word else None)
        ]
        log_p = iter(self._log_p(rows))
        return [
            (
                self.tokenizer.convert_ids_to_tokens([ids[i] for i in places]),
                np.array([next(log_p)[0, 0] for _ in places], dtype=np.float32),
            )
            for ids, places, _ in encoded
        ]

    def _rows(
        self, frame: _Cloze, tokens: list[list[int]], candidates: Sequence[str]
    ) -> Iterator[tuple[_MaskedRow, list[int]]]:
        """One row for each distinct length of a candidate, with the indices of the candidates of this length."""
        for t in sorted({len(ids) for ids in tokens} - {0}):
            members = [j for j, ids in enumerate(tokens) if len(ids) == t]
            room = self._room(t, candidates[members[0]])
            framed = (
                self._ids_of_string
                if isinstance(frame.before, str) and isinstance(frame.after, str)
                else self._ids_of_parts
            )
            ids, start = framed(frame, t, room)
            masks = list(range(start, start + t))
            yield _MaskedRow(ids, masks, masks, [tokens[j] for j in members]), members

    def _ids_of_parts(self, frame: _Cloze, t: int, room: int | None) -> tuple[list[int], int]:
        """The ids of a prompt with t masks in its slot, special tokens included, and the position of the first mask."""
        (row,) = self.prompt_ids([frame.masked(self.mask * t)])
        self.check_frames([row], room)
        before, after = self._specials
        ids = row.truncated(room, keep_tail if isinstance(frame.before, Prompt) else keep_head)
        frame_half = (
            row.before if isinstance(frame.after, Prompt) else row.after
        )  # the half of the frame that contains the slot
        offset = 0 if frame_half is row.before else len(ids) - len(row.after)
        earlier = _frame_before_slot(frame.before).count(self.mask)  # masks in the frame itself
        mask = self.tokenizer.mask_token_id
        start = [i for i, each in enumerate(frame_half) if each == mask][earlier]
        return [*before, *ids, *after], len(before) + offset + start

    def _ids_of_string(self, frame: _Cloze, t: int, room: int | None) -> tuple[list[int], int]:
        """The same for a plain string, in which mask tokens are read."""
        mask = self.tokenizer.mask_token_id
        (ids,) = plain_token_ids(self.tokenizer, [str(frame.masked(self.mask * t))])
        earlier = str(frame.before).count(self.mask)
        start = [i for i, each in enumerate(ids) if each == mask][earlier]
        before, after = self._specials
        left, right = _tokens_per_side(start, len(ids) - start - t, len(ids) if room is None else room - t)
        return [*before, *ids[start - left : start + t + right], *after], len(before) + left

    def _room(self, t: int, candidate: str) -> int | None:
        """How many tokens of a prompt with t masks are read, without the special tokens; None without a limit."""
        if self.max_tokens is None:
            return None
        room = self.max_tokens - sum(map(len, self._specials))
        if room < t:
            raise UserError(
                "backbone {name!r}: the candidate {candidate!r} has {n} tokens, but the model reads {max_tokens}.",
                "Give shorter candidates, or take a backbone that reads more.",
                name=self.name,
                candidate=candidate[:40],
                n=t,
                max_tokens=self.max_tokens,
            )
        return room

    @cached_property
    def _specials(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text."""
        return special_tokens_around(
            plain_token_ids(self.tokenizer, [self.mask])[0], self.tokenizer(self.mask)["input_ids"]
        )

    def _encoded(self, texts: Sequence[str]) -> list[tuple[list[int], list[int], list[int | None]]]:
        """The ids of each text with special tokens, the positions of the text's own tokens, and the word of each token."""
        limit = {"truncation": True, "max_length": self.max_tokens} if self.max_tokens else {}
        encoded = self.tokenizer([self.as_text(text) for text in texts], return_special_tokens_mask=True, **limit)
        marks = encoded["special_tokens_mask"]
        words = [encoded.word_ids(i) if self.tokenizer.is_fast else [] for i in range(len(texts))]
        places = [[i for i, mark in enumerate(each) if not mark] for each in marks]
        return list(zip(encoded["input_ids"], places, words, strict=True))

    def _log_p(self, rows: list[_MaskedRow]) -> list[Array]:
        """For each row, log p (c, t) of its wanted tokens at its t positions."""
        parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        return [log_p for part in parts for log_p in self._part(part)]

    def _part(self, rows: list[_MaskedRow]) -> list[Array]:
        import torch

        ids = [row.masked_with(self.tokenizer.mask_token_id) for row in rows]
        found: list[Array] = [np.zeros((0, 0), dtype=np.float32)] * len(rows)
        with torch.inference_mode():
            for part, batch in self._batches({"input_ids": ids, "attention_mask": attention_masks(ids)}, logits=True):
                for logits, i in zip(self.model(**batch)[0], part, strict=True):
                    log_p = logits[rows[i].at].float().log_softmax(-1)  # (t, vocabulary)
                    wanted = torch.tensor(rows[i].wanted, device=log_p.device)  # (c, t)
                    found[i] = log_p.gather(1, wanted.T).T.cpu().numpy()
        return found

    def _batches(self, encoded: Any, *, logits: bool = False) -> Iterator[tuple[list[int], dict[str, Any]]]:
        vocabulary = self.model.config.vocab_size if logits else 1
        tokens = max_logit_tokens(self.tokens_at_once, vocabulary)
        return padded_batches(encoded, tokens, pad=self.tokenizer.pad_token_id, device=self.model.device)


def _cloze(prompt: str | Prompt) -> _Cloze:
    """A prompt split at its slot.

    >>> _cloze("It was {}.")
    _Cloze(before='It was', space=' ', after='.')
    >>> _cloze(Prompt("", "a {} b", " It was {}."))
    _Cloze(before=Prompt(before='', text='a {} b', after=' It was'), space=' ', after='.')
    """
    if isinstance(prompt, str):
        before, space, after = _split_at_slot(encodable(prompt))
        return _Cloze(before, space, after)
    if SLOT in prompt.before and SLOT not in prompt.after:
        before, space, after = _split_at_slot(prompt.before)
        return _Cloze(before, space, Prompt(after, prompt.text, prompt.after))
    if SLOT in prompt.before:
        _split_at_slot(f"{prompt.before}{prompt.after}")  # raises, since there are two
    before, space, after = _split_at_slot(prompt.after)
    text = prompt.text if before else prompt.text.rstrip()  # white space before the slot belongs to the candidate
    return _Cloze(Prompt(prompt.before, text, before), space or " " * (text != prompt.text), after)


def _split_at_slot(frame: str) -> tuple[str, str, str]:
    """What is before the slot, the space that belongs to the candidate, and what is after the slot."""
    if frame.count(SLOT) > 1:
        raise UserError(
            "prompt {prompt!r} has {count} slots {slot}, so the place of the candidate is not clear.",
            "Keep one; write the braces of the text itself as  {opening} {closing}",
            prompt=frame[:60],
            count=frame.count(SLOT),
            slot=SLOT,
            opening=SLOT[0],
            closing=SLOT[1],
        )
    before, _, after = frame.partition(SLOT)
    stripped = before.rstrip()
    return stripped, " " if stripped != before else "", after


def _frame_before_slot(before: str | Prompt) -> str:
    """The half of the frame that contains the slot, up to the slot."""
    return before.after if isinstance(before, Prompt) else before


def _with_space(candidate: str, space: str) -> str:
    return candidate if not candidate or candidate[0].isspace() else space + candidate


def _tokens_per_side(left: int, right: int, room: int) -> tuple[int, int]:
    """How many tokens on either side of the slot stay where only `room` may: the longer side is cut first.

    >>> _tokens_per_side(10, 2, 8), _tokens_per_side(10, 10, 7)
    ((6, 2), (4, 3))
    """
    first = min(left, max(room - right, room - room // 2))
    return first, min(right, room - first)


def _rows_masking_each_token(ids: list[int], places: list[int], words: list[int | None] | None) -> Iterator[_MaskedRow]:
    """A row for each position: it is masked, and with `words` also the later positions of the same word."""
    for i in places:
        also = [j for j in places if j > i and words[j] == words[i]] if words else []
        yield _MaskedRow(ids, [i, *also], [i], [[ids[i]]])


BACKBONE = MaskedBackbone
