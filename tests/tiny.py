"""Tokenizers that tests train on a few lines, and tiny models that are saved beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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

# Control tokens of many models, also in full-width letters, which some tokenizers normalize, and one inside another.
CONTROL_TOKENS = [
    "[SEP]", "[MASK]", "[PAD]", "[CLS]", "<s>", "</s>", "<pad>", "<mask>", "<|endoftext|>", "<extra_id_0>", "<think>",
    "\uff1c/s\uff1e", "<<s>s>", "[SE[SEP]P]", "<|im_end|>",
]  # fmt: skip


def wordpiece(folder: Path, lines: Sequence[str] = LINES) -> Any:
    """A tokenizer as BERT's: the shorter words of `lines`, and letters for everything else."""
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
    """A tokenizer as RoBERTa's: byte-level BPE; a space belongs to the next word, and the mask token takes the space before it."""
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


def pieces(file: Path, lines: Sequence[str] = LINES, size: int = 70) -> list[tuple[str, float]]:
    """A SentencePiece unigram model, written to `file`; its pieces with their log probabilities, special ones first."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(list(lines) * 3),
        model_prefix=str(file.with_suffix("")),
        vocab_size=size,
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


def random(architecture: str, config: Any, folder: Path) -> Path:
    """A model of this class with random weights, spread so far that different inputs give clearly different outputs."""
    import torch
    import transformers

    torch.manual_seed(0)
    config.initializer_range = 0.3
    return save(getattr(transformers, architecture)(config), folder)


def bert(architecture: str, folder: Path, **options: Any) -> Path:
    """A BERT with one of its heads, reading 48 tokens."""
    from transformers import BertConfig

    tokenizer = wordpiece(folder)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=48, **SMALL, **options)
    return random(architecture, config, folder)


def roberta(architecture: str, folder: Path, **options: Any) -> Path:
    """A RoBERTa with one of its heads, reading 64 tokens."""
    from transformers import RobertaConfig

    tokenizer = byte_level(folder)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=66, **ids, **SMALL, **options)
    return random(architecture, config, folder)


def deberta(architecture: str, folder: Path, **options: Any) -> Path:
    """A DeBERTa-v2, whose attention uses relative positions only, with one of its heads."""
    from transformers import DebertaV2Config

    tokenizer = wordpiece(folder)
    relative = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0}
    config = DebertaV2Config(vocab_size=len(tokenizer), max_position_embeddings=48, **relative, **SMALL, **options)
    return random(architecture, config, folder)


def bart(architecture: str, folder: Path, **options: Any) -> Path:
    """A BART with one of its heads, reading 64 tokens."""
    from transformers import BartConfig

    tokenizer = byte_level(folder, "BartTokenizer")
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "init_std": 0.3} | SMALL_PAIR
    return random(architecture, BartConfig(**(ids | sizes | options)), folder)


def t5(folder: Path, lines: Sequence[str] = LINES, size: int = 70, **options: Any) -> Path:
    """A T5 v1.1: gated feed-forward layers, output embeddings of its own."""
    from transformers import T5Config, T5TokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = T5TokenizerFast(vocab=pieces(folder / "spiece.model", lines, size), extra_ids=4)
    tokenizer.save_pretrained(folder)
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "initializer_factor": 1.5}
    known = {"vocab_size": len(tokenizer), "decoder_start_token_id": 0, "feed_forward_proj": "gated-gelu"}
    return random("T5ForConditionalGeneration", T5Config(**(known | sizes | options)), folder)


def marian(folder: Path, **options: Any) -> Path:
    """A Marian, which has separate vocabularies for source and target texts."""
    import json

    from transformers import MarianConfig, MarianTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    found = [*pieces(folder / "source.spm")[3:], *pieces(folder / "target.spm", size=40)[3:]]
    words = ["</s>", "<unk>", *dict.fromkeys(piece for piece, _ in found), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), "utf-8")
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    MarianTokenizer(*files).save_pretrained(folder)
    pad = len(words) - 1
    ids = {"pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": pad, "forced_eos_token_id": 0}
    sizes = {"vocab_size": len(words), "max_position_embeddings": 64, "init_std": 0.3} | SMALL_PAIR
    return random("MarianMTModel", MarianConfig(**(ids | sizes | options)), folder)


def gpt2(folder: Path, **options: Any) -> Path:
    """A GPT-2, reading 160 tokens."""
    from transformers import GPT2Config

    tokenizer = byte_level(folder, "GPT2Tokenizer")
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 160, "vocab_size": len(tokenizer)}
    return random("GPT2LMHeadModel", GPT2Config(bos_token_id=0, eos_token_id=2, **sizes, **options), folder)


def m2m(folder: Path, **options: Any) -> Path:
    """An M2M100, whose first token must name the target language."""
    import json

    from transformers import M2M100Config, M2M100Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    found = pieces(folder / "spm.model")
    words = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece, _ in found[3:])]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), "utf-8")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "spm.model"))
    tokenizer.save_pretrained(folder)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    sizes = {"vocab_size": 220, "max_position_embeddings": 64, "init_std": 0.3} | SMALL_PAIR
    return random("M2M100ForConditionalGeneration", M2M100Config(**(ids | sizes | options)), folder)


def save(model: Any, folder: Path) -> Path:
    """Save the model beside its tokenizer, and give the folder."""
    from rung.backbones.common.pretrained import quiet_loading

    with quiet_loading():
        model.eval().save_pretrained(folder)
    return folder


def unigram(folder: Path) -> Any:
    """XLM-R's kind: the vocabulary holds the control tokens as pieces, and letters are normalized before."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    found = [(piece, score) for piece, score in pieces(folder / "p.model") if piece not in special]
    made = Tokenizer(models.Unigram([*((piece, 0.0) for piece in special), *found, ("<", -9.0), ("/", -9.0)], 3))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    mask = AddedToken("<mask>", lstrip=True, special=True)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": mask}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def with_unmarked_tokens(folder: Path) -> Any:
    """Qwen's kind: a control token that is not marked special, and a run of spaces that is no control token."""
    found = byte_level(folder, "GPT2Tokenizer")
    found.add_tokens(["<think>", "    "])
    return found


def saved(make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        from transformers import AutoTokenizer

        make(folder)
        return AutoTokenizer.from_pretrained(folder)

    return read


TOKENIZERS: dict[str, Callable[[Path], Any]] = {
    "wordpiece": wordpiece,
    "bytes": byte_level,
    "unmarked": with_unmarked_tokens,
    "unigram": unigram,
    "t5": saved(t5),
    "marian, not fast": saved(marian),
    "m2m, not fast": saved(m2m),
}
