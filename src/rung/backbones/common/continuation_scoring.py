"""The probability of candidates after prompts under a causal model; what prompts or candidates share is computed once.

Three methods give the same numbers. Which of them a model supports is tested on random tokens (`ContinuationScorer.method`):

tree        The prefix that all prompts share is run once, the rest of each prompt once, then the trie of candidates in one pass:
            an attention mask lets each node see its prompt and its ancestors only, and position ids give its depth.
expansion   As before, but the keys and values of a prompt are repeated, one row for each branch of the trie. This suits models
            that compute positions and masks themselves (ALiBi, a sliding window), and takes more memory.
pairs       Every branch is run after every prompt, from the beginning: for models whose cache cannot be copied.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rung.backbones.common.batching import length_batches, max_logit_tokens, pad_rows
from rung.backbones.common.candidate_trie import ROOT, Trie, common_prefix_length
from rung.backbones.common.precision import agree
from rung.backbones.common.pretrained import UNSUPPORTED_CALL, cache_argument
from rung.evidence import Array

_MIN_CHECK_TOKENS = 32  # of the shortest test of a method


class ContinuationScorer:
    """Scores continuations with one causal `model` that reads `limit` tokens in all; a pass holds at most `tokens` tokens."""

    def __init__(self, model: Any, *, limit: int | None, tokens: int) -> None:
        self.model = model
        self.limit = limit
        self.tokens = tokens
        self.methods: dict[int, str] = {}  # the method that passed the test, by the number of tokens in the test

    def node_log_probabilities(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        """log p of each trie node after its ancestors and each prompt, (n, m) float32; a prompt has at least one token."""
        if not prompts or not len(trie.tokens):
            return np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        deepest = int(trie.depths[trie.inner].max(initial=-1)) + 1
        return self._score_with(self.method(max(map(len, prompts)) + deepest), prompts, trie)

    def method(self, length: int) -> str:
        """The fastest method that is right for `length` tokens; tests are few, since they use the next power of two."""
        size = max(_MIN_CHECK_TOKENS, 1 << (length - 1).bit_length())
        size = size if self.limit is None else min(size, self.limit)
        if size not in self.methods:
            methods = ("tree", "expansion") if size >= _MIN_CHECK_TOKENS // 2 else ()
            self.methods[size] = next((method for method in methods if self._matches_plain_pass(method, size)), "pairs")
        return self.methods[size]

    def token_log_probabilities(self, rows: Sequence[list[int]]) -> list[Array]:
        """log p of each token but the first, given those before it: (t − 1,) for each row of t tokens."""
        found: list[Array] = [np.zeros(0, dtype=np.float32)] * len(rows)
        long = [i for i, row in enumerate(rows) if len(row) > 1]
        for part in length_batches([len(rows[i]) for i in long], self._max_logit_tokens):
            places = [long[i] for i in part]
            ids = self._tensor(pad_rows([rows[i] for i in places], 0))
            logits, _ = self._run(ids, keep=ids.shape[1])
            log_p = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].cpu().numpy()
            for i, row in zip(places, log_p, strict=True):
                found[i] = row[: len(rows[i]) - 1]
        return found

    @property
    def vocabulary(self) -> int:
        """How many tokens the vocabulary has."""
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    @property
    def _max_logit_tokens(self) -> int:
        """How many tokens of one pass may have their logits in memory."""
        return max_logit_tokens(self.tokens, self.vocabulary)

    def _score_with(self, method: str, prompts: Sequence[list[int]], trie: Trie) -> Array:
        import torch

        with torch.inference_mode():
            return {"tree": self._by_tree, "expansion": self._by_expansion, "pairs": self._by_pairs}[method](
                prompts, trie
            )

    def _by_tree(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        begin = common_prefix_length(prompts)
        cache = self._prefix_cache(prompts[0][:begin])
        parts = list(trie.chunks(self._max_logit_tokens))
        widest = max(map(len, parts), default=1)
        costs = [max(len(prompt) + widest, -(-widest * self.tokens // self._max_logit_tokens)) for prompt in prompts]
        found = np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        for places in length_batches(costs, self.tokens):
            found[places] = self._score_tree_batch(cache, begin, [prompts[i][begin:] for i in places], trie, parts)
        return found

    def _score_tree_batch(self, cache: Any, begin: int, rest: list[list[int]], trie: Trie, parts: list[Any]) -> Array:
        """log p of the nodes (b, m) after prompts that continue the `begin` tokens in `cache` with `rest` (b rows)."""
        import torch

        ids = self._tensor(pad_rows(rest, 0, left=True))
        rows, width = ids.shape
        lengths = self._tensor([[len(each)] for each in rest])
        columns = torch.arange(width, device=ids.device)
        read = columns >= width - lengths  # (b, width): not padding
        before = torch.cat([read.new_ones(rows, begin), read], dim=1)[:, None]
        itself = torch.eye(width, dtype=torch.bool, device=ids.device)  # so that padding attends to something
        inside = itself | (columns[:, None] >= columns) & read[:, None]
        visible = torch.cat([before[..., :begin].expand(rows, width, begin), inside], dim=2)
        positions = begin + (columns + lengths - width).clamp(min=0)
        logits, cache = self._run(ids, keep=1, cache=_fork_cache(cache, rows), visible=visible, positions=positions)
        found = np.zeros((rows, len(trie.tokens)), dtype=np.float32)
        self._store(found, logits, trie, [ROOT])
        for part in parts:
            ids = self._tensor(trie.tokens[part]).expand(rows, -1)
            inside = self._tensor(trie.visibility(part)).expand(rows, -1, -1)
            visible = torch.cat([before.expand(rows, len(part), begin + width), inside], dim=2)
            positions = begin + lengths + self._tensor(trie.depths[part])
            logits, _ = self._run(
                ids, keep=len(part), cache=_fork_cache(cache, rows), visible=visible, positions=positions
            )
            self._store(found, logits, trie, part.tolist())
        return found

    def _by_expansion(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        begin = common_prefix_length(prompts)
        beginning = self._prefix_cache(prompts[0][:begin])
        found = np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        for row, prompt in zip(found, prompts, strict=True):
            logits, cache = self._run(
                self._tensor([prompt[begin:]]), keep=1, cache=_repeat_cache(beginning, 1), past=begin
            )
            self._store(row[None], logits, trie, [ROOT])
            for places in length_batches(
                [len(prompt) + len(branch) for branch in trie.branches], self._max_logit_tokens
            ):
                branches = [trie.branches[i] for i in places]
                ids = self._tensor(pad_rows([trie.tokens[each].tolist() for each in branches], 0))
                logits, _ = self._run(
                    ids, keep=ids.shape[1], cache=_repeat_cache(cache, len(branches)), past=len(prompt)
                )
                for row_logits, branch in zip(logits, branches, strict=True):
                    self._store(row[None], row_logits[None], trie, branch)
        return found

    def _by_pairs(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        found = np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        pairs = [(i, branch) for i in range(len(prompts)) for branch in trie.branches or [[]]]
        rows = [[*prompts[i], *trie.tokens[branch].tolist()] for i, branch in pairs]
        for places in length_batches(list(map(len, rows)), self._max_logit_tokens):
            ids = self._tensor(pad_rows([rows[place] for place in places], 0))
            logits, _ = self._run(ids, keep=ids.shape[1])
            for row_logits, place in zip(logits, places, strict=True):
                i, branch = pairs[place]
                self._store(found[i][None], row_logits[None, len(prompts[i]) - 1 :], trie, [ROOT, *branch])
        return found

    def _prefix_cache(self, ids: list[int]) -> Any:
        """The model's cache after the prefix that all prompts share; None for an empty prefix."""
        return self._run(self._tensor([ids]), keep=1)[1] if ids else None

    def _store(self, found: Array, logits: Any, trie: Trie, part: Sequence[int]) -> None:
        """Write log p of the children of the nodes in `part` into `found` (b, m), from the `logits` (b, ≥ p, v) at these nodes."""
        nodes, parents = trie.children_of(part)
        at = self._tensor(parents)
        log_p = logits[:, at, self._tensor(trie.tokens[nodes])] - logits.logsumexp(-1)[:, at]
        found[:, nodes] = log_p.cpu().numpy()

    def _run(
        self, ids: Any, *, keep: int, cache: Any = None, past: int = 0, visible: Any = None, positions: Any = None
    ) -> tuple[Any, Any]:
        """Logits (b, keep, v) at the last `keep` of `ids` (b, t), and the model's cache of keys and values.

        `visible` (b, t, past + t) is the attention mask; without it each token attends to all before it, of which `past` are in
        `cache`.
        """
        import torch

        mask = ids.new_ones(len(ids), past + ids.shape[1])
        if visible is not None:
            hidden = torch.finfo(self.model.dtype).min
            mask = torch.zeros(visible.shape, dtype=self.model.dtype, device=ids.device).masked_fill(~visible, hidden)[
                :, None
            ]
        passed = {"attention_mask": mask, self._cache_name: cache, "position_ids": positions}
        passed |= {"logits_to_keep": keep, "use_cache": True}
        supported = {name: value for name, value in passed.items() if name in self._parameters and value is not None}
        with torch.inference_mode():
            output = self.model(input_ids=ids, **supported)
        return output.logits[:, -keep:].float(), getattr(output, self._cache_name, None)

    @cached_property
    def _cache_name(self) -> str:
        return cache_argument(self.model)

    @cached_property
    def _parameters(self) -> set[str]:
        return set(inspect.signature(self.model.forward).parameters)

    def _tensor(self, values: Any) -> Any:
        import torch

        return torch.as_tensor(values, device=self.model.device)

    def _matches_plain_pass(self, method: str, size: int) -> bool:
        """Whether a method gives the numbers of one plain forward pass, on `size` random tokens.

        The candidates branch at every depth, so that a model that ignores the mask or the positions is found out. Two prompts of
        different lengths are run together, so that a fault of padding shows. A sliding window shows where it is shorter than
        `size`.
        """
        rng = np.random.default_rng(0)
        ids = rng.integers(0, self.vocabulary, size).tolist()
        prompt, path = ids[:-8], ids[-8:-5]
        longer = [*ids[:-12], *rng.integers(0, self.vocabulary, 8).tolist()]
        trie = Trie.of([path, *_branching_candidates(rng, self.vocabulary, path)])
        expected, _ = self._run(self._tensor([ids[:-5]]), keep=len(path) + 1)
        try:
            found = self._score_with(method, [prompt, longer], trie)[:1]
        except UNSUPPORTED_CALL:
            return False
        wanted = np.zeros_like(found)
        nodes = [ROOT, *trie.path(int(trie.ends[0]))]
        self._store(wanted, expected, trie, nodes)
        tested = trie.children_of(nodes)[0]
        return agree(found[:, tested], wanted[:, tested], self.model.dtype)


