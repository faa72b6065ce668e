"""Text generation: the most probable tokens, or tokens sampled at random, independent of the rest of the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from rung.errors import UserError


def check_sampling(max_tokens: int, temperature: float | None) -> None:
    """Raise UserError for values out of range."""
    if max_tokens < 1:
        raise UserError(
            "max_tokens: got {max_tokens}.", "Give how many tokens may be generated, 1 or more.", max_tokens=max_tokens
        )
    if temperature is not None and temperature < 0:
        raise UserError(
            "temperature: got {temperature}.",
            "Give 0 for the most probable tokens, or more, such as 0.7.",
            temperature=temperature,
        )


def generate_ids(
    model: Any,
    passed: Mapping[str, Any],
    max_tokens: int,
    pad: int,
    sampler: GumbelSampler | None,
    **overrides: float | None,
) -> Any:
    """Ids (b, t) that the model's own `generate` gives: greedy decoding, changed by `overrides`.

    Settings that are neither set here nor in `overrides`, or that are None there, come from the model's config, as end tokens do.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    greedy = {
        "do_sample": False,
        "num_beams": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 50,
        "repetition_penalty": 1.0,
    }
    settings = GenerationConfig(**(greedy | {"max_new_tokens": max_tokens, "pad_token_id": pad} | overrides))
    with torch.inference_mode():
        processors = LogitsProcessorList([sampler] if sampler else [])
        return model.generate(**passed, generation_config=settings, logits_processor=processors)


class GumbelSampler:
    """Adds Gumbel noise to the logits, so that the largest one is a sample from p^(1/temperature).

    Every row has its own random numbers, which depend on the seed and its prompt.
    """

    def __init__(self, prompts: Sequence[str], seed: int, temperature: float) -> None:
        self.temperature = temperature
        keys = [sha256(f"{seed}\x1f{prompt}".encode("utf-8", "replace")).digest() for prompt in prompts]
        self.generators = [np.random.default_rng(int.from_bytes(key)) for key in keys]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The scores (b, v) with the noise of each row."""
        import torch

        noise = np.stack([source.gumbel(size=scores.shape[-1]) for source in self.generators])
        return scores / self.temperature + torch.as_tensor(noise, dtype=scores.dtype, device=input_ids.device)
