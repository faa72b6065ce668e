"""Static token vectors: the same rows as tokenizing whole texts, for any batch, without torch."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.backbones import static
from rung.backbones.static import BUILTIN, StaticBackbone, count_tokens, write_static
from rung.errors import UserError

ODD = [
    "Stocks fell; oil rose.",
    "Café naïve — ÀÉÎ, STRAßE, İstanbul, Σίσυφος ΣΑΣ",
    "东京 is 東京, 한국어, ひらがな",
    "e\u0301 a\u0300,\u0301b \u0301c",
    "a\x00b a\x0bb a\x0cb a\x1cb a\x85b a\u2028b a\u00a0b a\u200bb a\ufeffb a\ufffdb",
    "tab\tline\nbreak\r\nend  two   spaces ",
    "🙂🙂 ok👍🏽 👩‍👩‍👧 x",
    "x" * 101 + " " + "y" * 100 + " " + "ab," * 60,
    "[CLS] [SEP] [MASK] [UNK] a[MASK]b ##ing [unused5]",
    "don't! (well... 3.14%) https://a.b/c?d=e&f #tag @me $5 `~^|\\_{}",
    "¿qué? «oui» “so” ‽ ≠ ; `",
    "",
    "   ",
]


@lru_cache(maxsize=1)
def opened() -> StaticBackbone:
    return StaticBackbone.open(BUILTIN, "builtin")


@pytest.fixture
def builtin() -> StaticBackbone:
    return opened()


def whole(backbone: StaticBackbone, texts: list[str]) -> np.ndarray:
    """The slow reference: tokenize each text as a whole, sum the vectors, normalize."""
    rows = count_tokens(backbone.tokenizer, texts) @ backbone.vectors
    return static._unit_rows(rows, instead=backbone.background)


def test_words_of_a_chunk_give_what_whole_texts_give(builtin: StaticBackbone) -> None:
    """Tokenizing each distinct word once is exact, also for accents, Chinese, control characters, emoji and long words."""
    for text in ODD:
        assert np.abs(builtin.embed([text]) - whole(builtin, [text])).max() < 1e-6, text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_gives_what_whole_texts_give(texts: list[str]) -> None:
    """No string gives another row by words than as a whole."""
    backbone = opened()
    assert np.abs(backbone.embed(texts) - whole(backbone, texts)).max() < 1e-6


def test_each_character_stands_where_the_tokenizer_puts_it(builtin: StaticBackbone) -> None:
    """Every character of the lower Unicode blocks, between letters and after punctuation, gives the tokens of the whole text."""
    texts = [f"a{chr(i)}b,{chr(i)}." for i in [*range(0x3100), *range(0xF900, 0x10000)]]
    words, tokens = builtin._counts(texts)
    difference = abs(words @ tokens - count_tokens(builtin.tokenizer, texts)).sum(axis=1)
    assert [texts[i] for i in np.flatnonzero(difference)] == []


def test_rows_are_unit_and_finite(builtin: StaticBackbone) -> None:
    """Every text gets a direction, even an empty one or one in a script that the model cannot read."""
    rows = builtin.embed([*ODD, "汉字", "\ud800", "\x00"])
    assert rows.dtype == np.float32
    assert rows.shape == (len(ODD) + 3, builtin.dimensions)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_nothing_known_points_where_general_text_points(builtin: StaticBackbone) -> None:
    """A text without any known token is taken for an average text, so it says nothing for or against a label."""
    average = builtin.background / np.linalg.norm(builtin.background)
    assert np.allclose(builtin.embed([""])[0], average, atol=1e-6)


def test_batch_and_order_do_not_matter_to_the_last_bit(
    builtin: StaticBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text's row is bitwise the same alone, in any order and in chunks of any size."""
    texts = [f"{odd} number {i} of the list" for i, odd in enumerate(ODD * 5)]
    together = builtin.embed(texts)
    alone = np.concatenate([builtin.embed([text]) for text in texts])
    monkeypatch.setattr(static, "CHUNK", 7)
    backwards = builtin.embed(texts[::-1])[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)


