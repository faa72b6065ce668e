"""Data sets for language modeling: blocks of tokens (causal), masked tokens, and pairs for next-sentence prediction.

Each is a map-style data set for torch. The random choices for a row depend on (seed, epoch, row) only, so that a resumed run, or
one on several devices, makes the same choices. For held-out texts they are the same in every epoch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rung.backbones.common.batching import pad_rows, plain_token_ids, special_tokens_around
from rung.backbones.common.control_tokens import ControlTokens
from rung.backbones.common.cross_encoder import PairFormat
from rung.errors import UserError
from rung.messages import message
from rung.text_encoding import encodable

Indices = npt.NDArray[np.int64]
Row = dict[str, Any]

IGNORED_LABEL = -100  # the label of a position that gives no loss, as in PyTorch
MASKED_SHARE = 0.15  # of the tokens are to be predicted
_KEPT_SHARE, _RANDOM_SHARE = 0.1, 0.1  # of these stay, or become a random token; the others become the mask token
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


def passages(texts: Iterable[str | None]) -> list[str]:
    r"""Join consecutive lines into passages. A blank or missing line ends a passage.

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


def split_sentences(text: str) -> list[str]:
    r"""Split a text at the ends of sentences and of lines.

    >>> split_sentences("Go on. Why?\nNo")
    ['Go on.', 'Why?', 'No']
    """
    return [sentence for sentence in map(str.strip, _SENTENCE.split(text)) if sentence]


class TokenizedText(NamedTuple):
    """The tokens (t,) of a text, and the index of the word that each belongs to."""

    ids: Indices
    words: Indices

    def span(self, start: int, end: int) -> TokenizedText:
        """The tokens from `start` up to, but not including, `end`."""
        return TokenizedText(self.ids[start:end], self.words[start:end])


def concatenate(pieces: Sequence[TokenizedText]) -> TokenizedText:
    """One text after the other. Their words get distinct indices."""
    starts = np.cumsum([0, *(1 + piece.words.max(initial=0) for piece in pieces)])
    words = [piece.words + start for piece, start in zip(pieces, starts, strict=False)]
    return TokenizedText(np.concatenate([piece.ids for piece in pieces]), np.concatenate(words))


def tokenize_texts(tokenizer: Any, texts: Sequence[str]) -> list[TokenizedText]:
    """Tokenize texts, with no control token around or in them.

    Raises UserError for a tokenizer that cannot say which word a token belongs to.
    """
    if not tokenizer.is_fast:
        raise UserError(
            "pretrain: this tokenizer does not say which word a token belongs to.", "Start from another model."
        )
    if not texts:
        return []
    said = ControlTokens(tokenizer).as_texts([encodable(text) for text in texts])
    encoded = tokenizer(said, add_special_tokens=False, verbose=False)
    ids = encoded["input_ids"]
    words = [[-1 if word is None else word for word in encoded.word_ids(i)] for i in range(len(texts))]
    return [TokenizedText(np.array(a, np.int64), np.array(b, np.int64)) for a, b in zip(ids, words, strict=True)]


class LanguageModelDataset:
    """The base of the data sets. `epoch` is set during training, and stays 0 for held-out texts."""

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

    def _generator(self, row: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, row, self.held_out])

    def _mask_tokens(self, piece: TokenizedText, rng: np.random.Generator) -> tuple[Indices, Indices]:
        """Tokens of which 15 % are masked, in whole words, and the label of each position."""
        ids, labels = piece.ids.copy(), np.full(len(piece.ids), IGNORED_LABEL)
        places = whole_word_mask(piece.words, rng)
        labels[places] = piece.ids[places]
        draws = rng.random(len(places))
        if self.held_out:
            draws[:] = 1.0  # for the evaluation every chosen token becomes the mask token
        ids[places[draws >= _KEPT_SHARE + _RANDOM_SHARE]] = self.tokenizer.mask_token_id
        random_places = places[draws < _RANDOM_SHARE]
        ids[random_places] = rng.integers(0, len(self.tokenizer), len(random_places))
        return ids, labels


def whole_word_mask(words: Indices, rng: np.random.Generator) -> Indices:
    """The positions of randomly chosen whole words, until they hold at least 15 % of the tokens.

    Source: Devlin et al. 2019, "BERT", section 3.1, task 1, with the whole-word masking that its authors released later.
    """
    target = max(1, round(MASKED_SHARE * len(words)))
    each, counts = np.unique(words, return_counts=True)
    order = rng.permutation(len(each))
    enough = int(np.searchsorted(np.cumsum(counts[order]), target)) + 1
    return np.flatnonzero(np.isin(words, each[order[:enough]]))


