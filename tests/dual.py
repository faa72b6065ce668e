"""Image–text models that tests make: tiny, with random weights or trained for a few steps, saved as the originals are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rung.labels.label import FRAMES_IMAGE

COLORS = {"red": (210, 30, 30), "green": (30, 190, 40), "blue": (30, 40, 210)}
SIDE = 16
_TOKENS = 24  # the limit of the text encoders
_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
_VISION_SIZES = {**_SIZES, "image_size": SIDE, "patch_size": 8}


def picture(color: tuple[int, int, int], seed: int = 0, side: int = 20) -> Image.Image:
    """A square of one color, with some noise."""
    noise = np.random.default_rng(seed).normal(0, 25, size=(side, side + 4, 3))
    return Image.fromarray(np.clip(np.array(color) + noise, 0, 255).astype(np.uint8))


def clip(folder: Path, seed: int = 0, *, steps: int = 0) -> Path:
    """A CLIP with random weights, trained for `steps` steps on the names of the colors."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    tokenizer = _clip_tokenizer(folder)
    special_ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    words = {**_SIZES, **special_ids, "vocab_size": len(tokenizer), "max_position_embeddings": _TOKENS}
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=words, vision_config=_VISION_SIZES, projection_dim=24))
    size = {"height": SIDE, "width": SIDE}
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size)
    if steps:
        _learn_colors(model, tokenizer, processor, steps)
    _save(folder, model, tokenizer, processor)
    return folder


def chinese_clip(folder: Path, seed: int = 0) -> Path:
    """A Chinese CLIP, whose text encoder is a BERT, with random weights."""
    import torch
    from transformers import BertTokenizerFast, ChineseCLIPConfig, ChineseCLIPImageProcessorPil, ChineseCLIPModel

    folder.mkdir(exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz."
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *COLORS, *letters, *(f"##{x}" for x in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), "utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=_TOKENS)
    words = {**_SIZES, "vocab_size": len(vocabulary), "max_position_embeddings": _TOKENS}
    torch.manual_seed(seed)
    model = ChineseCLIPModel(ChineseCLIPConfig(text_config=words, vision_config=_VISION_SIZES, projection_dim=24))
    size = {"height": SIDE, "width": SIDE}
    _save(folder, model, tokenizer, ChineseCLIPImageProcessorPil(size=size, do_center_crop=False))
    return folder


def siglip(folder: Path, seed: int = 0) -> Path:
    """A SigLIP with random weights."""
    import torch
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessorPil, SiglipModel

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_word_pieces(), pad_token="</s>", eos_token="</s>", unk_token="<unk>", model_max_length=_TOKENS
    )
    words = {**_SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": _TOKENS, "projection_size": 32}
    torch.manual_seed(seed)
    model = SiglipModel(SiglipConfig(text_config=words, vision_config=_VISION_SIZES))
    processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    _save(folder, model, tokenizer, processor)
    return folder


def _save(folder: Path, *parts: Any) -> None:
    for part in parts:
        part.save_pretrained(folder)


def _sentences() -> list[str]:
    return [frame.format(color) for frame in FRAMES_IMAGE for color in COLORS] * 20


def _clip_tokenizer(folder: Path) -> Any:
    """A byte pair tokenizer with marks at the ends of words, as CLIP's."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    folder.mkdir(exist_ok=True)
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, end_of_word_suffix="</w>", show_progress=False
    )
    trained.train_from_iterator(_sentences(), trainer)
    facts = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in facts["merges"]]
    return CLIPTokenizer(vocab=facts["vocab"], merges=merges, model_max_length=_TOKENS)


def _word_pieces() -> Any:
    """A unigram tokenizer that puts an end token after every text, as SigLIP's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "</s>"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False)
    trained.train_from_iterator(_sentences(), trainer)
    trained.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return trained


def _learn_colors(model: Any, tokenizer: Any, processor: Any, steps: int) -> None:
    """Train with contrastive loss on pictures of each color and captions that name it."""
    import torch

    rng = np.random.default_rng(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(steps):
        images = [picture(color, 1000 * step + i) for i in range(6) for color in COLORS.values()]
        captions = [str(rng.choice(FRAMES_IMAGE)).format(color) for color in COLORS]
        words = tokenizer(captions, padding=True, return_tensors="pt")
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        logits = model(**words, pixel_values=pixels).logits_per_image
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(COLORS)).repeat(6))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
