"""Models that see images and read labels: two encoders into one space, such as CLIP and SigLIP."""

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

_KINDS = {"CLIPModel", "SiglipModel", "ChineseCLIPModel"}
_AT_ONCE = 16  # images or phrasings in one pass


class ImageBackbone(Pretrained):
    """A frozen pair of encoders, in float32: images are what is classified, labels are text.

    `temperature` is the model's own: the difference of cosines that it was trained to take as one nat.
    """

    abilities = frozenset({"embed"})
    input = "image"
    needs = ("torch", "transformers", "PIL")
    model_class = "AutoModel"  # each of the kinds has a class of its own

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether the config names one of the architectures that this file runs."""
        return architecture(folder) in _KINDS

    @cached_property
    def dimensions(self) -> int:
        """Length of an embedding; the catalog's word spares loading transformers where all embeddings are in the cache."""
        known = self.entry.dimensions if self.entry else None
        return known or int(
            getattr(self._settings, "projection_dim", None) or self._settings.text_config.projection_size
        )

    @cached_property
    def max_tokens(self) -> int | None:
        """None: an image has no length. Of a label's wording what the text encoder has room for is read."""
        return None

    @cached_property
    def temperature(self) -> float | None:
        """τ = 1 / exp(logit scale), as it was learned; read from the file, without the rest of the weights."""
        from safetensors import safe_open

        for file in sorted(self.folder.glob("*.safetensors")):
            with safe_open(file, "numpy") as weights:
                if "logit_scale" in weights.keys():  # noqa: SIM118 - it is no mapping
                    return float(np.exp(-weights.get_tensor("logit_scale").astype(np.float64).item()))
        return None

    def embed(self, items: Sequence[Any], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; computed every time.

        In the role "text" stand the items to classify, here images: paths and PIL images; a row of NaN is one that could not
        be read (`rung.evidence.images.fault` says why). In the role "label" they are strings.
        """
        rows = np.full((len(items), self.dimensions), np.nan, dtype=np.float32)
        of = self._of_labels if role == "label" else self._of_images
        for start in range(0, len(items), _AT_ONCE):
            part = items[start : start + _AT_ONCE]
            rows[start : start + len(part)] = of(part)
        return rows

    def cut(self, items: Sequence[Any]) -> int:  # noqa: ARG002 (a backbone's signature)
        """Of an image nothing is cut for its length."""
        return 0

    def windows(self, item: Any) -> list[Any]:
        """The image itself."""
        return [item]

    def _of_images(self, items: Sequence[Any]) -> Array:
        """Features (m, d) of up to `_AT_ONCE` images; one at a time is open."""
        import torch

        rows = np.full((len(items), self.dimensions), np.nan, dtype=np.float32)
        pixels = {i: seen for i, item in enumerate(items) if (seen := self._pixels(item)) is not None}
        if pixels:
            with torch.inference_mode():
                seen = self.model.get_image_features(torch.stack(list(pixels.values())).to(self.model.device))
            rows[list(pixels)] = unit(seen.pooler_output.cpu().numpy())
        return rows

    def _pixels(self, item: Any) -> Any:
        """What the model sees of an image, (3, height, width); None where it cannot be read."""
        try:
            return self._processor(images=rgb(item), return_tensors="pt")["pixel_values"][0]
        except ImageError:
            return None

    def _of_labels(self, texts: Sequence[str]) -> Array:
        """Features (m, d) of up to `_AT_ONCE` phrasings.

        SigLIP was trained on texts padded to the full length, with the padding in sight; the others mask it.
        """
        import torch

        siglip = architecture(self.folder) == "SiglipModel"
        said = self.tokenizer(
            [self.as_text(text) for text in texts],
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=self._room,
            return_tensors="pt",
        )
        if siglip:
            said = {"input_ids": said["input_ids"]}
        with torch.inference_mode():
            read = self.model.get_text_features(**{name: ids.to(self.model.device) for name, ids in said.items()})
        return unit(read.pooler_output.cpu().numpy())

    @cached_property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer. Raises UserError where it needs a package that is not installed."""
        try:
            return super().tokenizer
        except ImportError as error:
            raise UserError(
                "backbone {name!r}: its tokenizer needs a package that is not installed ({split}).",
                "pip install 'rung[torch]'   brings sentencepiece and protobuf",
                name=self.name,
                split=" ".join(str(error).split())[:160],
            ) from None

    @cached_property
    def _processor(self) -> Any:
        """What crops, scales and normalizes images, by Pillow: torchvision, where it is installed, rounds otherwise."""
        from transformers import AutoImageProcessor

        try:
            return AutoImageProcessor.from_pretrained(str(self.folder), backend="pil", local_files_only=True)
        except (OSError, ValueError):
            raise UserError(
                "backbone {name!r}: {folder} does not say how images are to be prepared.",
                "Put the model's preprocessor_config.json there.",
                name=self.name,
                folder=self.folder,
            ) from None

    @cached_property
    def _settings(self) -> Any:
        """The model's config, with what transformers leaves out of config.json because it is the default."""
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(str(self.folder), local_files_only=True)

    @cached_property
    def _room(self) -> int:
        """Tokens of a label's wording that the text encoder reads, special tokens included."""
        return min(int(self._settings.text_config.max_position_embeddings), int(self.tokenizer.model_max_length))


BACKBONE = ImageBackbone
