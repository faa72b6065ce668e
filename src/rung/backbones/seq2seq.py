"""Encoder–decoder models (T5, BART, Marian, M2M …): how probable an answer is, and what they write themselves."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rung.backbones.catalog import Entry
from rung.backbones.common.batching import (
    BATCH_TOKENS,
    attention_masks,
    length_batches,
    max_logit_tokens,
    pad_rows,
    padded_batches,
    plain_token_ids,
    special_tokens_around,
)
from rung.backbones.common.candidate_trie import ROOT, Trie
from rung.backbones.common.precision import agree
from rung.backbones.common.pretrained import UNSUPPORTED_CALL, Pretrained, architecture, cache_argument, read_config
from rung.backbones.common.prompt_tokens import keep_ends
from rung.backbones.common.token_sampling import GumbelSampler, check_sampling, generate_ids
from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.evidence import Array
from rung.text_encoding import encodable

_ENDINGS = ("ForConditionalGeneration", "MTModel", "T5WithLMHeadModel")


class Seq2SeqBackbone(Pretrained):
    """A model that reads a text and writes another, frozen, in float32 unless asked for another precision.

    What the tokenizer puts around a text (T5's </s>, BART's <s> and </s>, a language's code) stands around each prompt, as in
    the model's training; nothing else is added. Multilingual models take their languages as options:
    load("hf:facebook/m2m100_418M?source=de&target=en").
    """

    abilities = frozenset({"score", "generate"})
    model_class = "AutoModelForSeq2SeqLM"
    style = "answer"
    options = ("source", "target", "precision")
    tokens_at_once = BATCH_TOKENS  # of one forward pass; it moves the speed and the cache, not the answer

    def __init__(
        self, folder: Path, name: str, entry: Entry | None = None, languages: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, name, entry)
        self.languages = dict(languages or {})

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the weights in `folder` read one text and write another; those that see or hear have a preprocessor."""
        reads_text = not (folder / "preprocessor_config.json").is_file()
        return (
            reads_text
            and architecture(folder).endswith(_ENDINGS)
            and bool(read_config(folder).get("is_encoder_decoder"))
        )

    def with_options(self, given: Mapping[str, str]) -> Self:
        """The same model for texts in the language `source`, writing in `target`, by the codes of its tokenizer."""
        found = self.with_precision(given)
        found.languages = {key: code for key, code in given.items() if key != "precision"}
        return found

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"languages": self.languages}

    @property
    def fingerprint_parts(self) -> object:
        """The files, and the languages where some were asked for."""
        return {"files": self.hashes, "languages": self.languages} if self.languages else self.hashes

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate | prompt), summed over the candidate's tokens and its end token, (n, k) float32.

        The end token counts: the model was trained to write it, and without it "card" could never be less probable than "card
        is lost", which begins so. With it candidates exclude each other. The decoder's start token, and after it the forced
        first one of BART and of multilingual models, are given and count nothing.

        The encoder reads each distinct prompt once, and the decoder what all candidates begin with; what follows is run
        candidate by candidate on the same cache. Of a prompt beyond `max_tokens` the middle of its text is left out, and of a
        plain string its own middle. Raises UserError for a candidate that is longer than the model writes, and for a frame that
        leaves no room.
        """
        said = self._targets(candidates)
        trie = Trie.of(said)
        self._check_room(max(map(len, said), default=0))
        distinct = list(dict.fromkeys(prompts))
        steps = np.zeros((len(distinct), len(trie.tokens)), dtype=np.float32)
        if len(trie.tokens):
            for places, batch in self._batches(distinct, self.tokens_at_once):
                steps[places] = self._steps(batch, trie)
        rows = {prompt: i for i, prompt in enumerate(distinct)}
        return np.asarray(trie.candidate_sums(steps[np.array([rows[prompt] for prompt in prompts], dtype=np.intp)]))

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """Tokens of each candidate (k,), the end token included, as in `score`."""
        return np.array([len(ids) for ids in self._targets(candidates)], dtype=np.intp)

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:  # noqa: ARG002 - written apart
        """How many prompts are longer than `max_tokens`, so that a middle is not read."""
        room = self._room
        return 0 if room is None else sum(row.size > room for row in self.prompt_ids(prompts))

    def generate(
        self, prompts: Sequence[str | Prompt], max_tokens: int = 64, seed: int = 0, *, temperature: float | None = None
    ) -> list[str]:
        """What the model writes for each prompt (n), at most `max_tokens` tokens.

        It searches as its own generation_config.json says (translation models: with beams), else for the likeliest token at
        each step. With `temperature` above 0, tokens are drawn at random, from p^(1/temperature), and a prompt's random numbers
        hang on (seed, prompt) alone, whatever else is generated beside it.
        """
        check_sampling(max_tokens, temperature)
        self._check_room(max_tokens)
        found = [""] * len(prompts)
        for places, batch in self._batches(prompts, max(1, self.tokens_at_once - max_tokens)):
            sampler = GumbelSampler([str(prompts[i]) for i in places], seed, temperature) if temperature else None
            search = self._search(max_tokens, plain=temperature is not None)
            ids = generate_ids(self.model, batch, max_tokens, self.tokenizer.pad_token_id, sampler, **search)
            for i, row in zip(places, ids.tolist(), strict=True):
                found[i] = self.tokenizer.decode(row, skip_special_tokens=True)
        return found

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, for the languages that were asked for. Raises UserError for one that it does not know."""
        from transformers import AutoTokenizer

        names = {"source": "src_lang", "target": "tgt_lang"}
        asked = {names[key]: code for key, code in self.languages.items()}
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True, **asked)
            if asked:
                tokenizer(text_target="a")  # sets the codes around a text
        except KeyError as error:
            raise UserError(
                "backbone {name!r}: its tokenizer has no language {error}.",
                "The codes are in {folder}: some models write  en , others  en_XX  or  eng_Latn",
                name=self.name,
                error=error,
                folder=self.folder,
            ) from None
        return tokenizer

    def _batches(self, prompts: Sequence[str | Prompt], tokens: int) -> Any:
        """Prompts as the encoder takes them; a text that is too long loses its middle."""
        head, tail = special_tokens_around(plain_token_ids(self.tokenizer, ["a"])[0], self.tokenizer("a")["input_ids"])
        read = self.prompt_ids(prompts)
        self.check_frames(read, self._room)
        rows = [[*head, *row.truncated(self._room, keep_ends), *tail] for row in read]
        encoded = {"input_ids": rows, "attention_mask": attention_masks(rows)}
        return padded_batches(encoded, tokens, pad=self.tokenizer.pad_token_id, device=self.model.device)

    def _steps(self, batch: Mapping[str, Any], trie: Trie) -> Array:
        """log p of each node after its ancestors, (b, m), given b prompts."""
        import torch

        with torch.inference_mode():
            seen = self.model.get_encoder()(**batch).last_hidden_state
            return self._decoded(seen, batch["attention_mask"], trie, keep=self._keeps)

    def _decoded(self, seen: Any, mask: Any, trie: Trie, *, keep: bool) -> Array:
        """The same from what the encoder saw, (b, s, d); `keep`: whether the decoder's memory of it is used again."""
        found = np.zeros((len(seen), len(trie.tokens)), dtype=np.float32)
        stem = _stem(trie)
        begin = [*self._begin, *trie.tokens[stem].tolist()]
        logits, cache = self._run(begin, seen, mask)
        self._store(found, logits[:, -len(stem) - 1 :], trie, [ROOT, *stem])
        branches = [rest for branch in trie.branches if (rest := branch[len(stem) :])]
        at_once = min(
            self.tokens_at_once // seen.shape[1], max_logit_tokens(self.tokens_at_once, self._vocabulary)
        ) // len(seen)
        for places in length_batches(list(map(len, branches)), max(1, at_once)):
            part = [branches[i] for i in places]
            rows = [trie.tokens[branch].tolist() for branch in part]
            if keep:
                logits, _ = self._run(rows, seen, mask, _repeat_cache(cache, len(part)))
            else:
                logits = self._run([[*begin, *row] for row in rows], seen, mask)[0][:, len(begin) :]
            for told, branch in zip(logits.unflatten(0, (len(seen), len(part))).unbind(1), part, strict=True):
                self._store(found, told, trie, branch)
        return found

    def _run(self, rows: Any, seen: Any, mask: Any, cache: Any = None) -> tuple[Any, Any]:
        """Logits (b · c, t, v) after c rows of tokens for each of b prompts, those of one prompt together, and the cache."""
        import torch

        ids = pad_rows(rows if isinstance(rows[0], list) else [rows], 0).to(seen.device)
        times = len(ids)
        said = self.model(
            encoder_outputs=(seen.repeat_interleave(times, 0) if times > 1 else seen,),
            attention_mask=mask.repeat_interleave(times, 0),
            decoder_input_ids=ids.repeat(len(seen), 1),
            use_cache=True,
            **{self._cache_name: cache},
        )
        assert isinstance(said.logits, torch.Tensor)
        return said.logits.float(), getattr(said, self._cache_name)

    @staticmethod
    def _store(found: Array, logits: Any, trie: Trie, part: Sequence[int]) -> None:
        """Put the steps of what follows the nodes of `part` into `found` (b, m), from their `logits` (b, ≥ p, v)."""
        import torch

        nodes, parents = trie.children_of(part)
        at, tokens = (torch.as_tensor(each, device=logits.device) for each in (parents, trie.tokens[nodes]))
        found[:, nodes] = (logits[:, at, tokens] - logits.logsumexp(-1)[:, at]).cpu().numpy()

    @cached_property
    def _cache_name(self) -> str:
        return cache_argument(self.model)

    @cached_property
    def _keeps(self) -> bool:
        """Whether this decoder goes on rightly from a memory that is used again, tried on made-up tokens."""
        import torch

        rng = np.random.default_rng(0)
        ids = torch.as_tensor(rng.integers(0, self._vocabulary, (2, 9)), device=self.model.device)
        mask = torch.ones_like(ids)
        mask[1, 6:] = 0
        trie = Trie.of([rng.integers(0, self._vocabulary, size).tolist() for size in (4, 2, 3)])
        seen = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = self._decoded(seen, mask, trie, keep=False)
        try:
            found = self._decoded(seen, mask, trie, keep=True)
        except UNSUPPORTED_CALL:
            return False
        return agree(found, expected, self.model.dtype)

    def _search(self, max_tokens: int, *, plain: bool) -> dict[str, Any]:
        """How tokens are searched for: as the model's own settings say, or one by one; in the language that was asked for."""
        own = self.model.generation_config
        found: dict[str, Any] = (
            {"no_repeat_ngram_size": 0} if plain else {"num_beams": None, "repetition_penalty": None}
        )
        found |= {"min_length": min(own.min_length or 0, max_tokens)}
        return found | ({"forced_bos_token_id": self._begin[1]} if "target" in self.languages else {})

    def _targets(self, candidates: Sequence[str]) -> list[list[int]]:
        """Ids of each candidate as something to write, its end token included."""
        if not candidates:
            return []
        said = [encodable(each) for each in candidates]
        rows = self.tokenizer(text_target=said, add_special_tokens=False, verbose=False)["input_ids"]
        return [[*ids, *self._around[1]] for ids in rows]

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text to be written."""
        inner = self.tokenizer(text_target="a", add_special_tokens=False)["input_ids"]
        return special_tokens_around(inner, self.tokenizer(text_target="a")["input_ids"])

    @cached_property
    def _begin(self) -> list[int]:
        """What the decoder is given before an answer: its start token, and the one that must come first, if any."""
        own = self.model.generation_config
        start = next((i for i in (own.decoder_start_token_id, own.bos_token_id) if i is not None), None)
        if start is None:
            raise UserError(
                "backbone {name!r}: its config does not say which token the decoder starts with.",
                'Put  "decoder_start_token_id"  into {folder}',
                name=self.name,
                folder=self.folder / "config.json",
            )
        forced = None if "target" in self.languages else own.forced_bos_token_id
        return [start, *(self._around[0] if forced is None else [forced])]

    @property
    def _vocabulary(self) -> int:
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    @property
    def _room(self) -> int | None:
        """Tokens of a prompt that are read, without the special ones; None without a limit."""
        return (
            None if self.max_tokens is None else self.max_tokens - self.tokenizer.num_special_tokens_to_add(pair=False)
        )

    def _check_room(self, longest: int) -> None:
        """Raise UserError where the decoder has no positions for an answer of so many tokens."""
        limit = self.config.get("max_decoder_position_embeddings") or self.config.get("max_position_embeddings")
        if limit is not None and longest + len(self._begin) - 1 > limit:
            raise UserError(
                "backbone {name!r}: an answer of {longest} tokens is asked for, and it writes {limit} at most.",
                "Use shorter candidates, or a smaller max_tokens.",
                name=self.name,
                longest=longest,
                limit=limit,
            )


def _stem(trie: Trie) -> list[int]:
    """The nodes that all candidates have in common.

    >>> _stem(Trie.of([[5, 6, 7], [5, 6, 8]])), _stem(Trie.of([[5], [6]]))
    ([0, 1], [])
    """
    node, found = ROOT, []
    while len(children := trie.children.get(node, [])) == 1 and children[0] in trie.children:
        node = children[0]
        found.append(node)
    return found


def _repeat_cache(cache: Any, times: int) -> Any:
    """A decoder's cache of b prompts, repeated `times` times each; what is appended later stays in the copy."""
    found = copy.copy(cache)
    found.is_updated = dict(cache.is_updated)
    for name in ("self_attention_cache", "cross_attention_cache"):
        part = copy.copy(getattr(cache, name))
        part.layers = [copy.copy(layer) for layer in part.layers]
        for layer in part.layers if times > 1 else ():
            layer.keys = layer.keys.repeat_interleave(times, dim=0)
            layer.values = layer.values.repeat_interleave(times, dim=0)
        setattr(found, name, part)
    return found


BACKBONE = Seq2SeqBackbone
