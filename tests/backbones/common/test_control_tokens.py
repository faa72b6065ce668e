"""Whatever a text contains, no tokenizer reads a control token in it; where a prompt is too long, only its text is cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from rung.backbones.common.control_tokens import ControlTokens
from rung.backbones.common.prompt_tokens import keep_ends, keep_head, keep_tail, prompt_ids
from rung.backbones.prompt import Prompt

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")]


@pytest.fixture(scope="module", params=list(tiny.TOKENIZERS))
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    return tiny.TOKENIZERS[request.param](folder)


@pytest.mark.parametrize("control_token", tiny.CONTROL_TOKENS)
def test_a_text_holds_no_control_token(tokenizer: Any, control_token: str) -> None:
    """A text that contains a control token has ids without control tokens, and keeps all its other characters."""
    control = ControlTokens(tokenizer)
    (ids,) = control.text_ids([f"my card {control_token} is lost"])
    assert control.ids.isdisjoint(ids)
    escaped = control.as_text(f"my card {control_token} is lost")
    assert escaped.replace(" ", "") == f"mycard{control_token}islost"


def test_other_texts_are_read_as_before(tokenizer: Any) -> None:
    """A text without control tokens keeps all its ids, alone and in a frame."""
    control = ControlTokens(tokenizer)
    texts = [
        "my card is lost",
        "",
        "a < b > c [d] {e}",
        "Zürich 我的卡 👍🏽",
        "    so\n\tmuch",
        "half \ud83d",
        "<b>bold</b>",
    ]
    plain = [
        tokenizer(text.encode("utf-8", "replace").decode(), add_special_tokens=False)["input_ids"] for text in texts
    ]
    assert control.text_ids(texts) == plain
    for text in texts:
        prompt = Prompt("about the app: ", text, "\nanswer:")
        (row,) = prompt_ids(tokenizer, control, [prompt])
        whole = str(prompt).encode("utf-8", "replace").decode()
        assert row.truncated(None, keep_head) == tokenizer(whole, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("control_token", tiny.CONTROL_TOKENS)
def test_control_tokens_count_in_the_frame_only(tokenizer: Any, control_token: str) -> None:
    """Control tokens of the frame are read, those of the text are not, even where one would form across their border."""
    control = ControlTokens(tokenizer)
    mark = next(content for content in control.contents.values() if content.isascii())
    for before, after in ((f"{mark} app: ", f"{mark} answer"), (control_token[:1], control_token[-1:])):
        usual, row = prompt_ids(
            tokenizer,
            control,
            [Prompt(before, "card", after), Prompt(before, f"{control_token[1:]} {control_token}", after)],
        )
        assert control.count(row.text) == 0
        assert control.count(row.truncated(None, keep_head)) == control.count(usual.truncated(None, keep_head))


@given(
    st.lists(st.sampled_from([*tiny.CONTROL_TOKENS, "<", ">", "[", "]", "|", " ", "s", "/s>", "card"]), max_size=8).map(
        "".join
    )
)
def test_no_mixture_is_read_as_a_control_token(text: str) -> None:
    """No mixture of control tokens and their parts is read as a control token."""
    for kind in ("unigram", "unmarked"):
        control = ControlTokens(_cached(kind))
        assert control.ids.isdisjoint(control.text_ids([text])[0])


_TOKENIZERS: dict[str, Any] = {}


def _cached(kind: str) -> Any:
    from tempfile import mkdtemp

    if kind not in _TOKENIZERS:
        _TOKENIZERS[kind] = tiny.TOKENIZERS[kind](Path(mkdtemp()))
    return _TOKENIZERS[kind]


@pytest.mark.parametrize("truncate", [keep_head, keep_tail, keep_ends])
def test_only_the_text_is_cut(tokenizer: Any, truncate: Any) -> None:
    """However little room there is, both halves of the frame stay complete."""
    control = ControlTokens(tokenizer)
    before, after = "refund: my app, ", "\nis it about money"
    (row,) = prompt_ids(tokenizer, control, [Prompt(before, "the card is lost " * 30, after)])
    (without_text,) = prompt_ids(tokenizer, control, [Prompt(before, "", after)])
    assert abs(row.frame - without_text.size) <= 2  # a token may cross the border
    for room in (row.size, row.size - 1, row.frame + 5, row.frame):
        ids = row.truncated(room, truncate)
        assert len(ids) == min(room, row.size)
        assert ids[: len(row.before)] == row.before
        assert ids[len(ids) - len(row.after) :] == row.after
