"""Encoder–decoder models (T5, BART, Marian …): how probable an answer is, and what they write themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.backbones.batches import TOKENS, bare, batches, by_length, fitting, longer, padded
from rung.backbones.candidates import ROOT, Trie
from rung.backbones.pretrained import Pretrained, architecture
from rung.backbones.writing import Draw, check, written
from rung.encoding import encodable
from rung.errors import UserError
from rung.evidence import Array

_KINDS = ("T5", "MT5", "UMT5", "LongT5", "SwitchTransformers", "Bart", "MBart", "Pegasus", "PegasusX", "M2M100", "LED")
_NAMES = {*(f"{kind}ForConditionalGeneration" for kind in _KINDS), "MarianMTModel"}


class Seq2SeqBackbone(Pretrained):
    """A model that reads a text and writes another, frozen, in float32.

    The encoder reads a prompt with the special tokens that the model's tokenizer puts around it, as in its training.
    """

    abilities = frozenset({"score", "generate"})
    model_class = "AutoModelForSeq2SeqLM"
    style = "answer"
    tokens_at_once = TOKENS  # of one forward pass; it moves the speed and the memory, not the answer

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` were saved from a model that reads text and writes text."""
        return architecture(folder) in _NAMES

    def score(self, prompts: Sequence[str], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate | prompt) under the decoder, summed over the candidate's tokens, (n, k) float32.

        The end token is not counted, so that a candidate is scored as a beginning: "bill" is never less probable than
        "billing", where one is a beginning of the other in tokens. Of a prompt beyond `max_tokens` the end is not read.

        Each prompt is encoded once; its first decoder step is run once, and gives the first token of every candidate; further
        tokens go on from there, those that candidates begin with in common once. A candidate without tokens gets 0.
        """
        trie = Trie.of(bare(self.tokenizer, candidates))
        steps = np.zeros((len(prompts), len(trie.tokens)), dtype=np.float32)
        if len(prompts) and len(trie.tokens):
            for places, passed in self._read(prompts, self.tokens_at_once):
                steps[places] = self._steps(passed, trie)
        return np.asarray(trie.totals(steps))

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each candidate (k,)."""
        return np.array([len(ids) for ids in bare(self.tokenizer, candidates)], dtype=np.intp)

    def cut(self, texts: Sequence[str]) -> int:
        """How many of `texts` are longer than `max_tokens`, so that their end is not read."""
        return longer(self.tokenizer, texts, self.max_tokens)

    def generate(
        self, prompts: Sequence[str], max_tokens: int = 64, seed: int = 0, *, temperature: float | None = None
    ) -> list[str]:
        """What the model writes for each prompt (n), at most `max_tokens` tokens.

        Always the likeliest token; with `temperature` above 0, tokens are drawn at random, from p^(1/temperature), and a
        prompt's random numbers hang on (seed, prompt) alone, whatever else is generated beside it.
        """
        check(max_tokens, temperature)
        found = [""] * len(prompts)
        for places, passed in self._read(prompts, max(1, self.tokens_at_once - max_tokens)):
            draw = Draw([prompts[i] for i in places], seed, temperature) if temperature else None
            ids = written(self.model, passed, max_tokens, self.tokenizer.pad_token_id, draw)
            for i, row in zip(places, ids.tolist(), strict=True):
                found[i] = self.tokenizer.decode(row, skip_special_tokens=True)
        return found

    def _read(self, prompts: Sequence[str], tokens: int) -> Any:
        """Batches of encoded prompts: their places, and what to pass."""
        said = [encodable(prompt) for prompt in prompts]
        encoded = self.tokenizer(said, truncation=self.max_tokens is not None, max_length=self.max_tokens)
        taken = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        return batches(taken, tokens, pad=self.tokenizer.pad_token_id, device=self.model.device)

    def _steps(self, passed: dict[str, Any], trie: Trie) -> Array:
        """log p of each node after its ancestors, (b, m), for a batch of b encoded prompts."""
        import torch

        found = np.zeros((len(passed["input_ids"]), len(trie.tokens)), dtype=np.float32)
        with torch.inference_mode():
            hidden = self.model.get_encoder()(**passed).last_hidden_state
            begin = torch.tensor([self._begin] * len(hidden), device=hidden.device)
            logits, memory = self._decoded(begin, hidden, passed["attention_mask"], keep=1)
            self._tell(found, logits, trie, [ROOT])
            rows = [(i, branch) for branch in trie.branches for i in range(len(hidden))]
            for part in by_length([len(branch) for _, branch in rows], self._logits):
                chosen = [rows[place] for place in part]
                of = torch.tensor([i for i, _ in chosen], device=hidden.device)
                ids = padded([trie.tokens[branch].tolist() for _, branch in chosen], 0).to(hidden.device)
                masks = passed["attention_mask"][of]
                logits, _ = self._decoded(ids, hidden[of], masks, keep=ids.shape[1], memory=_taken(memory, of))
                for (i, branch), told in zip(chosen, logits, strict=True):
                    self._tell(found[i][None], told[None], trie, branch)
        return found

    def _decoded(self, ids: Any, hidden: Any, mask: Any, *, keep: int, memory: Any = None) -> tuple[Any, Any]:
        """Logits (b, keep, v) after the last `keep` of `ids`, and the decoder's memory."""
        from transformers.modeling_outputs import BaseModelOutput

        said = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            attention_mask=mask,
            decoder_input_ids=ids,
            past_key_values=memory,
            use_cache=True,
        )
        return said.logits[:, -keep:].float(), said.past_key_values

    def _tell(self, found: Array, logits: Any, trie: Trie, part: Sequence[int]) -> None:
        """Put the steps of what follows the nodes of `part` into `found` (b, m), from their `logits` (b, ≥ p, v)."""
        nodes, parents = trie.following(part)
        log_p = logits[:, : len(part)].log_softmax(-1).cpu().numpy()
        found[:, nodes] = log_p[:, parents, trie.tokens[nodes]]

    @cached_property
    def _begin(self) -> list[int]:
        """What the decoder begins with before it writes: its start token, and the one that is forced to come first (BART's <s>)."""
        settings = self.model.generation_config
        start = settings.decoder_start_token_id
        if start is None:
            raise UserError(
                f"backbone {self.name!r}: its config does not say with which token the decoder begins.",
                f'Name it in {self.folder / "config.json"}, as in  "decoder_start_token_id": 0',
            )
        forced = settings.forced_bos_token_id
        return [int(start)] if forced is None else [int(start), int(forced)]

    @property
    def _logits(self) -> int:
        """How many decoder tokens may have their logits computed at once."""
        return fitting(self.tokens_at_once, int(self.model.config.vocab_size))


def _taken(memory: Any, rows: Any) -> Any:
    """The decoder's memory of these rows, copied; the given one stays as it is."""
    import copy

    fork = copy.copy(memory)
    fork.is_updated = dict(memory.is_updated)
    for name in ("self_attention_cache", "cross_attention_cache"):
        cache = copy.copy(getattr(memory, name))
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys[rows], layer.values[rows]
        setattr(fork, name, cache)
    return fork


BACKBONE = Seq2SeqBackbone
