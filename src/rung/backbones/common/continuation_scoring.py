"""How probable a causal model finds candidates after prompts, all of them in one pass over what they share.

Three ways give the same numbers; which of them a model computes rightly is found out on made-up tokens (`Continuations.way`):

tree        what all prompts begin with is run once, the rest of each prompt once, then the tree of candidates in one go:
            a mask lets each node see its prompt and its ancestors only, and position ids say how deep it stands
expansion   the same, but the keys and values of a prompt are repeated, one row for each branch of the tree: for models that
            find out positions and masks themselves (ALiBi, a sliding window), at the price of memory
pairs       every branch after every prompt, from the beginning: for models whose memory cannot be copied
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from rung.backbones.common.batching import by_length, fitting, padded
from rung.backbones.common.candidate_trie import ROOT, Trie, shared
from rung.backbones.common.precision import tolerance
from rung.backbones.common.pretrained import memory as memory_of
from rung.evidence import Array

_LEAST = 32  # tokens of the smallest check
# What a model raises when it is given a mask, positions or a memory that it does not know.
_REFUSALS = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


class Continuations:
    """What one causal `model` says after prompts; `limit` is how many tokens it reads, `tokens` how many in one pass."""

    def __init__(self, model: Any, *, limit: int | None, tokens: int) -> None:
        self.model = model
        self.limit = limit
        self.tokens = tokens
        self.ways: dict[int, str] = {}  # the way that was found right, by the tokens that it was tried on

    def steps(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        """log p of each node after its ancestors and each prompt, (n, m) float32; a prompt has at least one token."""
        if not prompts or not len(trie.tokens):
            return np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        deepest = int(trie.depths[trie.inner].max(initial=-1)) + 1
        return self._by(self.way(max(map(len, prompts)) + deepest), prompts, trie)

    def way(self, length: int) -> str:
        """The fastest way that is right for `length` tokens; tried at the next power of two, so seldom."""
        size = max(_LEAST, 1 << (length - 1).bit_length())
        size = size if self.limit is None else min(size, self.limit)
        if size not in self.ways:
            ways = ("tree", "expansion") if size >= _LEAST // 2 else ()
            self.ways[size] = next((way for way in ways if self._agrees(way, size)), "pairs")
        return self.ways[size]

    def plain(self, rows: Sequence[list[int]]) -> list[Array]:
        """log p of each token but the first after those before it, (t − 1,) for each row of t tokens."""
        found: list[Array] = [np.zeros(0, dtype=np.float32)] * len(rows)
        long = [i for i, row in enumerate(rows) if len(row) > 1]
        for part in by_length([len(rows[i]) for i in long], self._logits):
            places = [long[i] for i in part]
            ids = self._tensor(padded([rows[i] for i in places], 0))
            logits, _ = self._run(ids, keep=ids.shape[1])
            told = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].cpu().numpy()
            for i, row in zip(places, told, strict=True):
                found[i] = row[: len(rows[i]) - 1]
        return found

    @property
    def vocabulary(self) -> int:
        """How many tokens the model chooses among."""
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    @property
    def _logits(self) -> int:
        """How many tokens of one pass may have their logits kept."""
        return fitting(self.tokens, self.vocabulary)

    def _by(self, way: str, prompts: Sequence[list[int]], trie: Trie) -> Array:
        import torch

        with torch.inference_mode():
            return {"tree": self._tree, "expansion": self._expansion, "pairs": self._pairs}[way](prompts, trie)

    def _tree(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        begin = shared(prompts)
        memory = self._read(prompts[0][:begin])
        parts = list(trie.parts(self._logits))
        widest = max(map(len, parts), default=1)
        costs = [max(len(prompt) + widest, -(-widest * self.tokens // self._logits)) for prompt in prompts]
        found = np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        for places in by_length(costs, self.tokens):
            found[places] = self._grown(memory, begin, [prompts[i][begin:] for i in places], trie, parts)
        return found

    def _grown(self, memory: Any, begin: int, rest: list[list[int]], trie: Trie, parts: list[Any]) -> Array:
        """Steps (b, m) after prompts that go on with `rest` (b rows) after the `begin` tokens in `memory`."""
        import torch

        ids = self._tensor(padded(rest, 0, left=True))
        rows, width = ids.shape
        lengths = self._tensor([[len(each)] for each in rest])
        columns = torch.arange(width, device=ids.device)
        read = columns >= width - lengths  # (b, width): not padding
        before = torch.cat([read.new_ones(rows, begin), read], dim=1)[:, None]
        itself = torch.eye(width, dtype=torch.bool, device=ids.device)  # so that padding sees something
        inside = itself | (columns[:, None] >= columns) & read[:, None]
        sees = torch.cat([before[..., :begin].expand(rows, width, begin), inside], dim=2)
        positions = begin + (columns + lengths - width).clamp(min=0)
        logits, memory = self._run(ids, keep=1, memory=_fork(memory, rows), sees=sees, positions=positions)
        found = np.zeros((rows, len(trie.tokens)), dtype=np.float32)
        self._tell(found, logits, trie, [ROOT])
        for part in parts:
            ids = self._tensor(trie.tokens[part]).expand(rows, -1)
            inside = self._tensor(trie.sees(part)).expand(rows, -1, -1)
            sees = torch.cat([before.expand(rows, len(part), begin + width), inside], dim=2)
            positions = begin + lengths + self._tensor(trie.depths[part])
            logits, _ = self._run(ids, keep=len(part), memory=_fork(memory, rows), sees=sees, positions=positions)
            self._tell(found, logits, trie, part.tolist())
        return found

    def _expansion(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        begin = shared(prompts)
        beginning = self._read(prompts[0][:begin])
        found = np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        for row, prompt in zip(found, prompts, strict=True):
            logits, memory = self._run(
                self._tensor([prompt[begin:]]), keep=1, memory=_repeated(beginning, 1), past=begin
            )
            self._tell(row[None], logits, trie, [ROOT])
            for places in by_length([len(prompt) + len(branch) for branch in trie.branches], self._logits):
                branches = [trie.branches[i] for i in places]
                ids = self._tensor(padded([trie.tokens[each].tolist() for each in branches], 0))
                logits, _ = self._run(ids, keep=ids.shape[1], memory=_repeated(memory, len(branches)), past=len(prompt))
                for told, branch in zip(logits, branches, strict=True):
                    self._tell(row[None], told[None], trie, branch)
        return found

    def _pairs(self, prompts: Sequence[list[int]], trie: Trie) -> Array:
        found = np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        pairs = [(i, branch) for i in range(len(prompts)) for branch in trie.branches or [[]]]
        rows = [[*prompts[i], *trie.tokens[branch].tolist()] for i, branch in pairs]
        for places in by_length(list(map(len, rows)), self._logits):
            ids = self._tensor(padded([rows[place] for place in places], 0))
            logits, _ = self._run(ids, keep=ids.shape[1])
            for told, place in zip(logits, places, strict=True):
                i, branch = pairs[place]
                self._tell(found[i][None], told[None, len(prompts[i]) - 1 :], trie, [ROOT, *branch])
        return found

    def _read(self, ids: list[int]) -> Any:
        """What the model keeps of the tokens that all prompts begin with; None of none."""
        return self._run(self._tensor([ids]), keep=1)[1] if ids else None

    def _tell(self, found: Array, logits: Any, trie: Trie, part: Sequence[int]) -> None:
        """Put the steps of what follows the nodes of `part` into `found` (b, m), from their `logits` (b, ≥ p, v)."""
        nodes, parents = trie.following(part)
        at = self._tensor(parents)
        told = logits[:, at, self._tensor(trie.tokens[nodes])] - logits.logsumexp(-1)[:, at]
        found[:, nodes] = told.cpu().numpy()

    def _run(
        self, ids: Any, *, keep: int, memory: Any = None, past: int = 0, sees: Any = None, positions: Any = None
    ) -> tuple[Any, Any]:
        """Logits (b, keep, v) after the last `keep` of `ids` (b, t), and the model's memory of all that it has read.

        `sees` (b, t, past + t) says which tokens each one sees; without it, all before it, `past` of which are in `memory`.
        """
        import torch

        mask = ids.new_ones(len(ids), past + ids.shape[1])
        if sees is not None:
            hidden = torch.finfo(self.model.dtype).min
            mask = torch.zeros(sees.shape, dtype=self.model.dtype, device=ids.device).masked_fill(~sees, hidden)[
                :, None
            ]
        passed = {"attention_mask": mask, self._memory: memory, "position_ids": positions}
        passed |= {"logits_to_keep": keep, "use_cache": True}
        taken = {name: value for name, value in passed.items() if name in self._takes and value is not None}
        with torch.inference_mode():
            said = self.model(input_ids=ids, **taken)
        return said.logits[:, -keep:].float(), getattr(said, self._memory, None)

    @cached_property
    def _memory(self) -> str:
        return memory_of(self.model)

    @cached_property
    def _takes(self) -> set[str]:
        return set(inspect.signature(self.model.forward).parameters)

    def _tensor(self, values: Any) -> Any:
        import torch

        return torch.as_tensor(values, device=self.model.device)

    def _agrees(self, way: str, size: int) -> bool:
        """Whether a way gives what one plain pass gives, on `size` made-up tokens.

        The candidates branch at every depth, so that a mask or positions that are not heeded show, and two prompts of unlike
        lengths are run together, so that padding does. A window is found where it is shorter than `size`.
        """
        rng = np.random.default_rng(0)
        ids = rng.integers(0, self.vocabulary, size).tolist()
        prompt, path = ids[:-8], ids[-8:-5]
        longer = [*ids[:-12], *rng.integers(0, self.vocabulary, 8).tolist()]
        trie = Trie.of([path, *_crowd(rng, self.vocabulary, path)])
        expected, _ = self._run(self._tensor([ids[:-5]]), keep=len(path) + 1)
        try:
            found = self._by(way, [prompt, longer], trie)[:1]
        except _REFUSALS:
            return False
        wanted = np.zeros_like(found)
        nodes = [ROOT, *trie.path(int(trie.ends[0]))]
        self._tell(wanted, expected, trie, nodes)
        told = trie.following(nodes)[0]
        allowed = tolerance(self.model.dtype)
        spread = float(wanted[:, told].std()) + allowed
        return bool(np.abs(found - wanted)[:, told].max() <= allowed * spread)


def _crowd(rng: np.random.Generator, vocabulary: int, path: list[int]) -> list[list[int]]:
    """Made-up candidates that leave `path` at each of its tokens and go on for two."""
    return [
        [*path[:depth], *rng.integers(0, vocabulary, 2).tolist()] for depth in range(len(path) + 1) for _ in range(12)
    ]


def _fork(memory: Any, rows: int) -> Any:
    """The same keys and values for `rows` rows, not copied; what is read from here on stays with the fork."""
    if memory is None:
        return None
    fork = copy.copy(memory)
    fork.layers = [copy.copy(layer) for layer in memory.layers]
    for layer in fork.layers:
        layer.keys = layer.keys.expand(rows, *layer.keys.shape[1:])
        layer.values = layer.values.expand(rows, *layer.values.shape[1:])
    return fork


def _repeated(memory: Any, rows: int) -> Any:
    """All that is kept of one row, copied for `rows` rows: keys and values, or the states of a recurrent layer."""
    import torch

    copied = copy.deepcopy(memory)

    def repeat(held: Any) -> Any:
        if isinstance(held, dict):
            return {name: repeat(each) for name, each in held.items()}
        return held.repeat_interleave(rows, dim=0) if isinstance(held, torch.Tensor) and held.ndim > 1 else held

    for layer in getattr(copied, "layers", ()):
        vars(layer).update(repeat(vars(layer)))
    return copied
