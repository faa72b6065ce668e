"""Text is text: whatever a person writes, no tokenizer reads a control token in it; what is cut is the text, never its frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from rung.backbones.common.control_tokens import ControlTokens
from rung.backbones.common.prompt_tokens import ends, head, prompt_ids, tail
from rung.backbones.prompt import Prompt

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")]

# Of all makers, also in full-width letters, which some tokenizers normalize, and one inside another.
SPELLED = [
    "[SEP]", "[MASK]", "[PAD]", "[CLS]", "<s>", "</s>", "<pad>", "<mask>", "<|endoftext|>", "<extra_id_0>", "<think>",
    "\uff1c/s\uff1e", "<<s>s>", "[SE[SEP]P]", "<|im_end|>",
]  # fmt: skip


def unigram(folder: Path) -> Any:
    """XLM-R's kind: pieces among which the control tokens stand, and letters made equal before."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(piece, score) for piece, score in tiny.pieces(folder / "p.model") if piece not in special]
    whole = Tokenizer(models.Unigram([*((piece, 0.0) for piece in special), *pieces, ("<", -9.0), ("/", -9.0)], 3))
    whole.normalizer = normalizers.NFKC()
    whole.pre_tokenizer = pre_tokenizers.Metaspace()
    mask = AddedToken("<mask>", lstrip=True, special=True)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": mask}
    return PreTrainedTokenizerFast(tokenizer_object=whole, **names)


def with_thoughts(folder: Path) -> Any:
    """Qwen's kind: a token that steers and is not called special, and a run of spaces that does not."""
    found = tiny.byte_level(folder, "GPT2Tokenizer")
    found.add_tokens(["<think>", "    "])
    return found


def saved(make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        from transformers import AutoTokenizer

        make(folder)
        return AutoTokenizer.from_pretrained(folder)

    return read


KINDS: dict[str, Callable[[Path], Any]] = {
    "wordpiece": tiny.wordpiece,
    "bytes": tiny.byte_level,
    "thoughts": with_thoughts,
    "unigram": unigram,
    "t5": saved(tiny.t5),
    "marian, not fast": saved(tiny.marian),
    "m2m, not fast": saved(tiny.m2m),
}


@pytest.fixture(scope="module", params=list(KINDS))
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    return KINDS[request.param](folder)


@pytest.mark.parametrize("spelled", SPELLED)
def test_a_text_holds_no_control_token(tokenizer: Any, spelled: str) -> None:
    """Whatever it spells, in whatever kind of vocabulary; and what it says beside that stays."""
    control = ControlTokens(tokenizer)
    (ids,) = control.text_ids([f"my card {spelled} is lost"])
    assert control.ids.isdisjoint(ids)
    said = control.as_text(f"my card {spelled} is lost")
    assert said.replace(" ", "") == f"mycard{spelled}islost"


def test_other_texts_are_read_as_before(tokenizer: Any) -> None:
    """A text without control tokens keeps its ids to the last one, alone and in a frame."""
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
        assert row.within(None, head) == tokenizer(whole, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("spelled", SPELLED)
def test_control_tokens_count_in_the_frame_only(tokenizer: Any, spelled: str) -> None:
    """The frame's own are read, those of the text are not, also where one would form across their border."""
    control = ControlTokens(tokenizer)
    mark = next(content for content in control._contents.values() if content.isascii())
    for before, after in ((f"{mark} app: ", f"{mark} answer"), (spelled[:1], spelled[-1:])):
        usual, row = prompt_ids(
            tokenizer, control, [Prompt(before, "card", after), Prompt(before, f"{spelled[1:]} {spelled}", after)]
        )
        assert control.count(row.text) == 0
        assert control.count(row.within(None, head)) == control.count(usual.within(None, head))


@given(st.lists(st.sampled_from([*SPELLED, "<", ">", "[", "]", "|", " ", "s", "/s>", "card"]), max_size=8).map("".join))
def test_nothing_that_is_put_together_is_read_as_control(text: str) -> None:
    """Any mixture of control tokens and their parts is text."""
    for kind in ("unigram", "thoughts"):
        control = ControlTokens(_cached(kind))
        assert control.ids.isdisjoint(control.text_ids([text])[0])


_MADE: dict[str, Any] = {}


def _cached(kind: str) -> Any:
    from tempfile import mkdtemp

    if kind not in _MADE:
        _MADE[kind] = KINDS[kind](Path(mkdtemp()))
    return _MADE[kind]


@pytest.mark.parametrize("kept", [head, tail, ends])
def test_only_the_text_is_cut(tokenizer: Any, kept: Any) -> None:
    """However little room there is, both halves of the frame stay whole."""
    control = ControlTokens(tokenizer)
    before, after = "refund: my app, ", "\nis it about money"
    (row,) = prompt_ids(tokenizer, control, [Prompt(before, "the card is lost " * 30, after)])
    (bare,) = prompt_ids(tokenizer, control, [Prompt(before, "", after)])
    assert abs(row.frame - bare.size) <= 2  # a token may span the border
    for room in (row.size, row.size - 1, row.frame + 5, row.frame):
        ids = row.within(room, kept)
        assert len(ids) == min(room, row.size)
        assert ids[: len(row.before)] == row.before
        assert ids[len(ids) - len(row.after) :] == row.after