def test_a_full_cache_of_words_changes_no_answer(builtin: StaticBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of the cache of words changes the speed only."""
    fresh = StaticBackbone.open(BUILTIN, "builtin")
    monkeypatch.setattr(static, "MAX_CACHED_WORDS", 0)
    before = len(fresh._ids_by_word)
    assert np.array_equal(fresh.embed(ODD), builtin.embed(ODD))
    assert len(fresh._ids_by_word) == before


def test_no_texts_give_no_rows(builtin: StaticBackbone) -> None:
    """No texts give an empty matrix of the right width."""
    assert builtin.embed([]).shape == (0, builtin.dimensions)
    assert builtin.unknown_share([]) == 0.0


def test_the_share_of_unknown_tokens_tells_the_language(builtin: StaticBackbone) -> None:
    """English text has no unknown tokens, Chinese more than half, a mixture less than Chinese alone."""
    assert builtin.unknown_share(["The weather is fine today."]) == 0.0
    chinese = builtin.unknown_share(["这家酒店的房间很干净,服务态度也非常好"])
    assert chinese > 0.5
    assert 0 < builtin.unknown_share(["这家酒店的房间很干净,服务态度也非常好", "The weather is fine."]) < chinese


def test_copies_share_the_weights_and_pickles_leave_them_out(builtin: StaticBackbone) -> None:
    """A deep copy is the same object; a pickle is small and gives the same backbone."""
    assert copy.deepcopy(builtin) is builtin
    builtin.embed(["loaded"])
    pickled = pickle.dumps(builtin)
    assert len(pickled) < 1000
    back = pickle.loads(pickled)
    assert back.fingerprint == builtin.fingerprint
    assert np.array_equal(back.embed(ODD), builtin.embed(ODD))


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    """Equal files have an equal fingerprint in any folder; another vector has another."""
    tokenizer = (BUILTIN / "tokenizer.json").read_text(encoding="utf-8")
    vectors = np.random.default_rng(0).normal(size=(30522, 4)).astype(np.float32)
    prints = []
    for i, change in enumerate([0.0, 0.0, 1.0]):
        vectors[5, 0] += change
        tensors = {"background": np.ones(4, dtype=np.float32)}
        write_static(tmp_path / str(i), vectors, tokenizer, tensors=tensors, notes={})
        prints.append(StaticBackbone.open(tmp_path / str(i), "mine").fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_eight_bits_keep_the_direction(tmp_path: Path) -> None:
    """Quantization to int8 changes a component by at most 1/254 of the largest; a zero row stays zero."""
    vectors = np.random.default_rng(0).normal(size=(30522, 8)).astype(np.float32)
    vectors[0] = 0
    tokenizer = (BUILTIN / "tokenizer.json").read_text(encoding="utf-8")
    write_static(tmp_path, vectors, tokenizer, tensors={"background": np.zeros(8, dtype=np.float32)}, notes={})
    again = StaticBackbone.open(tmp_path, "mine").vectors
    assert np.abs(again - vectors).max() <= np.abs(vectors).max() / 254 * 1.001
    assert not again[0].any()


def test_another_folder_is_refused_in_two_lines(tmp_path: Path) -> None:
    """A folder with other content is not recognized, and opening it says what the folder should be."""
    assert not StaticBackbone.recognizes(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    assert not StaticBackbone.recognizes(tmp_path)
    with pytest.raises(UserError, match="holds no static token vectors"):
        StaticBackbone.open(tmp_path, "mine")
    (tmp_path / "config.json").write_text('{"format": "rung-static", "version": 99}')
    with pytest.raises(UserError, match="version 99"):
        StaticBackbone.open(tmp_path, "mine")


def test_base_use_imports_no_torch() -> None:
    """The built-in model needs neither torch nor transformers nor a socket."""
    code = (
        "import sys, socket; socket.socket = None\n"
        "from rung.backbones.static import BUILTIN, StaticBackbone\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'pyarrow', 'tokenizers', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert StaticBackbone.open(BUILTIN, 'builtin').embed(['hello']).shape[0] == 1\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
