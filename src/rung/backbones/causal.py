"""Causal language models (GPT-2, Llama, Qwen, Mistral …): how probable a continuation is, and what they write themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rung.backbones.common.batching import (
    BATCH_TOKENS,
    attention_masks,
    padded_batches,
    plain_token_ids,
    special_tokens_around,
)
from rung.backbones.common.candidate_trie import Trie
from rung.backbones.common.continuation_scoring import ContinuationScorer
from rung.backbones.common.pretrained import Pretrained, architecture
from rung.backbones.common.prompt_tokens import PromptIds, keep_ends, keep_tail
from rung.backbones.common.token_sampling import GumbelSampler, check_sampling, generate_ids
from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.evidence import Array

Told = tuple[list[str], Array]


class CausalBackbone(Pretrained):
    """A model that goes on writing, frozen, in float32 unless asked for another precision.

    Prompts and candidates are tokenized as they are; in the text of a `Prompt`, no control token is read. Only where the
    tokenizer itself begins every text with a special token (Llama's <s>, Gemma's <bos>), which such models cannot do without, is
    it put before a prompt that lacks it.
    """

    abilities = frozenset({"score", "generate"})
    model_class = "AutoModelForCausalLM"
    style = "continuation"
    options = ("precision",)
    tokens_at_once = BATCH_TOKENS  # of one forward pass; it moves the speed and the cache, not the answer

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` were saved from a causal language model."""
        found = architecture(folder)
        other = found.endswith(
            ("WithLMHeadModel", "XLNetLMHeadModel")
        )  # T5, XLM and Flaubert; they do not read left to right
        return found.endswith(("ForCausalLM", "LMHeadModel")) and not other

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate | prompt), summed over the candidate's tokens, (n, k) float32.

        A candidate is tokenized on its own and then appended. An empty prompt begins with the model's own first token
        (<|endoftext|> for GPT-2). Of a prompt that leaves no room for the longest candidate within `max_tokens`, the middle of
        its text is left out; of a plain string the beginning is, since a prompt ends with what asks for the label. The token that
        the tokenizer begins a text with stays. A candidate without tokens gets 0. Raises UserError for a candidate that is longer
        than the model reads, and for a frame that leaves no room.
        """
        said = plain_token_ids(self.tokenizer, candidates)
        trie, room = Trie.of(said), self._room(_longest(said) - 1, "candidates")
        rows, whole = self._rows(prompts, room)
        steps = np.zeros((len(rows), len(trie.tokens)), dtype=np.float32)
        for part in (
            np.flatnonzero(whole),
            np.flatnonzero(~whole),
        ):  # strings that are cut share no beginning with the others
            steps[part] = self.continuation_scorer.node_log_probabilities([rows[i] for i in part], trie)
        return np.asarray(trie.candidate_sums(steps))

    @property
    def continuation_scorer(self) -> ContinuationScorer:
        """The passes of the model, and which way of making them was found right for it."""
        self._continuation_scorer.tokens = self.tokens_at_once
        return self._continuation_scorer

    @cached_property
    def _continuation_scorer(self) -> ContinuationScorer:
        return ContinuationScorer(self.model, limit=self.max_tokens, tokens=self.tokens_at_once)

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each candidate (k,)."""
        return np.array([len(ids) for ids in plain_token_ids(self.tokenizer, candidates)], dtype=np.intp)

    def chat(self, messages: list[dict[str, str]]) -> str | None:
        """The prompt that the model was taught to answer as an assistant, without thinking aloud; None without a chat template.

        `messages` are {"role": "user" | "assistant" | "system", "content": text}, as the model's template takes them. Control
        tokens that a content spells are taken apart: turns begin and end where the template says, and nowhere else.
        """
        if not self.tokenizer.chat_template:
            return None
        template = self.tokenizer.apply_chat_template
        said = [message | {"content": self.as_text(message["content"])} for message in messages]
        return str(template(said, tokenize=False, add_generation_prompt=True, enable_thinking=False))

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:
        """How many prompts are too long for the longest of the candidates to follow them, so that a part is not read."""
        room = self._room(_longest(plain_token_ids(self.tokenizer, candidates)) - 1, "candidates")
        return 0 if room is None else sum(row.size > room for row in self._prompts(prompts))

    def log_probabilities(self, texts: Sequence[str], *, window: int | None = None) -> list[Told]:
        """For each text its tokens, as the tokenizer writes them, and log p(x_t | x_<t) of each, (t,) float32, natural.

        The first token follows what the tokenizer itself begins a text with (Llama's <s>); where it begins with nothing, as GPT-2's
        and Qwen's do, the first token's probability is not known: NaN. What a text spells is text, no control token. A text
        beyond `window` tokens (as many as the model reads) is read in windows that overlap by half: of each but the first only
        the second half counts, so that every token is told once, after at least half a window.
        """
        window = window or self.max_tokens
        if window is not None and window < 2:
            raise UserError(
                "window: got {window}.", "Give how many tokens are read at once, two or more.", window=window
            )
        rows, begun = [[*self._begin, *ids] for ids in self.control.text_ids(texts)], len(self._begin)
        pieces = [(i, start, piece) for i, row in enumerate(rows) for start, piece in _windows(row, window)]
        told = [np.full(len(row), np.nan, dtype=np.float32) for row in rows]
        known = 0 if window is None else window - window // 2 - 1  # of a later window, told by the one before
        for (i, start, piece), found in zip(
            pieces, self.continuation_scorer.token_log_probabilities([p for *_, p in pieces]), strict=True
        ):
            new = known if start else 0
            told[i][start + 1 + new : start + len(piece)] = found[new:]
        names = self.tokenizer.convert_ids_to_tokens
        return [(names(row[begun:]), found[begun:]) for row, found in zip(rows, told, strict=True)]

    def perplexity(self, texts: Sequence[str], *, window: int | None = None) -> npt.NDArray[np.float64]:
        """exp(−mean_t log p(x_t | x_<t)) of each text (n,), over the tokens whose probability is known; NaN where none is.

        By token: models with unlike tokenizers cannot be compared by it.
        """
        told = [found[~np.isnan(found)] for _, found in self.log_probabilities(texts, window=window)]
        return np.array([np.exp(-found.mean(dtype=np.float64)) if len(found) else np.nan for found in told])

    def generate(
        self, prompts: Sequence[str | Prompt], max_tokens: int = 64, seed: int = 0, *, temperature: float | None = None
    ) -> list[str]:
        """What the model writes after each prompt (n), without the prompt, at most `max_tokens` tokens.

        Always the likeliest token; with `temperature` above 0, tokens are drawn at random, from p^(1/temperature), and a
        prompt's random numbers hang on (seed, prompt) alone, whatever else is generated beside it.
        """
        check_sampling(max_tokens, temperature)
        room = self._room(max_tokens, "max_tokens")
        rows, _ = self._rows(prompts, room)
        found = [""] * len(rows)
        encoded = {"input_ids": rows, "attention_mask": attention_masks(rows)}
        at_once = max(1, self.tokens_at_once - max_tokens)
        for places, passed in padded_batches(encoded, at_once, pad=self._pad, device=self.model.device, left=True):
            sampler = GumbelSampler([str(prompts[i]) for i in places], seed, temperature) if temperature else None
            ids = generate_ids(self.model, passed, max_tokens, self._pad, sampler)[:, passed["input_ids"].shape[1] :]
            for i, row in zip(places, ids.tolist(), strict=True):
                found[i] = self.tokenizer.decode(row, skip_special_tokens=True)
        return found

    def _rows(self, prompts: Sequence[str | Prompt], room: int | None) -> tuple[list[list[int]], npt.NDArray[np.bool_]]:
        """Ids of each prompt within `room`, and which of them are whole."""
        found = self._prompts(prompts)
        self.check_frames(found, room)
        kept = [keep_tail if isinstance(prompt, str) else keep_ends for prompt in prompts]
        whole = np.array([room is None or row.size <= room for row in found], dtype=bool)
        return [row.truncated(room, how) for row, how in zip(found, kept, strict=True)], whole

    def _prompts(self, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
        """Ids of each prompt in its parts, at least one; what the tokenizer begins a text with is a part of the frame."""
        return [self._begun(row) for row in self.prompt_ids(prompts)]

    def _begun(self, row: PromptIds) -> PromptIds:
        begin, (before, text, after) = self._begin, row
        if not before and text[: len(begin)] == begin:  # a string that spells it
            text = text[len(begin) :]
        begun = before if before and before[: len(begin)] == begin else [*begin, *before]
        return PromptIds(begun if begun or text or after else [self._first], text, after)

    @cached_property
    def _begin(self) -> list[int]:
        """The special tokens that the tokenizer itself puts before any text."""
        inner, outer = plain_token_ids(self.tokenizer, ["a"])[0], self.tokenizer("a")["input_ids"]
        return special_tokens_around(inner, outer)[0]

    @cached_property
    def _first(self) -> int:
        """What an empty prompt begins with."""
        known = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.config.get("bos_token_id"))
        found = next((each for each in known if each is not None), None)
        if found is None:
            raise UserError(
                "backbone {name!r}: a prompt is empty, and the tokenizer has no token that begins a text.",
                'Give a prompt of a token or more, such as "\\n".',
                name=self.name,
            )
        return int(found)

    @cached_property
    def _pad(self) -> int:
        known = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        return int(next((each for each in known if each is not None), 0))

    def _room(self, after: int, what: str) -> int | None:
        """Tokens of a prompt that fit before `after` more; None without a limit."""
        limit = self.max_tokens
        if limit is not None and limit - after < 1:
            raise UserError(
                "{value}: {after} tokens leave no room for a prompt, since {name!r} reads {limit} in all.",
                "Use fewer, or a model that reads more.",
                value=what,
                after=after,
                name=self.name,
                limit=limit,
            )
        return None if limit is None else limit - after


def _longest(rows: Sequence[list[int]]) -> int:
    """Tokens of the longest row, or 1 where there is none."""
    return max(map(len, rows), default=1)


def _windows(row: list[int], size: int | None) -> Iterator[tuple[int, list[int]]]:
    """Where each window of a row starts, and its tokens; they overlap by half, and the last one ends where the row does.

    >>> list(_windows([1, 2, 3, 4, 5, 6, 7], 4))
    [(0, [1, 2, 3, 4]), (2, [3, 4, 5, 6]), (4, [5, 6, 7])]
    """
    if not row:
        return
    start = 0
    yield start, row[:size]
    while size is not None and start + size < len(row):
        start += size // 2
        yield start, row[start : start + size]


BACKBONE = CausalBackbone
