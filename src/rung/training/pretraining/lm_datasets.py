"""Texts as the rows that a language model learns from: blocks to go on with, gaps to fill, pairs to tell apart.

Each is a data set as torch takes it. What is drawn at random for a row hangs on (seed, epoch, row) alone, so that a run that
goes on after a kill, or on several devices, draws the same. Those of held-out texts are the same in every epoch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rung.backbones.common.batching import around, bare, padded
from rung.backbones.common.cross_encoder import Frame
from rung.errors import UserError
from rung.text_encoding import encodable

Indices = npt.NDArray[np.int64]
Row = dict[str, Any]

IGNORED = -100  # a place whose token nobody has to tell
SHARE = 0.15  # of tokens that are hidden
_KEPT, _RANDOM = 0.1, 0.1  # of the hidden ones: left as they are, put at random; the others are masked
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


def passages(texts: Iterable[str | None]) -> list[str]:
    r"""Lines joined into passages: a blank or missing one ends a passage.

    >>> passages(["To be,", "or not to be.", "", "Words."])
    ['To be,\nor not to be.', 'Words.']
    """
    found: list[list[str]] = [[]]
    for text in texts:
        if text and text.strip():
            found[-1].append(text)
        elif found[-1]:
            found.append([])
    return ["\n".join(lines) for lines in found if lines]


def sentences(text: str) -> list[str]:
    r"""Where a line ends or a sentence does, a text is cut.

    >>> sentences("Go on. Why?\nNo")
    ['Go on.', 'Why?', 'No']
    """
    return [part for part in map(str.strip, _SENTENCE.split(text)) if part]


class Piece(NamedTuple):
    """Tokens (t,) and the word that each belongs to."""

    ids: Indices
    words: Indices

    def part(self, start: int, end: int) -> Piece:
        """Its tokens from `start` to before `end`."""
        return Piece(self.ids[start:end], self.words[start:end])


def joined(pieces: Sequence[Piece]) -> Piece:
    """One after the other; a word of one is no word of another."""
    starts = np.cumsum([0, *(1 + piece.words.max(initial=0) for piece in pieces)])
    words = [piece.words + start for piece, start in zip(pieces, starts, strict=False)]
    return Piece(np.concatenate([piece.ids for piece in pieces]), np.concatenate(words))


def pieces(tokenizer: Any, texts: Sequence[str]) -> list[Piece]:
    """Texts as tokens, no special ones among them. Raises UserError for a tokenizer that does not know its words."""
    if not tokenizer.is_fast:
        raise UserError("pretrain: this tokenizer does not say which tokens make a word.", "Start from another model.")
    if not texts:
        return []
    how = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    encoded = tokenizer([encodable(text) for text in texts], **how)
    ids = encoded["input_ids"]
    words = [[-1 if word is None else word for word in encoded.word_ids(i)] for i in range(len(texts))]
    return [Piece(np.array(a, np.int64), np.array(b, np.int64)) for a, b in zip(ids, words, strict=True)]


class Rows:
    """Rows of one kind; `epoch` is set as training goes on, and stays 0 for held-out texts."""

    epoch = 0

    def __init__(self, tokenizer: Any, max_tokens: int, *, seed: int, held_out: bool = False) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.seed = seed
        self.held_out = held_out

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, row: int) -> Row:
        raise NotImplementedError

    def _drawing(self, row: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, row, self.held_out])

    def _hidden(self, piece: Piece, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Tokens with 15 % of them hidden, in whole words, and what each place has to tell."""
        ids, told = piece.ids.copy(), np.full(len(piece.ids), IGNORED)
        places = hidden_places(piece.words, rng)
        told[places] = piece.ids[places]
        lot = rng.random(len(places))
        if self.held_out:
            lot[:] = 1.0  # measured is what a gap says
        ids[places[lot >= _KEPT + _RANDOM]] = self.tokenizer.mask_token_id
        drawn = places[lot < _RANDOM]
        ids[drawn] = rng.integers(0, len(self.tokenizer), len(drawn))
        return ids, told


def hidden_places(words: Indices, rng: np.random.Generator) -> Indices:
    """Places of whole words, drawn until at least 15 % of all tokens are among them.

    Source: Devlin et al. 2019, "BERT", section 3.1, task 1, with the whole-word masks that its authors released later.
    """
    wanted = max(1, round(SHARE * len(words)))
    each, counts = np.unique(words, return_counts=True)
    order = rng.permutation(len(each))
    enough = int(np.searchsorted(np.cumsum(counts[order]), wanted)) + 1
    return np.flatnonzero(np.isin(words, each[order[:enough]]))


