"""How long a causal model takes to score many labels: all in one pass over what they share, and one pass for each pair.

Writes results/scoring.json. The model is of GPT-2 small's size (12 layers, 768 dimensions, 50 257 tokens), with random weights,
since only its time is measured; the texts and the 77 labels are banking77's, and the tokenizer is trained on its texts. `pairs`
is what a plain script does: each text with each label through the model, eight pairs at a time, logits of the label's tokens
only. Both are timed in turn on the same texts, in one process; the median over texts is told, and the largest difference of scores.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import measure
import numpy as np
import sets

from rung import load
from rung.inference.prompts import label_prompts
from rung.labels import Labels

TEXTS = 3  # timed against pairs, which take minutes
MANY = 24  # timed alone: what they share, the instruction, is read once
AT_ONCE = 8
COUNTS = (2, 5, 10, 20, 40, 77)
SIZE = {"n_layer": 12, "n_embd": 768, "n_head": 12, "n_positions": 1024, "vocab_size": 50_257}


def main() -> None:
    given = sets.read("banking77")
    with tempfile.TemporaryDirectory() as folder:
        backbone = made(Path(folder), given.texts)
        rows = [beside(backbone, given, frame) for frame in ("classifier", "bare")]
        growth = [growing(backbone, given, count) for count in COUNTS]
    for row in [*rows, *growth]:
        print(row)
    result = {"model": SIZE, "weights": "random", "pairs_at_once": AT_ONCE, "rows": rows, "growth": growth}
    sets.write("scoring", result)


def made(folder: Path, texts: list[str]) -> Any:
    """The model with its tokenizer, as it is loaded from a folder."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, 8000, 2, special_tokens=["<|endoftext|>"], show_progress=False)
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, bos_token=end, eos_token=end).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(**SIZE, initializer_range=0.05, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).eval().save_pretrained(folder)
    return load(str(folder))


def framed(backbone: Any, labels: Labels, frame: str, texts: list[str]) -> tuple[list[str], list[str]]:
    """Prompts and candidates: as a Classifier words them, with all labels listed first, or the text alone."""
    if frame == "bare":
        return [f"{text} This text is about" for text in texts], [f" {name}" for name in labels.names]
    wording = label_prompts(labels, backbone)
    return [wording.prompt(text) for text in texts], wording.candidates


def beside(backbone: Any, given: sets.TestSet, frame: str) -> dict[str, Any]:
    """Seconds a text of both ways, in turn, and how far their scores lie apart."""
    prompts, candidates = framed(backbone, given.labels, frame, given.texts[: TEXTS + MANY])
    backbone.score(prompts[:1], candidates)  # weights are read, and the way is chosen
    shared, pairs, gaps = [], [], []
    for prompt in prompts[:TEXTS]:
        found, seconds = measure.timed(lambda prompt=prompt: backbone.score([prompt], candidates)[0])
        shared.append(seconds)
        plain, seconds = measure.timed(lambda prompt=prompt: by_pairs(backbone, prompt, candidates))
        pairs.append(seconds)
        gaps.append(float(np.abs(found - plain).max()))
    _, together = measure.timed(lambda: backbone.score(prompts[TEXTS:], candidates))
    tokens = [len(backbone.tokenizer(each)["input_ids"]) for each in prompts]
    return {
        "frame": frame,
        "labels": len(candidates),
        "prompt_tokens": round(float(np.mean(tokens))),
        "label_tokens": round(float(np.mean(backbone.lengths(candidates))), 1),
        "shared_s": round(median(shared), 3),
        "together_s": round(together / MANY, 3),
        "pairs_s": round(median(pairs), 2),
        "times": round(median(p / s for p, s in zip(pairs, shared, strict=True)), 1),
        "times_together": round(median(pairs) / (together / MANY), 1),
        "largest_gap": float(f"{max(gaps):.2g}"),
    }


def by_pairs(backbone: Any, prompt: str, candidates: list[str]) -> Any:
    """log p(candidate | prompt), each pair read from its beginning."""
    import torch

    tokenizer, found = backbone.tokenizer, []
    head = tokenizer(prompt)["input_ids"]
    said = [tokenizer(each, add_special_tokens=False)["input_ids"] for each in candidates]
    with torch.inference_mode():
        for start in range(0, len(said), AT_ONCE):
            part = said[start : start + AT_ONCE]
            longest = max(map(len, part))
            ids = torch.tensor([[*head, *each, *[0] * (longest - len(each))] for each in part])
            logits = backbone.model(input_ids=ids, logits_to_keep=longest + 1).logits.float()
            for row, each in zip(logits, part, strict=True):
                steps = row[: len(each)].log_softmax(-1)
                found.append(float(steps[torch.arange(len(each)), torch.tensor(each)].sum()))
    return np.array(found)


def growing(backbone: Any, given: sets.TestSet, count: int) -> dict[str, Any]:
    """Seconds of one text by the number of labels, after the same prompt."""
    prompts, candidates = framed(backbone, given.labels, "classifier", given.texts[:3])
    few = candidates[:count]
    backbone.score(prompts[:1], few)
    seconds = [measure.timed(lambda prompt=prompt: backbone.score([prompt], few))[1] for prompt in prompts]
    tokens = int(backbone.lengths(few).sum())
    return {"labels": count, "label_tokens": tokens, "seconds": round(median(seconds), 3)}


if __name__ == "__main__":
    main()
