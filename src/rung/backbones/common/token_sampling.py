"""What models that write have in common: the likeliest tokens, or tokens drawn at random, the same whatever is written beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from rung.errors import UserError


def check(max_tokens: int, temperature: float | None) -> None:
    """Raise UserError for numbers that make no sense."""
    if max_tokens < 1:
        raise UserError(
            "max_tokens: got {max_tokens}.", "Give how many tokens may be written, 1 or more.", max_tokens=max_tokens
        )
    if temperature is not None and temperature < 0:
        raise UserError(
            "temperature: got {temperature}.",
            "Give 0 for the likeliest tokens, or more, such as 0.7.",
            temperature=temperature,
        )


def written(
    model: Any, passed: Mapping[str, Any], max_tokens: int, pad: int, draw: Draw | None, **told: float | None
) -> Any:
    """Ids (b, t) that the model's own `generate` gives, plainly, or as `told`; what is not said here, or told to be None,
    comes from its config: end tokens.
    """
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    plain = {
        "do_sample": False,
        "num_beams": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 50,
        "repetition_penalty": 1.0,
    }
    settings = GenerationConfig(**(plain | {"max_new_tokens": max_tokens, "pad_token_id": pad} | told))
    with torch.inference_mode():
        chosen = LogitsProcessorList([draw] if draw else [])
        return model.generate(**passed, generation_config=settings, logits_processor=chosen)


class Draw:
    """Gumbel noise on the logits, so that the likeliest token is one drawn from p^(1/temperature), a row's own each time."""

    def __init__(self, prompts: Sequence[str], seed: int, temperature: float) -> None:
        self.temperature = temperature
        keys = [sha256(f"{seed}\x1f{prompt}".encode("utf-8", "replace")).digest() for prompt in prompts]
        self.sources = [np.random.default_rng(int.from_bytes(key)) for key in keys]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """The scores (b, v) with each row's own noise."""
        import torch

        noise = np.stack([source.gumbel(size=scores.shape[-1]) for source in self.sources])
        return scores / self.temperature + torch.as_tensor(noise, dtype=scores.dtype, device=input_ids.device)
