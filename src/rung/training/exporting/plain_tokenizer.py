"""A tokenizer.json that reads no control token in a text, for programs that read it without rung."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def without_control_tokens(tokenizer: str, contents: Mapping[int, str]) -> str:
    """The text of a tokenizer.json that spells control tokens of a text apart, as rung does; `contents` are these by their ids.

    They leave the added tokens, which are looked for before anything else, and a normalizer puts a space after the first character
    of each, before and after the model's own normalizer, which may make one of other letters. What is put around a text stays, and
    so do all ids: added tokens get theirs from the vocabulary, to which those that it lacks are moved.
    """
    made = json.loads(tokenizer)
    for token in sorted(made["added_tokens"], key=lambda token: int(token["id"])):
        _add(made["model"]["vocab"], token)
    made["added_tokens"] = [token for token in made["added_tokens"] if token["id"] not in contents]
    own = [] if made["normalizer"] is None else [made["normalizer"]]
    apart = {"type": "Replace", "pattern": {"Regex": _second_characters(contents)}, "content": " "}
    made["normalizer"] = {"type": "Sequence", "normalizers": [apart, *own, apart]}
    return json.dumps(made, ensure_ascii=False)


def _add(vocabulary: Any, token: Mapping[str, Any]) -> None:
    """Put an added token into the vocabulary: a list of pieces with their scores, or ids by content."""
    if isinstance(vocabulary, dict):
        vocabulary.setdefault(token["content"], token["id"])
    elif token["id"] == len(vocabulary):
        vocabulary.append([token["content"], min(score for _, score in vocabulary)])


def _second_characters(contents: Mapping[int, str]) -> str:
    """A pattern for the place before the second character of each control token, or before one of a single character.

    >>> _second_characters({1: "</s>"})
    '(?<=<)(?=/s>)'
    """
    parts = [(text[0], text[1:]) if len(text) > 1 else ("", text) for text in sorted(set(contents.values()))]
    return "|".join(f"(?<={re.escape(first)})(?={re.escape(rest)})" for first, rest in parts)
