"""Image–text models: embeddings equal those of transformers, and folders are checked."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dual
from rung import Classifier, UserError, load
from rung.backbones.image import ImageBackbone
from rung.evidence import unit

pytestmark = pytest.mark.torch

WORDS = ["red", "a photo of green.", "an image that shows " + "blue and red " * 20, "naïve 红", ""]
KINDS: dict[str, Callable[[Path], Path]] = {"clip": dual.clip, "chinese_clip": dual.chinese_clip, "siglip": dual.siglip}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return KINDS[request.param](tmp_path_factory.mktemp("kinds") / request.param)


@pytest.fixture
def pictures() -> list[Any]:
    """More images than fit into one batch, of several sizes."""
    return [dual.picture((40 * (i % 7), 90, 255 - 10 * i), i, side=12 + i) for i in range(21)]


def plain(folder: Path, pictures: list[Any], words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """What the model itself gives, for one image and one sentence at a time."""
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    processor, tokenizer = (
        AutoImageProcessor.from_pretrained(folder, backend="pil"),
        AutoTokenizer.from_pretrained(folder),
    )
    full = model.config.model_type == "siglip"
    images, said = [], []
    with torch.no_grad():
        for picture, word in zip(pictures, words * len(pictures), strict=False):
            read = tokenizer([word], truncation=True, padding="max_length" if full else False, return_tensors="pt")
            mask = {} if full else {"attention_mask": read["attention_mask"]}
            pixels = processor(images=picture, return_tensors="pt")["pixel_values"]
            found = model(input_ids=read["input_ids"], pixel_values=pixels, **mask)
            images.append(found.image_embeds[0].numpy())
            said.append(found.text_embeds[0].numpy())
    return unit(np.stack(images)), unit(np.stack(said[: len(words)]))


def test_it_gives_what_transformers_gives(folder: Path, pictures: list[Any]) -> None:
    """The rows of images and words are those that the model gives for each alone."""
    backbone = load(str(folder))
    assert isinstance(backbone, ImageBackbone)
    images, words = plain(folder, pictures, WORDS)
    assert backbone.embed(pictures) == pytest.approx(images, abs=1e-4)
    assert backbone.embed(pictures[::-1][:5])[::-1] == pytest.approx(images[-5:], abs=1e-4)
    assert backbone.embed(WORDS, "label") == pytest.approx(words, abs=1e-4)
    assert backbone.embed(WORDS[1:2], "label") == pytest.approx(words[1:2], abs=1e-4)


def test_rows_are_unit_float32(folder: Path, pictures: list[Any]) -> None:
    """Each image and each word has one row of length 1 and of the stated width."""
    backbone = load(str(folder))
    for rows in (backbone.embed(pictures), backbone.embed(WORDS, "label")):
        assert rows.dtype == np.float32
        assert rows.shape[1] == backbone.dimensions
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert backbone.embed([]).shape == (0, backbone.dimensions)


def test_an_image_that_cannot_be_read_is_a_row_of_nan(tiny_clip: Path, pictures: list[Any], tmp_path: Path) -> None:
    """An unreadable image gives a row of NaN and changes no other row."""
    backbone = load(str(tiny_clip))
    rows = backbone.embed([pictures[0], tmp_path / "none.png", pictures[1]])
    assert np.isnan(rows[1]).all()
    assert rows[[0, 2]] == pytest.approx(backbone.embed(pictures[:2]), abs=1e-6)


def test_a_path_a_string_and_an_image_give_the_same_row(tiny_clip: Path, pictures: list[Any], tmp_path: Path) -> None:
    """A path, a string and a PIL image of one picture give the same row."""
    file = tmp_path / "seen.png"
    pictures[3].save(file)
    rows = load(str(tiny_clip)).embed([pictures[3], file, str(file)])
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[2])


def test_the_temperature_is_the_models_own(tiny_clip: Path) -> None:
    """The temperature is one over the logit scale in the weights' file."""
    from transformers import CLIPModel

    scale = CLIPModel.from_pretrained(tiny_clip).logit_scale.exp().item()
    assert load(str(tiny_clip)).temperature == pytest.approx(1 / scale)


def test_no_fit_changes_the_fingerprint(folder: Path, pictures: list[Any]) -> None:
    """No fit changes the fingerprint, and another model has another one."""
    backbone = load(str(folder))
    before, row = backbone.fingerprint, backbone.embed(pictures[:1])
    Classifier(["red", "blue"], backbone=backbone, cache=False).fit(pictures, ["red", *[None] * 20]).predict(pictures)
    assert backbone.fingerprint == before
    assert np.array_equal(backbone.embed(pictures[:1]), row)
    assert before != ImageBackbone.open(dual.clip(folder.parent / "other", seed=1), "other").fingerprint


def test_it_is_pickled_by_its_folder(tiny_clip: Path, pictures: list[Any]) -> None:
    """An unpickled copy reads the weights again and gives the same rows."""
    backbone = load(str(tiny_clip))
    there = pickle.loads(pickle.dumps(backbone))
    assert np.array_equal(there.embed(pictures[:2]), backbone.embed(pictures[:2]))


def test_a_folder_without_image_settings_is_refused(tiny_clip: Path, pictures: list[Any], tmp_path: Path) -> None:
    """A folder that does not say how to preprocess images is refused."""
    folder = tmp_path / "bare"
    shutil.copytree(tiny_clip, folder)
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"(?s)how images are to be preprocessed.*preprocessor_config\.json"):
        load(str(folder)).embed(pictures[:1])


def test_other_architectures_are_not_recognized(tiny_clip: Path, tmp_path: Path) -> None:
    """Only the architectures of this file are recognized."""
    config = json.loads((tiny_clip / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["CLIPTextModel"]}))
    assert ImageBackbone.recognizes(tiny_clip)
    assert not ImageBackbone.recognizes(tmp_path)


def test_control_tokens_in_a_label_are_text(tiny_clip: Path) -> None:
    """An end token in a label does not end it."""
    backbone = load(str(tiny_clip))
    end = backbone.tokenizer.eos_token  # type: ignore[attr-defined]
    apart = f"{end[:1]} {end[1:]}"
    found = backbone.embed([f"a red{end} thing"], "label")
    assert found == pytest.approx(backbone.embed([f"a red{apart} thing"], "label"), abs=1e-6)