class CausalDataset(LanguageModelDataset):
    """For a causal model: all texts in one stream of tokens, separated by the end token, cut into blocks of `max_tokens`."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_tokens: int, **options: Any) -> None:
        super().__init__(tokenizer, max_tokens, **options)
        ends = tokenizer.eos_token_id
        end = [] if ends is None else [ends]
        stream = np.array(
            [*end, *(i for ids in ControlTokens(tokenizer).text_ids(texts) for i in [*ids, *end])], dtype=np.int64
        )
        self.blocks = [stream[at : at + max_tokens] for at in range(0, len(stream) - 1, max_tokens)]

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, row: int) -> Row:
        ids = self.blocks[row]
        return {"input_ids": ids, "labels": ids}


class MaskedDataset(LanguageModelDataset):
    """For a masked model: every text in chunks of at most `max_tokens`, special tokens included, with tokens masked."""

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_tokens: int, **options: Any) -> None:
        super().__init__(tokenizer, max_tokens, **options)
        room = max_tokens - tokenizer.num_special_tokens_to_add(pair=False)
        tokenized = [piece for piece in tokenize_texts(tokenizer, texts) if len(piece.ids)]
        self.chunks = [piece.span(at, at + room) for piece in tokenized for at in range(0, len(piece.ids), room)]

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, row: int) -> Row:
        ids, labels = self._mask_tokens(self.chunks[row], self._generator(row))
        before, after = self._special_tokens_around
        blank = [np.full(len(marks), IGNORED_LABEL) for marks in self._special_tokens_around]
        return {"input_ids": np.array([*before, *ids, *after]), "labels": np.concatenate([blank[0], labels, blank[1]])}

    @cached_property
    def _special_tokens_around(self) -> tuple[list[int], list[int]]:
        mask = self.tokenizer.mask_token
        return special_tokens_around(plain_token_ids(self.tokenizer, [mask])[0], self.tokenizer(mask)["input_ids"])


class NextSentenceDataset(LanguageModelDataset):
    """For a masked model with a next-sentence head: two spans of sentences, masked, and whether the second follows the first.

    In a random half of the pairs the second span comes from another text. An epoch has as many pairs as all tokens fill.
    Source: Devlin et al. 2019, "BERT", section 3.1, task 2.
    """

    def __init__(self, texts: Sequence[str], tokenizer: Any, max_tokens: int, **options: Any) -> None:
        super().__init__(tokenizer, max_tokens, **options)
        split = [tokenize_texts(tokenizer, split_sentences(text)) for text in texts]
        self.texts = [kept for pieces in split if len(kept := [piece for piece in pieces if len(piece.ids)]) > 1]
        if len(self.texts) < 2:
            template = (
                message("pretrain: {texts} held-out texts have two sentences or more; at least 2 are needed.")
                if self.held_out
                else message("pretrain: {texts} texts have two sentences or more; at least 2 are needed.")
            )
            raise UserError(
                template,
                'Give longer texts, join lines into passages (join=True), or train without next sentences:  kind="masked"',
                texts=len(self.texts),
            )
        self.pair_format = PairFormat.of(tokenizer)
        self.max_pair_tokens = max_tokens - self.pair_format.size
        self.starts = [(i, s) for i, pieces in enumerate(self.texts) for s in range(len(pieces) - 1)]

    def __len__(self) -> int:
        return -(-sum(len(piece.ids) for pieces in self.texts for piece in pieces) // self.max_pair_tokens)

    def __getitem__(self, row: int) -> Row:
        rng = self._generator(row)
        first, second, unrelated = self._sentence_pair(rng)
        words = concatenate([first, second])
        ids, labels = self._mask_tokens(words, rng)
        a = len(first.ids)
        size = len(self.pair_format.between)
        marked = [*(IGNORED_LABEL,) * len(self.pair_format.before), *labels[:a], *(IGNORED_LABEL,) * size, *labels[a:]]
        made = {
            "input_ids": np.array(self.pair_format.ids(list(ids[:a]), list(ids[a:]))),
            "labels": np.array(marked + [IGNORED_LABEL] * len(self.pair_format.after)),
            "next_sentence_label": int(unrelated),
        }
        if self.pair_format.token_types is not None:
            made["token_type_ids"] = np.array(self.pair_format.token_type_ids(list(ids[:a]), list(ids[a:])))
        return made

    def _sentence_pair(self, rng: np.random.Generator) -> tuple[TokenizedText, TokenizedText, bool]:
        """Two spans of sentences, and whether the second comes from another text."""
        text, start = self.starts[rng.integers(len(self.starts))]
        half = self.max_pair_tokens // 2
        lengths = np.cumsum([len(piece.ids) for piece in self.texts[text][start:-1]])
        end = start + min(int(np.searchsorted(lengths, half)) + 1, len(lengths))
        first = concatenate(self.texts[text][start:end])
        unrelated = bool(rng.random() < 0.5)
        if unrelated:
            text = (text + 1 + int(rng.integers(len(self.texts) - 1))) % len(self.texts)
            end = int(rng.integers(len(self.texts[text])))
        # cut at its start, because the second span must follow its end
        first = first.span(max(0, len(first.ids) - half), len(first.ids))
        return (
            first,
            concatenate(self.texts[text][end:][:half]).span(0, self.max_pair_tokens - len(first.ids)),
            unrelated,
        )


def padding_collator(tokenizer: Any) -> Any:
    """The Trainer's data collator: rows are padded on the right."""
    fill = {"input_ids": tokenizer.pad_token_id or 0, "labels": IGNORED_LABEL, "token_type_ids": 0}

    def batch(rows: Sequence[Row]) -> dict[str, Any]:
        import torch

        made = {name: pad_rows([row[name] for row in rows], fill[name]) for name in rows[0] if name in fill}
        made["attention_mask"] = pad_rows([[1] * len(row["input_ids"]) for row in rows], 0)
        if "next_sentence_label" in rows[0]:
            made["next_sentence_label"] = torch.tensor([row["next_sentence_label"] for row in rows])
        return made

    return batch
