"""Models with an image encoder and a text encoder into one space, such as CLIP and SigLIP: they classify images by label texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rung.backbones.common.pretrained import Pretrained, architecture
from rung.errors import UserError
from rung.evidence import Array, Role, unit
from rung.evidence.images import ImageError, rgb

_ARCHITECTURES = {"CLIPModel", "SiglipModel", "ChineseCLIPModel"}
_BATCH_SIZE = 16  # images or label texts in one forward pass


class ImageBackbone(Pretrained):
    """A frozen pair of encoders, in float32: the items to classify are images, the labels are texts.

    `temperature` is the model's own: the difference of cosines that its training counts as one nat.
    """

    abilities = frozenset({"embed"})
    input = "image"
    needs = ("torch", "transformers", "PIL")
    model_class = "AutoModel"  # it finds the class of each architecture

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the config names an architecture that this file runs."""
        return architecture(folder) in _ARCHITECTURES

    @cached_property
    def dimensions(self) -> int:
        """Length of an embedding; from the catalog where possible, so that transformers is not imported for cached embeddings."""
        known = self.entry.dimensions if self.entry else None
        return known or int(getattr(self._config, "projection_dim", None) or self._config.text_config.projection_size)

    @cached_property
    def max_tokens(self) -> int | None:
        """None, since an image has no length. A label's text is cut at the limit of the text encoder."""
        return None

    @cached_property
    def temperature(self) -> float | None:
        """τ = 1 / exp(logit scale), as the model learned it; read from the file without loading the other weights."""
        from safetensors import safe_open

        for file in sorted(self.folder.glob("*.safetensors")):
            with safe_open(file, "numpy") as weights:
                if "logit_scale" in weights.keys():  # noqa: SIM118 - it is not a mapping
                    return float(np.exp(-weights.get_tensor("logit_scale").astype(np.float64).item()))
        return None

    def embed(self, items: Sequence[Any], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; computed at every call.

        For the role "text", `items` are the images to classify: paths or PIL images; an image that cannot be read gives a row
        of NaN (`rung.evidence.images.fault` gives the reason). For the role "label", `items` are strings.
        """
        rows = np.full((len(items), self.dimensions), np.nan, dtype=np.float32)
        embed_batch = self._embed_labels if role == "label" else self._embed_images
        for start in range(0, len(items), _BATCH_SIZE):
            part = items[start : start + _BATCH_SIZE]
            rows[start : start + len(part)] = embed_batch(part)
        return rows

    def cut(self, items: Sequence[Any]) -> int:  # noqa: ARG002 (a backbone's signature)
        """0, since an image has no length."""
        return 0

    def windows(self, item: Any) -> list[Any]:
        """The image itself."""
        return [item]

    def _embed_images(self, items: Sequence[Any]) -> Array:
        """Embeddings (m, d) of up to `_BATCH_SIZE` images; only one file is open at a time."""
        import torch

        rows = np.full((len(items), self.dimensions), np.nan, dtype=np.float32)
        pixels = {i: image for i, item in enumerate(items) if (image := self._pixels(item)) is not None}
        if pixels:
            with torch.inference_mode():
                output = self.model.get_image_features(torch.stack(list(pixels.values())).to(self.model.device))
            rows[list(pixels)] = unit(output.pooler_output.cpu().numpy())
        return rows

    def _pixels(self, item: Any) -> Any:
        """The preprocessed image (3, height, width), or None where it cannot be read."""
        try:
            return self._processor(images=rgb(item), return_tensors="pt")["pixel_values"][0]
        except ImageError:
            return None

    def _embed_labels(self, texts: Sequence[str]) -> Array:
        """Embeddings (m, d) of up to `_BATCH_SIZE` label texts.

        SigLIP was trained on texts padded to the full length, without an attention mask; the others mask the padding.
        """
        import torch

        siglip = architecture(self.folder) == "SiglipModel"
        encoded = self.tokenizer(
            [self.as_text(text) for text in texts],
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=self._max_label_tokens,
            return_tensors="pt",
        )
        if siglip:
            encoded = {"input_ids": encoded["input_ids"]}
        with torch.inference_mode():
            output = self.model.get_text_features(**{name: ids.to(self.model.device) for name, ids in encoded.items()})
        return unit(output.pooler_output.cpu().numpy())

    @cached_property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer. Raises UserError where it needs a package that is not installed."""
        try:
            return super().tokenizer
        except ImportError as error:
            raise UserError(
                "backbone {name!r}: its tokenizer needs a package that is not installed ({reason}).",
                "pip install 'rung[torch]'   installs sentencepiece and protobuf",
                name=self.name,
                reason=" ".join(str(error).split())[:160],
            ) from None

    @cached_property
    def _processor(self) -> Any:
        """Crops, scales and normalizes images with Pillow, since torchvision rounds differently."""
        from transformers import AutoImageProcessor

        try:
            return AutoImageProcessor.from_pretrained(str(self.folder), backend="pil", local_files_only=True)
        except (OSError, ValueError):
            raise UserError(
                "backbone {name!r}: {folder} does not say how images are to be preprocessed.",
                "Put the model's preprocessor_config.json into that folder.",
                name=self.name,
                folder=self.folder,
            ) from None

    @cached_property
    def _config(self) -> Any:
        """The model's config, including the defaults that config.json leaves out."""
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(str(self.folder), local_files_only=True)

    @cached_property
    def _max_label_tokens(self) -> int:
        """How many tokens of a label's text the text encoder reads, special tokens included."""
        return min(int(self._config.text_config.max_position_embeddings), int(self.tokenizer.model_max_length))


BACKBONE = ImageBackbone
