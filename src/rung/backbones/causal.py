"""Causal language models (GPT-2, Llama, Qwen, Mistral …): the probability of a continuation, and text generation."""

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

TokenLogProbabilities = tuple[list[str], Array]


class CausalBackbone(Pretrained):
    """A model that continues texts, frozen, in float32 unless another precision is requested.

    Prompts and candidates are tokenized as they are; in the text of a `Prompt`, no control token is read. Where the tokenizer
    itself puts a special token before every text (Llama's <s>, Gemma's <bos>), which such models depend on, it is put before
    each prompt that lacks it.
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
        )  # T5, XLM and Flaubert do not read left to right
        return found.endswith(("ForCausalLM", "LMHeadModel")) and not other

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate | prompt), summed over the candidate's tokens, (n, k) float32.

        A candidate is tokenized on its own and then appended. In place of an empty prompt stands the model's own first token
        (<|endoftext|> for GPT-2). Where a prompt and the longest candidate exceed `max_tokens`, the middle of the prompt's
        text is left out; a plain string loses its beginning, since its end asks for the label. The token that the tokenizer
        puts before a text stays. A candidate without tokens gets 0. Raises UserError for a candidate that is longer than the
        model reads, and for a frame that leaves no room.
        """
        candidate_ids = plain_token_ids(self.tokenizer, candidates)
        trie, room = Trie.of(candidate_ids), self._room(_longest(candidate_ids) - 1, "candidates")
        rows, uncut = self._rows(prompts, room)
        log_p = np.zeros((len(rows), len(trie.tokens)), dtype=np.float32)
        for part in (
            np.flatnonzero(uncut),
            np.flatnonzero(~uncut),
        ):  # strings that lost their beginning share no prefix with the others
            log_p[part] = self.continuation_scorer.node_log_probabilities([rows[i] for i in part], trie)
        return np.asarray(trie.candidate_sums(log_p))

    @property
    def continuation_scorer(self) -> ContinuationScorer:
        """Runs the model's forward passes, and keeps which method of scoring is right for it."""
        self._continuation_scorer.tokens = self.tokens_at_once
        return self._continuation_scorer

    @cached_property
    def _continuation_scorer(self) -> ContinuationScorer:
        return ContinuationScorer(self.model, limit=self.max_tokens, tokens=self.tokens_at_once)

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """The number of tokens of each candidate (k,)."""
        return np.array([len(ids) for ids in plain_token_ids(self.tokenizer, candidates)], dtype=np.intp)

    def chat(self, messages: list[dict[str, str]]) -> str | None:
        """The prompt for an assistant's answer in the model's own chat template, without a thinking phase; None without a template.

        `messages` are {"role": "user" | "assistant" | "system", "content": text}, as the template takes them. Control tokens in a
        content are broken up, so that turns begin and end only where the template says.
        """
        if not self.tokenizer.chat_template:
            return None
        template = self.tokenizer.apply_chat_template
        escaped = [message | {"content": self.as_text(message["content"])} for message in messages]
        return str(template(escaped, tokenize=False, add_generation_prompt=True, enable_thinking=False))

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:
        """How many prompts are too long to be followed by the longest candidate, so that a part is not read."""
        room = self._room(_longest(plain_token_ids(self.tokenizer, candidates)) - 1, "candidates")
        return 0 if room is None else sum(row.size > room for row in self._prompts(prompts))

    def log_probabilities(self, texts: Sequence[str], *, window: int | None = None) -> list[TokenLogProbabilities]:
        """The tokens of each text, as the tokenizer writes them, and log p(x_t | x_<t) of each, (t,) float32, natural.

        The first token follows what the tokenizer puts before a text (Llama's <s>). Where it puts nothing, as for GPT-2 and
        Qwen, the first token's probability is not known: NaN. Control tokens in a text are read as plain text. A text of more
        than `window` tokens (default: as many as the model reads) is read in windows that overlap by half. From each window
        after the first only the second half is used, so that every token is scored once, after at least half a window.
        """
        window = window or self.max_tokens
        if window is not None and window < 2:
            raise UserError("window: got {window}.", "Give how many tokens one window has, 2 or more.", window=window)
        rows, begun = [[*self._begin_ids, *ids] for ids in self.control.text_ids(texts)], len(self._begin_ids)
        pieces = [(i, start, piece) for i, row in enumerate(rows) for start, piece in _windows(row, window)]
        log_p = [np.full(len(row), np.nan, dtype=np.float32) for row in rows]
        known = (
            0 if window is None else window - window // 2 - 1
        )  # of a later window: the window before already gave them
        for (i, start, piece), found in zip(
            pieces, self.continuation_scorer.token_log_probabilities([p for *_, p in pieces]), strict=True
        ):
            new = known if start else 0
            log_p[i][start + 1 + new : start + len(piece)] = found[new:]
        to_tokens = self.tokenizer.convert_ids_to_tokens
        return [(to_tokens(row[begun:]), found[begun:]) for row, found in zip(rows, log_p, strict=True)]

    def perplexity(self, texts: Sequence[str], *, window: int | None = None) -> npt.NDArray[np.float64]:
        """exp(−mean_t log p(x_t | x_<t)) of each text (n,), over the tokens whose probability is known; NaN where none is.

        It is per token, so models with different tokenizers cannot be compared by it.
        """
        log_p = [found[~np.isnan(found)] for _, found in self.log_probabilities(texts, window=window)]
        return np.array([np.exp(-found.mean(dtype=np.float64)) if len(found) else np.nan for found in log_p])

    def generate(
        self, prompts: Sequence[str | Prompt], max_tokens: int = 64, seed: int = 0, *, temperature: float | None = None
    ) -> list[str]:
        """The text that the model generates after each prompt (n), without the prompt, at most `max_tokens` tokens.

        Decoding is greedy. With `temperature` above 0, tokens are sampled from p^(1/temperature), and a prompt's random
        numbers depend on (seed, prompt) only, not on the rest of the batch.
        """
        check_sampling(max_tokens, temperature)
        room = self._room(max_tokens, "max_tokens")
        rows, _ = self._rows(prompts, room)
        found = [""] * len(rows)
        encoded = {"input_ids": rows, "attention_mask": attention_masks(rows)}
        at_once = max(1, self.tokens_at_once - max_tokens)
        for places, passed in padded_batches(encoded, at_once, pad=self._pad_id, device=self.model.device, left=True):
            sampler = GumbelSampler([str(prompts[i]) for i in places], seed, temperature) if temperature else None
            ids = generate_ids(self.model, passed, max_tokens, self._pad_id, sampler)[:, passed["input_ids"].shape[1] :]
            for i, row in zip(places, ids.tolist(), strict=True):
                found[i] = self.tokenizer.decode(row, skip_special_tokens=True)
        return found

    def _rows(self, prompts: Sequence[str | Prompt], room: int | None) -> tuple[list[list[int]], npt.NDArray[np.bool_]]:
        """Ids of each prompt within `room`, and which of the prompts are uncut."""
        found = self._prompts(prompts)
        self.check_frames(found, room)
        truncations = [keep_tail if isinstance(prompt, str) else keep_ends for prompt in prompts]
        uncut = np.array([room is None or row.size <= room for row in found], dtype=bool)
        return [row.truncated(room, truncate) for row, truncate in zip(found, truncations, strict=True)], uncut

    def _prompts(self, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
        """Ids of each prompt in three parts, at least one id; what the tokenizer puts before a text is part of the frame."""
        return [self._with_begin_ids(row) for row in self.prompt_ids(prompts)]

    def _with_begin_ids(self, row: PromptIds) -> PromptIds:
        begin, (before, text, after) = self._begin_ids, row
        if not before and text[: len(begin)] == begin:  # a string that contains it already
            text = text[len(begin) :]
        begun = before if before and before[: len(begin)] == begin else [*begin, *before]
        return PromptIds(begun if begun or text or after else [self._empty_prompt_id], text, after)

    @cached_property
    def _begin_ids(self) -> list[int]:
        """The special tokens that the tokenizer puts before any text."""
        inner, outer = plain_token_ids(self.tokenizer, ["a"])[0], self.tokenizer("a")["input_ids"]
        return special_tokens_around(inner, outer)[0]

    @cached_property
    def _empty_prompt_id(self) -> int:
        """The token in place of an empty prompt."""
        known = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.config.get("bos_token_id"))
        found = next((each for each in known if each is not None), None)
        if found is None:
            raise UserError(
                "backbone {name!r}: a prompt is empty, and the tokenizer has no token for the beginning of a text.",
                'Give a prompt of at least one token, such as "\\n".',
                name=self.name,
            )
        return int(found)

    @cached_property
    def _pad_id(self) -> int:
        known = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id)
        return int(next((each for each in known if each is not None), 0))

    def _room(self, after: int, parameter: str) -> int | None:
        """How many tokens of a prompt fit before `after` more; None without a limit."""
        limit = self.max_tokens
        if limit is not None and limit - after < 1:
            raise UserError(
                "{parameter}: {n} tokens leave no room for a prompt, since {name!r} reads {limit} in all.",
                "Use fewer tokens, or a model that reads more.",
                parameter=parameter,
                n=after,
                name=self.name,
                limit=limit,
            )
        return None if limit is None else limit - after


def _longest(rows: Sequence[list[int]]) -> int:
    """The number of tokens of the longest row, or 1 where there are no rows."""
    return max(map(len, rows), default=1)


def _windows(row: list[int], size: int | None) -> Iterator[tuple[int, list[int]]]:
    """Where each window of a row starts, and its tokens; windows overlap by half, and the last one ends where the row ends.

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
