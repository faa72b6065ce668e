"""A small language model from nothing: a tokenizer of the person's own texts, and random weights of the size asked for."""

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
_END = "<|endoftext|>"
_UNKNOWN = "[UNK]"
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Size:
    """How large a new model is: about  12 layers · dimensions² + vocabulary · dimensions  weights, a million as it stands."""

    vocabulary: int = 2048
    dimensions: int = 128
    layers: int = 4
    heads: int = 4

    def check(self) -> None:
        """Raise UserError for a size that cannot be."""
        for name, value in vars(self).items():
            if value != int(value) or value < 1:
                raise UserError("pretrain: {name} {value}.", "Give a whole number, 1 or more.", name=name, value=value)
        if self.dimensions % self.heads:
            raise UserError(
                "pretrain: {dimensions} dimensions cannot be shared by {heads} heads.",
                "Take a multiple, such as {heads_2} dimensions.",
                dimensions=self.dimensions,
                heads=self.heads,
                heads_2=self.heads * max(1, self.dimensions // self.heads),
            )
        if self.vocabulary < 300:
            raise UserError(
                "pretrain: a vocabulary of {vocabulary}.",
                "Give 300 tokens or more: bytes come first.",
                vocabulary=self.vocabulary,
            )


def tokenizer_for(kind: Kind, texts: Sequence[str], vocabulary: int, max_tokens: int) -> Any:
    """A tokenizer learned from `texts`: merged bytes for a causal model, BERT's lower-case pieces of words for a masked one."""
    from transformers import PreTrainedTokenizerFast

    if kind == "causal":
        marks: dict[str, Any] = {"bos_token": _END, "eos_token": _END, "pad_token": _END}
        made = _byte_level(texts, vocabulary)
    else:
        marks = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), _MARKS, strict=True))
        marks["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        made = _wordpiece(texts, vocabulary)
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=max_tokens, **marks)


def _byte_level(texts: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()  # all bytes, so that no text is unknown
    how: dict[str, Any] = {
        "vocab_size": vocabulary,
        "special_tokens": [_END],
        "initial_alphabet": alphabet,
        "show_progress": False,
    }
    made.train_from_iterator(texts, trainers.BpeTrainer(**how))
    return made


def _wordpiece(texts: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.WordPiece(unk_token=_UNKNOWN))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # the trainer numbers letters in the order of a random hash unless it is told them; equal texts must make equal models
    told = [*_MARKS, *_letters(texts, made)]
    made.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=told, show_progress=False)
    )
    whole = Tokenizer(models.WordPiece(made.get_vocab(), unk_token=_UNKNOWN))  # in it, letters are not special
    whole.normalizer, whole.pre_tokenizer = made.normalizer, made.pre_tokenizer
    whole.decoder = decoders.WordPiece()
    whole.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(mark, made.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")],
    )
    return whole


def _letters(texts: Sequence[str], tokenizer: Any) -> list[str]:
    """All letters that begin a word, and all within one, as WordPiece writes them, in their order."""
    read = (word for text in texts for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(_normal(tokenizer, text)))
    words = set(read)
    return sorted({word[0] for word in words}) + sorted({f"##{letter}" for word in words for letter in word[1:]})


def _normal(tokenizer: Any, text: str) -> str:
    return str(tokenizer.normalizer.normalize_str(text))


def config_for(kind: Kind, size: Size, tokenizer: Any, max_tokens: int) -> Any:
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
        initializer_range=size.dimensions
        ** -0.5,  # with BERT's own 0.02, made for 768, a narrow one hardly begins to learn
        hidden_dropout_prob=0.0,  # one token in seven is told: too little to drop any of it
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )


def weights_of(kind: Kind, config: Any) -> int:
    """How many weights a model of this config has, without making them."""
    import torch

    with torch.device("meta"):
        return sum(part.numel() for part in build(kind, config).parameters())


def build(kind: Kind, config: Any) -> Any:
    """A model of this config with random weights."""
    import transformers

    made = getattr(transformers, CLASSES[kind])
    return made.from_config(config) if kind != "masked+next" else made(config)