def _branching_candidates(rng: np.random.Generator, vocabulary: int, path: list[int]) -> list[list[int]]:
    """Random candidates that leave `path` at each of its tokens and continue for two tokens."""
    return [
        [*path[:depth], *rng.integers(0, vocabulary, 2).tolist()] for depth in range(len(path) + 1) for _ in range(12)
    ]


def _fork_cache(cache: Any, rows: int) -> Any:
    """The same keys and values as views for `rows` rows; what is appended later stays in the fork."""
    if cache is None:
        return None
    fork = copy.copy(cache)
    fork.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in fork.layers:
        layer.keys = layer.keys.expand(rows, *layer.keys.shape[1:])
        layer.values = layer.values.expand(rows, *layer.values.shape[1:])
    return fork


def _repeat_cache(cache: Any, rows: int) -> Any:
    """A copy of one row's cache, repeated for `rows` rows: keys and values, or the states of a recurrent layer."""
    import torch

    copied = copy.deepcopy(cache)

    def repeat(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: repeat(each) for name, each in value.items()}
        return value.repeat_interleave(rows, dim=0) if isinstance(value, torch.Tensor) and value.ndim > 1 else value

    for layer in getattr(copied, "layers", ()):
        vars(layer).update(repeat(vars(layer)))
    return copied
