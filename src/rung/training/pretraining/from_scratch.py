"""A small language model from scratch: a tokenizer trained on the person's own texts, and random weights of the given size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rung.errors import UserError

Kind = Literal["causal", "masked", "masked+next"]

CLASSES: dict[Kind, str] = {
    "causal": "AutoModelForCausalLM",
    "masked": "AutoModelForMaskedLM",
    "masked+next": "BertForPreTraining",
}
_END_OF_TEXT = "<|endoftext|>"
_UNKNOWN = "[UNK]"
_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Size:
    """The size of a new model: about  12 layers · dimensions² + vocabulary · dimensions  weights; by default a million."""

    vocabulary: int = 2048
    dimensions: int = 128
    layers: int = 4
    heads: int = 4

    def check(self) -> None:
        """Raise UserError for an impossible size."""
        for name, value in vars(self).items():
            if value != int(value) or value < 1:
                raise UserError(
                    "pretrain: {name} is {value}.", "Give a whole number, 1 or more.", name=name, value=value
                )
        if self.dimensions % self.heads:
            raise UserError(
                "pretrain: {dimensions} dimensions cannot be divided among {heads} heads.",
                "Choose a multiple of the heads, such as {multiple} dimensions.",
                dimensions=self.dimensions,
                heads=self.heads,
                multiple=self.heads * max(1, self.dimensions // self.heads),
            )
        if self.vocabulary < 300:
            raise UserError(
                "pretrain: a vocabulary of {vocabulary} tokens is too small.",
                "Give 300 tokens or more: 256 of them stand for single bytes.",
                vocabulary=self.vocabulary,
            )


def train_tokenizer(kind: Kind, texts: Sequence[str], vocabulary: int, max_tokens: int) -> Any:
    """A tokenizer trained on `texts`: byte-level BPE for a causal model, uncased WordPiece (as in BERT) for a masked one."""
    from transformers import PreTrainedTokenizerFast

    if kind == "causal":
        special: dict[str, Any] = {"bos_token": _END_OF_TEXT, "eos_token": _END_OF_TEXT, "pad_token": _END_OF_TEXT}
        made = _byte_level(texts, vocabulary)
    else:
        special = dict(
            zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _SPECIAL_TOKENS, strict=True)
        )
        special["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        made = _wordpiece(texts, vocabulary)
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=max_tokens, **special)


def _byte_level(texts: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()  # all bytes, so that no text gives an unknown token
    options: dict[str, Any] = {
        "vocab_size": vocabulary,
        "special_tokens": [_END_OF_TEXT],
        "initial_alphabet": alphabet,
        "show_progress": False,
    }
    made.train_from_iterator(texts, trainers.BpeTrainer(**options))
    # every text of the training stream follows an end token, so the model reads a text in the same way
    made.post_processor = processors.TemplateProcessing(
        single=f"{_END_OF_TEXT} $A", special_tokens=[(_END_OF_TEXT, made.token_to_id(_END_OF_TEXT))]
    )
    return made


def _wordpiece(texts: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token=_UNKNOWN))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # The trainer numbers the letters by a random hash unless they are given as special tokens; equal texts must give equal models.
    first_tokens = [*_SPECIAL_TOKENS, *_alphabet(texts, made)]
    made.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=first_tokens, show_progress=False)
    )
    # a second tokenizer with this vocabulary, in which the letters are ordinary tokens
    tokenizer = Tokenizer(models.WordPiece(made.get_vocab(), unk_token=_UNKNOWN))
    tokenizer.normalizer, tokenizer.pre_tokenizer = made.normalizer, made.pre_tokenizer
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(mark, made.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _alphabet(texts: Sequence[str], tokenizer: Any) -> list[str]:
    """All letters that begin a word, and all within one, as WordPiece writes them, in their order."""
    read = (
        word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(_normalized(tokenizer, text))
    )
    words = set(read)
    return sorted({word[0] for word in words}) + sorted({f"##{letter}" for word in words for letter in word[1:]})


def _normalized(tokenizer: Any, text: str) -> str:
    return str(tokenizer.normalizer.normalize_str(text))


def model_config(kind: Kind, size: Size, tokenizer: Any, max_tokens: int) -> Any:
    """The config of a new GPT-2 or BERT that reads `max_tokens`."""
    from transformers import BertConfig, GPT2Config

    if kind == "causal":
        end = tokenizer.eos_token_id
        return GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=max_tokens,
            n_embd=size.dimensions,
            n_layer=size.layers,
            n_head=size.heads,
            bos_token_id=end,
            eos_token_id=end,
            pad_token_id=end,
        )
    return BertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=max_tokens,
        hidden_size=size.dimensions,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.dimensions,
        # BERT's own 0.02 is made for 768 dimensions; with it a narrow model hardly starts to learn
        initializer_range=size.dimensions**-0.5,
        hidden_dropout_prob=0.0,  # only one token in seven gives a loss: too little signal for dropout
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )


def parameter_count(kind: Kind, config: Any) -> int:
    """How many weights a model of this config has, computed without allocating them."""
    import torch

    with torch.device("meta"):
        return sum(part.numel() for part in build_model(kind, config).parameters())


def build_model(kind: Kind, config: Any) -> Any:
    """A model of this config with random weights."""
    import transformers

    made = getattr(transformers, CLASSES[kind])
    return made.from_config(config) if kind != "masked+next" else made(config)
