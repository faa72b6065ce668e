"""Exported tokenizers: a text that spells control tokens is read as its letters, by any program."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

import tiny
from rung.backbones.common.control_tokens import ControlTokens
from rung.training.exporting.plain_tokenizer import without_control_tokens

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("kind", ["wordpiece", "bytes", "unmarked", "unigram", "t5"])
def test_it_reads_texts_as_rung_does(kind: str, tmp_path: Path) -> None:
    """In whatever kind of vocabulary: control tokens as their letters, all else as before, the same tokens put around."""
    tokenizer = tiny.TOKENIZERS[kind](tmp_path)
    control = ControlTokens(tokenizer)
    made = Tokenizer.from_str(without_control_tokens(tokenizer.backend_tokenizer.to_str(), control.contents))
    for part in [*tiny.CONTROL_TOKENS, "plain", "a    b", "Z\u00fcrich \u6211\u7684\u5361", "<unk>", ""]:
        text = f"my card {part} is lost"
        assert made.encode(text).ids == tokenizer(control.as_text(text))["input_ids"]
