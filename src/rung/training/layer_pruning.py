"""Make an encoder shallower: some of its layers, the rest as it was; on request taught again to say what all of them said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rung.backbones.common.pretrained import quiet
from rung.backbones.encoder import EncoderBackbone
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

    keep: how many layers, spread evenly with the last among them, or which (0 is the first). Given `texts`, the new one is
    then taught for `epochs` to embed them as `backbone` does (mean squared error, sentence-transformers' trainer).
    Raises UserError for a backbone that is no sentence encoder, and for layers that it does not have.
    """
    encoder = read_encoder(backbone)
    transformer = encoder[0].auto_model
    layers = layers_of(transformer)
    places = spread(keep, len(layers)) if isinstance(keep, int) else list(keep)
    if not places or not all(0 <= place < len(layers) for place in places) or len(set(places)) < len(places):
        raise UserError(
            "shallow: {backbone_name} has {n_layers} layers, asked for {keep}.",
            "Ask for 1 to {n_layers} layers.",
            backbone_name=backbone.name,
            n_layers=len(layers),
            keep=keep,
        )
    kept = [layers[place] for place in sorted(places)]
    while len(layers):
        del layers[-1]
    layers.extend(kept)
    transformer.config.num_hidden_layers = len(kept)
    if texts is not None:
        _teach(encoder, list(texts), backbone, Path(out), epochs, seed)
    write_encoder(encoder, Path(out))
    return EncoderBackbone.open(Path(out), "shallow")


def read_encoder(backbone: Any) -> Any:
    """A copy of the encoder's own, free to be changed. Raises UserError where the backbone is no sentence encoder."""
    if not isinstance(backbone, EncoderBackbone):
        raise UserError(
            "{backbone_name} is no sentence encoder with layers and weights that could be moved.",
            'Take one, such as  backbone="minilm" , or a student that needs none:  student="ngram"',
            backbone_name=backbone.name,
        )
    from sentence_transformers import SentenceTransformer

    with quiet():
        how = {"use_safetensors": True, "dtype": "float32"}
        encoder = SentenceTransformer(str(backbone.folder), device="cpu", model_kwargs=how, local_files_only=True)
    encoder.model_card_data.widget = [{}]  # else a trainer looks for examples for a card, under a bar of its own
    return encoder


def layers_of(transformer: Any) -> Any:
    """The list of a transformer's layers: as long as its config says that there are layers."""
    from torch.nn import ModuleList

    wanted = transformer.config.num_hidden_layers
    return next(each for each in transformer.modules() if isinstance(each, ModuleList) and len(each) == wanted)


def spread(keep: int, layers: int) -> list[int]:
    """Places of `keep` of `layers` layers, as even as can be, the last among them.

    >>> spread(3, 6)
    [1, 3, 5]
    """
    return [layers * (i + 1) // keep - 1 for i in range(keep)] if 0 < keep <= layers else []


def write_encoder(encoder: Any, out: Path) -> None:
    """Write it as sentence-transformers does, but so that equal weights have equal files, whichever version wrote them."""
    with quiet():
        encoder.save(str(out), create_model_card=False)
    config = out / "config_sentence_transformers.json"
    facts = json.loads(config.read_text("utf-8"))
    facts.pop("__version__", None)  # the same weights have the same fingerprint, whichever library wrote them
    config.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def _teach(encoder: Any, texts: list[str], backbone: Any, out: Path, epochs: int, seed: int) -> None:
    """Move the kept layers until the embeddings are again those of the whole encoder."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.losses import MSELoss

    rows = Dataset.from_dict({"sentence": texts, "label": backbone.embed(texts).tolist()})
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
