"""Tokenizers that tests train on a few lines, and models of a layer or two that are saved beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LINES = [
    "my card is lost, please help me",
    "the app crashes again and again",
    "refund my money, the invoice is wrong",
    "it was a great film",
    "it was a terrible film about the card",
    "this is about money",
]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SMALL_PAIR = {  # of encoder and decoder, as BART and Marian call it
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}


def wordpiece(folder: Path, lines: Sequence[str] = LINES) -> Any:
    """BERT's kind: whole words of `lines` except the longest, and letters for everything else."""
    from transformers import BertTokenizerFast

    words = sorted({word for line in lines for word in re.findall(r"[a-z]+", line) if len(word) < 7})
    letters = list("abcdefghijklmnopqrstuvwxyz.,:?")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + x for x in letters), *words]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)), "utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True)
    tokenizer.save_pretrained(folder)
    return tokenizer


def byte_level(folder: Path, kind: str = "RobertaTokenizer") -> Any:
    """RoBERTa's kind: bytes, merged; a space is part of the word after it, and the mask swallows the one before it."""
    import transformers
    from tokenizers import AddedToken, ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(LINES, vocab_size=320, min_frequency=1, special_tokens=special, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    trained.save_model(str(folder))
    mask = AddedToken("<mask>", lstrip=True, normalized=False, special=True)
    tokenizer = getattr(transformers, kind).from_pretrained(str(folder), mask_token=mask)
    tokenizer.save_pretrained(folder)
    return tokenizer


def pieces(file: Path, lines: Sequence[str] = LINES) -> list[tuple[str, float]]:
    """SentencePiece's kind: a unigram model in `file`; its pieces with their log probabilities, special ones first."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(lines) * 3),
        model_prefix=str(file.with_suffix("")),
        vocab_size=70,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    trained = sentencepiece.SentencePieceProcessor(model_file=str(file.with_suffix(".model")))
    found = [(trained.id_to_piece(i), trained.get_score(i)) for i in range(len(trained))]
    file.with_suffix(".model").rename(file)
    return found


def save(model: Any, folder: Path) -> Path:
    """The model beside its tokenizer, as others will find it."""
    from rung.backbones.pretrained import quiet

    with quiet():
        model.eval().save_pretrained(folder)
    return folder