class Blocks(Rows):
    """For a causal model: all texts in one row of tokens, an end between them, cut into blocks of `max_tokens`."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_tokens: int, **how: Any) -> None:
        super().__init__(tokenizer, max_tokens, **how)
        ends = tokenizer.eos_token_id
        end = [] if ends is None else [ends]
        flow = np.array([*end, *(i for ids in bare(tokenizer, texts) for i in [*ids, *end])], dtype=np.int64)
        self.blocks = [flow[at : at + max_tokens] for at in range(0, len(flow) - 1, max_tokens)]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, row: int) -> Row:
        ids = self.blocks[row]
        return {"input_ids": ids, "labels": ids}


class Gaps(Rows):
    """For a masked model: every text in rows of at most `max_tokens`, special tokens included, with gaps in it."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_tokens: int, **how: Any) -> None:
        super().__init__(tokenizer, max_tokens, **how)
        room = max_tokens - tokenizer.num_special_tokens_to_add(pair=False)
        whole = [piece for piece in pieces(tokenizer, texts) if len(piece.ids)]
        self.parts = [piece.part(at, at + room) for piece in whole for at in range(0, len(piece.ids), room)]

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, row: int) -> Row:
        ids, told = self._hidden(self.parts[row], self._drawing(row))
        before, after = self._around
        blank = [np.full(len(marks), IGNORED) for marks in self._around]
        return {"input_ids": np.array([*before, *ids, *after]), "labels": np.concatenate([blank[0], told, blank[1]])}

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        mask = self.tokenizer.mask_token
        return around(bare(self.tokenizer, [mask])[0], self.tokenizer(mask)["input_ids"])


class Neighbours(Rows):
    """For a masked model with a second head: two runs of sentences with gaps, and whether the second follows the first.

    Every other pair, at random, has its second run from another text. An epoch is as many pairs as hold the tokens of all texts.
    Source: Devlin et al. 2019, "BERT", section 3.1, task 2.
    """

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_tokens: int, **how: Any) -> None:
        super().__init__(tokenizer, max_tokens, **how)
        split = [pieces(tokenizer, sentences(text)) for text in texts]
        self.texts = [kept for told in split if len(kept := [piece for piece in told if len(piece.ids)]) > 1]
        if len(self.texts) < 2:
            raise UserError(
                "pretrain: {n_texts} held-out texts have two sentences or more."
                if self.held_out
                else "pretrain: {n_texts} texts have two sentences or more.",
                "Give longer texts, join lines into passages (join=True), or leave out the next sentence: "
                'kind="masked"',
                n_texts=len(self.texts),
            )
        self.frame = Frame.of(tokenizer)
        self.room = max_tokens - self.frame.size
        self.starts = [(i, s) for i, told in enumerate(self.texts) for s in range(len(told) - 1)]

    def __len__(self) -> int:
        return -(-sum(len(piece.ids) for told in self.texts for piece in told) // self.room)

    def __getitem__(self, row: int) -> Row:
        rng = self._drawing(row)
        first, second, apart = self._pair(rng)
        words = joined([first, second])
        ids, told = self._hidden(words, rng)
        a = len(first.ids)
        size = len(self.frame.between)
        marked = [*(IGNORED,) * len(self.frame.before), *told[:a], *(IGNORED,) * size, *told[a:]]
        made = {
            "input_ids": np.array(self.frame.ids(list(ids[:a]), list(ids[a:]))),
            "labels": np.array(marked + [IGNORED] * len(self.frame.after)),
            "next_sentence_label": int(apart),
        }
        if self.frame.kinds is not None:
            made["token_type_ids"] = np.array(self.frame.parts(list(ids[:a]), list(ids[a:])))
        return made

    def _pair(self, rng: np.random.Generator) -> tuple[Piece, Piece, bool]:
        """Two runs of sentences, and whether the second is from elsewhere."""
        text, start = self.starts[rng.integers(len(self.starts))]
        half = self.room // 2
        lengths = np.cumsum([len(piece.ids) for piece in self.texts[text][start:-1]])
        end = start + min(int(np.searchsorted(lengths, half)) + 1, len(lengths))
        first = joined(self.texts[text][start:end])
        apart = bool(rng.random() < 0.5)
        if apart:
            text = (text + 1 + int(rng.integers(len(self.texts) - 1))) % len(self.texts)
            end = int(rng.integers(len(self.texts[text])))
        first = first.part(
            max(0, len(first.ids) - half), len(first.ids)
        )  # cut where it begins: what follows must follow
        return first, joined(self.texts[text][end:][:half]).part(0, self.room - len(first.ids)), apart


def collated(tokenizer: Any) -> Any:
    """What the Trainer makes a batch with: rows filled up on the right."""
    fill = {"input_ids": tokenizer.pad_token_id or 0, "labels": IGNORED, "token_type_ids": 0}

    def batch(rows: Sequence[Row]) -> dict[str, Any]:
        import torch

        made = {name: padded([row[name] for row in rows], fill[name]) for name in rows[0] if name in fill}
        made["attention_mask"] = padded([[1] * len(row["input_ids"]) for row in rows], 0)
        if "next_sentence_label" in rows[0]:
            made["next_sentence_label"] = torch.tensor([row["next_sentence_label"] for row in rows])
        return made

    return batch
