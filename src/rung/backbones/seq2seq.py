"""Encoder–decoder models (T5, BART, Marian, M2M …): the probability of an answer, and text generation."""

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
    """A model that reads a text and writes another, frozen, in float32 unless another precision is requested.

    The special tokens of the tokenizer (T5's </s>, BART's <s> and </s>, a language code) surround each prompt, as in the model's
    training; nothing else is added. Multilingual models take their languages as options:
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
        """Whether the weights in `folder` read one text and write another; image and audio models have a preprocessor file."""
        reads_text = not (folder / "preprocessor_config.json").is_file()
        return (
            reads_text
            and architecture(folder).endswith(_ENDINGS)
            and bool(read_config(folder).get("is_encoder_decoder"))
        )

    def with_options(self, given: Mapping[str, str]) -> Self:
        """The same model for texts in the language `source` and answers in `target`, by its tokenizer's language codes."""
        found = self.with_precision(given)
        found.languages = {key: code for key, code in given.items() if key != "precision"}
        return found

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"languages": self.languages}

    @property
    def fingerprint_parts(self) -> object:
        """The files, and the languages where options set them."""
        return {"files": self.hashes, "languages": self.languages} if self.languages else self.hashes

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str]) -> Array:
        """Natural log p(candidate | prompt), summed over the candidate's tokens and its end token, (n, k) float32.

        The end token counts: the model was trained to write it, and without it "card" could never be less probable than "card
        is lost", which begins with it. With it candidates exclude each other. The decoder's start token, and the forced first
        token of BART and of multilingual models, are given and count nothing.

        The encoder reads each distinct prompt once, and the decoder reads the shared prefix of the candidates once; the rest
        is run for each candidate on the same cache. Of a prompt beyond `max_tokens` the middle of its text is left out, and
        of a sampling string its own middle. Raises UserError for a candidate that is longer than the model writes, and for a
        frame that leaves no room.
        """
        targets = self._targets(candidates)
        trie = Trie.of(targets)
        self._check_room(max(map(len, targets), default=0))
        distinct = list(dict.fromkeys(prompts))
        log_p = np.zeros((len(distinct), len(trie.tokens)), dtype=np.float32)
        if len(trie.tokens):
            for places, batch in self._batches(distinct, self.tokens_at_once):
                log_p[places] = self._node_log_probabilities(batch, trie)
        rows = {prompt: i for i, prompt in enumerate(distinct)}
        return np.asarray(trie.candidate_sums(log_p[np.array([rows[prompt] for prompt in prompts], dtype=np.intp)]))

    def lengths(self, candidates: Sequence[str]) -> npt.NDArray[np.intp]:
        """The number of tokens of each candidate (k,), the end token included, as in `score`."""
        return np.array([len(ids) for ids in self._targets(candidates)], dtype=np.intp)

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:  # noqa: ARG002 - the decoder has its own limit
        """How many prompts are longer than `max_tokens`, so that their middle is not read."""
        room = self._room
        return 0 if room is None else sum(row.size > room for row in self.prompt_ids(prompts))

    def generate(
        self, prompts: Sequence[str | Prompt], max_tokens: int = 64, seed: int = 0, *, temperature: float | None = None
    ) -> list[str]:
        """The text that the model generates for each prompt (n), at most `max_tokens` tokens.

        The search is that of the model's generation_config.json (translation models: beams), else greedy. With `temperature`
        above 0, tokens are sampled from p^(1/temperature), and a prompt's random numbers depend on (seed, prompt) only, not
        on the rest of the batch.
        """
        check_sampling(max_tokens, temperature)
        self._check_room(max_tokens)
        found = [""] * len(prompts)
        for places, batch in self._batches(prompts, max(1, self.tokens_at_once - max_tokens)):
            sampler = GumbelSampler([str(prompts[i]) for i in places], seed, temperature) if temperature else None
            search = self._search(max_tokens, sampling=temperature is not None)
            ids = generate_ids(self.model, batch, max_tokens, self.tokenizer.pad_token_id, sampler, **search)
            for i, row in zip(places, ids.tolist(), strict=True):
                found[i] = self.tokenizer.decode(row, skip_special_tokens=True)
        return found

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, set to the chosen languages. Raises UserError for a language that it does not know."""
        from transformers import AutoTokenizer

        names = {"source": "src_lang", "target": "tgt_lang"}
        languages = {names[key]: code for key, code in self.languages.items()}
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True, **languages)
            if languages:
                tokenizer(text_target="a")  # this sets the language codes around a text
        except KeyError as error:
            raise UserError(
                "backbone {name!r}: its tokenizer has no language {language}.",
                "The language codes are in {folder}: some models use  en , others  en_XX  or  eng_Latn",
                name=self.name,
                language=error,
                folder=self.folder,
            ) from None
        return tokenizer

    def _batches(self, prompts: Sequence[str | Prompt], tokens: int) -> Any:
        """Prompts as the encoder takes them; a text that is too long loses its middle."""
        head, tail = special_tokens_around(plain_token_ids(self.tokenizer, ["a"])[0], self.tokenizer("a")["input_ids"])
        parts = self.prompt_ids(prompts)
        self.check_frames(parts, self._room)
        rows = [[*head, *row.truncated(self._room, keep_ends), *tail] for row in parts]
        batch = {"input_ids": rows, "attention_mask": attention_masks(rows)}
        return padded_batches(batch, tokens, pad=self.tokenizer.pad_token_id, device=self.model.device)

    def _node_log_probabilities(self, batch: Mapping[str, Any], trie: Trie) -> Array:
        """log p of each trie node after its ancestors, (b, m), given b prompts."""
        import torch

        with torch.inference_mode():
            encoded = self.model.get_encoder()(**batch).last_hidden_state
            return self._decode(encoded, batch["attention_mask"], trie, reuse_cache=self._reuses_cache)

    def _decode(self, encoded: Any, mask: Any, trie: Trie, *, reuse_cache: bool) -> Array:
        """The same from the encoder's output (b, s, d); `reuse_cache`: whether the decoder's cache of a prefix is used again."""
        found = np.zeros((len(encoded), len(trie.tokens)), dtype=np.float32)
        prefix = _shared_prefix(trie)
        begin = [*self._decoder_start_ids, *trie.tokens[prefix].tolist()]
        logits, cache = self._run(begin, encoded, mask)
        self._store(found, logits[:, -len(prefix) - 1 :], trie, [ROOT, *prefix])
        branches = [rest for branch in trie.branches if (rest := branch[len(prefix) :])]
        at_once = min(
            self.tokens_at_once // encoded.shape[1], max_logit_tokens(self.tokens_at_once, self._vocabulary)
        ) // len(encoded)
        for places in length_batches(list(map(len, branches)), max(1, at_once)):
            part = [branches[i] for i in places]
            rows = [trie.tokens[branch].tolist() for branch in part]
            if reuse_cache:
                logits, _ = self._run(rows, encoded, mask, _repeat_cache(cache, len(part)))
            else:
                logits = self._run([[*begin, *row] for row in rows], encoded, mask)[0][:, len(begin) :]
            for branch_logits, branch in zip(
                logits.unflatten(0, (len(encoded), len(part))).unbind(1), part, strict=True
            ):
                self._store(found, branch_logits, trie, branch)
        return found

    def _run(self, rows: Any, encoded: Any, mask: Any, cache: Any = None) -> tuple[Any, Any]:
        """Logits (b · c, t, v) after c rows of tokens for each of b prompts, grouped by prompt, and the cache."""
        import torch

        ids = pad_rows(rows if isinstance(rows[0], list) else [rows], 0).to(encoded.device)
        times = len(ids)
        output = self.model(
            encoder_outputs=(encoded.repeat_interleave(times, 0) if times > 1 else encoded,),
            attention_mask=mask.repeat_interleave(times, 0),
            decoder_input_ids=ids.repeat(len(encoded), 1),
            use_cache=True,
            **{self._cache_name: cache},
        )
        assert isinstance(output.logits, torch.Tensor)
        return output.logits.float(), getattr(output, self._cache_name)

    @staticmethod
    def _store(found: Array, logits: Any, trie: Trie, part: Sequence[int]) -> None:
        """Write log p of the children of the nodes in `part` into `found` (b, m), from the `logits` (b, ≥ p, v) at these nodes."""
        import torch

        nodes, parents = trie.children_of(part)
        at, tokens = (torch.as_tensor(each, device=logits.device) for each in (parents, trie.tokens[nodes]))
        found[:, nodes] = (logits[:, at, tokens] - logits.logsumexp(-1)[:, at]).cpu().numpy()

    @cached_property
    def _cache_name(self) -> str:
        return cache_argument(self.model)

    @cached_property
    def _reuses_cache(self) -> bool:
        """Whether this decoder gives the right numbers when a cache is used again, tested on random tokens."""
        import torch

        rng = np.random.default_rng(0)
        ids = torch.as_tensor(rng.integers(0, self._vocabulary, (2, 9)), device=self.model.device)
        mask = torch.ones_like(ids)
        mask[1, 6:] = 0
        trie = Trie.of([rng.integers(0, self._vocabulary, size).tolist() for size in (4, 2, 3)])
        encoded = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = self._decode(encoded, mask, trie, reuse_cache=False)
        try:
            found = self._decode(encoded, mask, trie, reuse_cache=True)
        except UNSUPPORTED_CALL:
            return False
        return agree(found, expected, self.model.dtype)

    def _search(self, max_tokens: int, *, sampling: bool) -> dict[str, Any]:
        """Settings of the search: the model's own, or sampling token by token; with the first token of the target language."""
        own = self.model.generation_config
        found: dict[str, Any] = (
            {"no_repeat_ngram_size": 0} if sampling else {"num_beams": None, "repetition_penalty": None}
        )
        found |= {"min_length": min(own.min_length or 0, max_tokens)}
        return found | ({"forced_bos_token_id": self._decoder_start_ids[1]} if "target" in self.languages else {})

    def _targets(self, candidates: Sequence[str]) -> list[list[int]]:
        """Ids of each candidate as a target text, its end token included."""
        if not candidates:
            return []
        texts = [encodable(each) for each in candidates]
        rows = self.tokenizer(text_target=texts, add_special_tokens=False, verbose=False)["input_ids"]
        return [[*ids, *self._target_special_tokens[1]] for ids in rows]

    @cached_property
    def _target_special_tokens(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a target text."""
        inner = self.tokenizer(text_target="a", add_special_tokens=False)["input_ids"]
        return special_tokens_around(inner, self.tokenizer(text_target="a")["input_ids"])

    @cached_property
    def _decoder_start_ids(self) -> list[int]:
        """The decoder's input before an answer: its start token, and the forced first token if there is one."""
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
        return [start, *(self._target_special_tokens[0] if forced is None else [forced])]

    @property
    def _vocabulary(self) -> int:
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    @property
    def _room(self) -> int | None:
        """How many tokens of a prompt are read, without the special tokens; None without a limit."""
        return (
            None if self.max_tokens is None else self.max_tokens - self.tokenizer.num_special_tokens_to_add(pair=False)
        )

    def _check_room(self, longest: int) -> None:
        """Raise UserError where the decoder has no positions for an answer of `longest` tokens."""
        limit = self.config.get("max_decoder_position_embeddings") or self.config.get("max_position_embeddings")
        if limit is not None and longest + len(self._decoder_start_ids) - 1 > limit:
            raise UserError(
                "backbone {name!r}: an answer would have {longest} tokens, but the model writes {limit} at most.",
                "Use shorter candidates, or a smaller max_tokens.",
                name=self.name,
                longest=longest,
                limit=limit,
            )


def _shared_prefix(trie: Trie) -> list[int]:
    """The nodes that all candidates share.

    >>> _shared_prefix(Trie.of([[5, 6, 7], [5, 6, 8]])), _shared_prefix(Trie.of([[5], [6]]))
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
