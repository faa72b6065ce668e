"""Layer pruning: a copy of an encoder that keeps some of its layers, and that can then be trained to embed as the full one did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rung.backbones.common.pretrained import quiet_loading
from rung.backbones.encoder import EncoderBackbone, control_tokens
from rung.errors import UserError

_LEARNING_RATE = 1e-4


def drop_layers(
    backbone: Any,
    keep: int | Sequence[int],
    out: str | Path,
    *,
    texts: Sequence[str] | None = None,
    epochs: int = 1,
    seed: int = 0,
) -> EncoderBackbone:
    """A new encoder in the folder `out` with some layers of `backbone`, which stays as it was.

    keep: how many layers to keep, evenly spaced and including the last, or the indices of the layers (0 is the first). With
    `texts`, the new encoder is then trained for `epochs` to embed them as `backbone` does (mean squared error,
    sentence-transformers' trainer). Raises UserError for a backbone that is no sentence encoder, and for layers that it lacks.
    """
    encoder = read_encoder(backbone)
    transformer = encoder[0].auto_model
    layers = transformer_layers(transformer)
    places = evenly_spaced(keep, len(layers)) if isinstance(keep, int) else list(keep)
    if not places or not all(0 <= place < len(layers) for place in places) or len(set(places)) < len(places):
        raise UserError(
            "shallow: {backbone} has {layers} layers, asked for {keep}.",
            "Ask for 1 to {layers} layers.",
            backbone=backbone.name,
            layers=len(layers),
            keep=keep,
        )
    kept = [layers[place] for place in sorted(places)]
    while len(layers):
        del layers[-1]
    layers.extend(kept)
    transformer.config.num_hidden_layers = len(kept)
    if texts is not None:
        _distill_embeddings(encoder, list(texts), backbone, Path(out), epochs, seed)
    write_encoder(encoder, Path(out))
    return EncoderBackbone.open(Path(out), "shallow")


def read_encoder(backbone: Any) -> Any:
    """A copy of the backbone's encoder, whose weights may be changed. Raises UserError if the backbone is no sentence encoder."""
    if not isinstance(backbone, EncoderBackbone):
        raise UserError(
            "{backbone} is no sentence encoder with layers and weights that could be trained.",
            'Choose a sentence encoder, such as  backbone="minilm" , or a student that needs none:  student="ngram"',
            backbone=backbone.name,
        )
    from sentence_transformers import SentenceTransformer

    with quiet_loading():
        options = {"use_safetensors": True, "dtype": "float32"}
        encoder = SentenceTransformer(str(backbone.folder), device="cpu", model_kwargs=options, local_files_only=True)
    encoder.model_card_data.widget = [{}]  # else the trainer searches examples for a model card, with a progress bar
    return encoder


def transformer_layers(transformer: Any) -> Any:
    """The layers of a transformer: the first ModuleList that is as long as the config's number of layers."""
    from torch.nn import ModuleList

    count = transformer.config.num_hidden_layers
    return next(each for each in transformer.modules() if isinstance(each, ModuleList) and len(each) == count)


def evenly_spaced(keep: int, layers: int) -> list[int]:
    """Indices of `keep` of the `layers` layers, evenly spaced, including the last one.

    >>> evenly_spaced(3, 6)
    [1, 3, 5]
    """
    return [layers * (i + 1) // keep - 1 for i in range(keep)] if 0 < keep <= layers else []


def write_encoder(encoder: Any, out: Path) -> None:
    """Save the encoder in the format of sentence-transformers, without the library's version.

    Equal weights then have equal files and the same fingerprint, whichever version wrote them.
    """
    with quiet_loading():
        encoder.save(str(out), create_model_card=False)
    config = out / "config_sentence_transformers.json"
    facts = json.loads(config.read_text("utf-8"))
    facts.pop("__version__", None)
    config.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def _distill_embeddings(encoder: Any, texts: list[str], backbone: Any, out: Path, epochs: int, seed: int) -> None:
    """Train the kept layers to reproduce the embeddings of the full encoder."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import MSELoss

    read = control_tokens(encoder).as_texts(texts)  # as the full encoder reads them
    rows = Dataset.from_dict({"sentence": read, "label": backbone.embed(texts).tolist()})
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out / "checkpoints"),
        num_train_epochs=epochs,
        per_device_train_batch_size=32,
        learning_rate=_LEARNING_RATE,
        warmup_steps=0.1,
        seed=seed,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    SentenceTransformerTrainer(model=encoder, args=arguments, train_dataset=rows, loss=MSELoss(encoder)).train()
    encoder.eval()
