"""Labels as people pass them in Python."""

from __future__ import annotations

import pytest

from rung import UserError
from rung.labels import Label, Labels


def test_names_are_sorted_whatever_their_order() -> None:
    """The order of the labels is that of scikit-learn's classes_, not that of the input."""
    assert Labels.parse(["b", "a"]) == Labels.parse({"a": "", "b": None})


def test_details_are_kept_and_read_back() -> None:
    """as_dict gives a mapping that parse turns into the same labels."""
    labels = Labels.parse(
        {"up": {"description": "good news", "words": ["win"], "examples": ["We won."]}, "down": "bad news"}
    )
    assert Labels.parse(labels.as_list()) == labels


def test_a_tree_is_kept_and_read_back() -> None:
    """Children may be a mapping or a list, to any depth, and as_dict writes what parse reads."""
    tree = Labels.parse(
        {"money": {"children": {"card": {"children": ["stolen", "lost"]}, "loan": "borrowing"}}, "b": ""}
    )
    assert Labels.parse(tree.as_list()) == tree
    assert [each.name for each in tree.labels] == ["b", "money"]


def test_texts_are_compared_with_the_leaves() -> None:
    """Names, length and iteration speak of the labels without children, sorted whatever their parents."""
    tree = Labels.parse({"z": {"children": ["b", "d"]}, "c": {"children": ["e"]}, "a": ""})
    assert (tree.names, len(tree), tree.is_tree) == (["a", "b", "d", "e"], 4, True)
    assert [label.name for label in tree] == tree.names
    assert not Labels.parse(["a", "b"]).is_tree


def test_phrasings_say_name_and_description() -> None:
    """Every phrasing of the first group holds the name or the description; words and examples are groups of their own."""
    label = Label("refund", "money back", ("chargeback",), ("I want my money back.",))
    said, words, examples = label.phrasings()
    assert all("refund" in text or "money back" in text for text in said)
    assert (words, examples) == (["chargeback"], ["I want my money back."])


@pytest.mark.parametrize(
    ("given", "what", "hint"),
    [
        ([], "none is given", "Add"),
        (["only"], "only 'only' is given", "Add"),
        (["a", "a"], "'a' is given twice (place 1 and place 2)", "once"),
        (["Spam", "spam"], "differ in case only", "once"),
        (["bug report", "bug\u00a0report"], "differ only in their spaces or in the form of a letter", "once"),
        (["ＡＢＣ", "abc"], "differ only in their spaces or in the form of a letter", "once"),
        (["a", "  "], "empty name", "name"),
        ("a,b", "the single text 'a,b'", "list"),
        (7, "int, not names", "list"),
        (["a", None], "None is not a name", "texts"),
        ({"a": "", "b": {"word": ["x"]}}, "unknown key 'word'", "Did you mean 'words'?"),
        ({"a": "", "b": {"words": "x"}}, "words of 'b' is 'x'", "list"),
        ({"a": "", "b": 3}, "the description of 'b' is 3", "description"),
        ({"a": {"children": "x"}, "b": ""}, "the children of 'a' are 'x'", "list"),
        ({"a": {"children": ["b"]}, "b": ""}, "'b' is given twice (place 1 and place 2)", "once"),
        ({"a": {"children": ["c", {"name": "d", "children": ["C"]}]}, "b": ""}, "'c' and 'C' differ in case", "once"),
        ({"a": {"children": ["b"]}}, "only 'b' is given", "Add"),
    ],
)
def test_what_cannot_be_used_is_said(given: object, what: str, hint: str) -> None:
    """Every mistake in labels names its value, and says what would be right."""
    with pytest.raises(UserError) as caught:
        Labels.parse(given)
    assert what in caught.value.what
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "given",
    [
        [{"label": "billing", "description": "invoices"}, {"label": "bug"}],
        [{"billing": "invoices"}, {"bug": None}],
        [{"billing": {"description": "invoices"}}, "bug"],
    ],
)
def test_mappings_in_a_list_are_understood_as_people_write_them(given: list[object]) -> None:
    """The key of a name may be called label, as in a table, or be the name itself, as YAML is written: `- billing: invoices`."""
    assert Labels.parse(given) == Labels.parse({"billing": "invoices", "bug": ""})
