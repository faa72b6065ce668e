"""The ready-made label sets are data that people write by hand, so slips in them are caught here."""

from importlib.resources import files
from typing import Any

import pytest
import yaml

SETS = {
    entry.name.removesuffix(".yaml"): entry.read_text(encoding="utf-8")
    for entry in sorted((files("rung") / "labels" / "sets").iterdir(), key=lambda entry: entry.name)
    if entry.name.endswith(".yaml")
}
KINDS = sorted({name.rpartition("-")[0] for name in SETS})

every_set = pytest.mark.parametrize("name", list(SETS))


def parsed(name: str) -> dict[str, dict[str, Any]]:
    return yaml.safe_load(SETS[name])


def test_the_promised_sets_exist() -> None:
    """Sentiment, emotion, topics and support come in English and in Chinese."""
    promised = {"sentiment", "emotion", "topics", "support"}
    assert {f"{kind}-{language}" for kind in promised for language in ("en", "zh")} <= set(SETS)


@every_set
def test_a_set_is_a_mapping_from_names_to_wording(name: str) -> None:
    """A set holds two labels or more, and of each label a description, words and examples, nothing else."""
    labels = parsed(name)
    assert len(labels) >= 2
    for label, wording in labels.items():
        assert isinstance(label, str)  # YAML reads a bare yes, no or 1 as something else
        assert set(wording) == {"description", "words", "examples"}


@every_set
def test_no_label_is_written_twice(name: str) -> None:
    """Every label of the file is there after parsing: YAML keeps only the last of two equal names, without a word."""
    written = [line for line in SETS[name].splitlines() if line and not line.startswith((" ", "#"))]
    assert len(written) == len(parsed(name))


@every_set
def test_every_label_says_what_it_is(name: str) -> None:
    """Every description is a line of text, not empty."""
    for label, wording in parsed(name).items():
        description = wording["description"]
        assert isinstance(description, str), label
        assert description.strip() == description, label
        assert description, label
        assert "\n" not in description, label


@every_set
def test_every_label_has_enough_wording(name: str) -> None:
    """A label has 8 to 20 words and 3 to 5 examples, each of them text."""
    for label, wording in parsed(name).items():
        assert 8 <= len(wording["words"]) <= 20, label
        assert 3 <= len(wording["examples"]) <= 5, label
        assert all(isinstance(text, str) and text.strip() for text in wording["words"] + wording["examples"]), label


@every_set
@pytest.mark.parametrize("key", ["words", "examples"])
def test_nothing_speaks_for_two_labels(name: str, key: str) -> None:
    """No word and no example appears twice in a set, under one label or two, whatever its case."""
    texts = [text.casefold() for wording in parsed(name).values() for text in wording[key]]
    assert sorted(texts) == sorted(set(texts))


@every_set
def test_labels_are_equally_rich(name: str) -> None:
    """The labels of a two-way set have equally many words and examples, so that neither side is better described."""
    labels = parsed(name)
    if len(labels) == 2:
        for key in ("words", "examples"):
            assert len({len(wording[key]) for wording in labels.values()}) == 1, key


@pytest.mark.parametrize("kind", KINDS)
def test_english_and_chinese_go_together(kind: str) -> None:
    """The English and the Chinese set of a kind have equally many labels, each with as many words and examples."""

    def shape(name: str) -> list[tuple[int, int]]:
        return [(len(wording["words"]), len(wording["examples"])) for wording in parsed(name).values()]

    assert shape(f"{kind}-en") == shape(f"{kind}-zh")
