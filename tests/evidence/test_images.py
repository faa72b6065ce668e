"""Classifying images: paths and PIL images go where texts go, and an unreadable one costs its own row only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dual
from rung import Classifier, UserError, load
from rung.evidence import Backbone
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed, embed_texts
from rung.inference.label_inputs import LabelWarning
from rung.inference.second_opinion import second_opinion

pytestmark = pytest.mark.torch
pytest.importorskip("PIL")

from PIL import Image  # noqa: E402

from rung.evidence.images import Picture, fault, rgb  # noqa: E402

NAMES = list(dual.COLORS)
TRUTH = NAMES * 60


@pytest.fixture(scope="module")
def squares() -> list[Image.Image]:
    """Sixty squares of each color."""
    return [dual.picture(dual.COLORS[name], i) for i, name in enumerate(TRUTH)]


@pytest.fixture
def colors(color_clip: Path) -> Backbone:
    return load(str(color_clip))


@pytest.fixture
def files(squares: list[Image.Image], tmp_path: Path) -> list[Path]:
    """The first twelve squares as files of several formats."""
    found = [tmp_path / f"{i}{('.png', '.bmp', '.tiff', '.webp')[i % 4]}" for i in range(12)]
    for square, file in zip(squares, found, strict=False):
        square.save(file, **({"lossless": True} if file.suffix == ".webp" else {}))
    return found


def classifier(backbone: Any, **settings: Any) -> Classifier:
    return Classifier(NAMES, backbone=backbone, **{"cache": False, **settings})


# What a picture is


def test_an_image_is_known_by_its_content(tmp_path: Path) -> None:
    """The same bytes at two places are one image, the same pixels in memory too; other content is another."""
    square, other = dual.picture((200, 0, 0)), dual.picture((0, 0, 200))
    for name in ("a.png", "b.png"):
        square.save(tmp_path / name)
    other.save(tmp_path / "c.png")
    a, b, c = (Picture.of(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    assert a == b != c
    assert Picture.of(square) == Picture.of(square.copy()) != Picture.of(other)


def test_an_image_is_computed_once(colors: Backbone, files: list[Path], tmp_path: Path, monkeypatch: Any) -> None:
    """Under whatever name, the cache gives back what it holds of the same content."""
    cache, copy = Cache(tmp_path / "cache"), tmp_path / "copy.png"
    copy.write_bytes(files[0].read_bytes())
    first = embed([Picture.of(files[0])], colors, cache=cache)
    monkeypatch.setattr(type(colors), "embed", lambda *_: pytest.fail("it was computed again"))
    assert np.array_equal(embed([Picture.of(copy)], colors, cache=cache), first)


def test_a_photo_is_seen_upright(tmp_path: Path) -> None:
    """A camera that was held sideways says so in EXIF."""
    photo = Image.new("RGB", (30, 10), "white")
    photo.paste("red", (0, 0, 10, 10))
    photo.save(tmp_path / "turned.png", exif=_turned())
    seen = rgb(tmp_path / "turned.png")
    assert seen.size == (10, 30)
    assert seen.getpixel((5, 2)) == (255, 0, 0)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    return exif


def test_transparency_is_white() -> None:
    """As a page shows it; the color that lies hidden under it is not seen."""
    assert rgb(Image.new("RGBA", (4, 4), (255, 0, 0, 0))).getpixel((1, 1)) == (255, 255, 255)
    assert rgb(Image.new("RGBA", (4, 4), (255, 0, 0, 255))).getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_sixteen_bits_are_stretched(ending: str, tmp_path: Path) -> None:
    """A scan of 12 bits in a 16-bit file is neither black nor clipped to white."""
    values = np.linspace(1000, 4095, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / f"scan{ending}")
    seen = np.asarray(rgb(tmp_path / f"scan{ending}"))
    assert seen.shape == (8, 8, 3)
    assert (seen[0, 0, 0], seen[-1, -1, 0]) == (0, 255)
    assert len(np.unique(seen)) > 60


def test_values_that_are_not_finite_are_black() -> None:
    """A float image with holes is read all the same."""
    values = np.array([[0.0, 1.0], [np.nan, np.inf]], dtype=np.float32)
    assert np.asarray(rgb(Image.fromarray(values)))[..., 0].tolist() == [[0, 255], [0, 0]]


# What cannot be read

REASONS = {
    "cut.png": "the image is damaged",
    "text.png": "no image that rung can read",
    "empty.png": "the file is empty",
    "scan.dcm": "DICOM.*convert it to PNG",
    "phone.heic": "HEIC.*save it as JPEG",
    "drawing.eps": "no image that rung can read",  # it would start another program
    "strip.png": "30000 x 2 pixels",
    "absent.png": r"absent\.png is not there",
    "folder.png": "is no image file",
    "\0.png": "cannot be read|is not there",  # by the Python
    f"{'x' * 5000}.png": "cannot be read",
}


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """A folder of files that are no images, whatever their names say."""
    dual.picture((1, 2, 3), side=60).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    (tmp_path / "text.png").write_text("I was charged twice, please help me.")
    (tmp_path / "empty.png").touch()
    (tmp_path / "scan.dcm").write_bytes(b"\x00" * 128 + b"DICM" + b"\x02\x00" * 40)
    (tmp_path / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + b"\x00" * 40)
    (tmp_path / "drawing.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    Image.new("1", (30_000, 2)).save(tmp_path / "strip.png")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", REASONS, ids=lambda name: ascii(name[:12]))
def test_a_file_that_cannot_be_read_has_its_reason(name: str, unreadable: Path) -> None:
    """It says what is wrong, and of the two kinds that people have most what to do."""
    assert re.search(REASONS[name], str(fault(unreadable / name)))


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (None, "the image is missing"),
        (float("nan"), "the image is missing"),
        (" ", "the image is missing"),
        (7, "not an image but int"),
    ],
)
def test_what_is_no_image_has_its_reason(item: object, reason: str) -> None:
    """A gap is told from a thing of another kind."""
    assert fault(item) == reason
    assert Picture.of(item).fault == reason


def test_an_image_that_was_closed_has_its_reason(tmp_path: Path) -> None:
    """A PIL image whose file is gone costs its row only."""
    dual.picture((1, 2, 3)).save(tmp_path / "a.png")
    closed = Image.open(tmp_path / "a.png")
    closed.close()
    assert "damaged" in str(Picture.of(closed).fault)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that unpacks to a vast image is refused before its pixels are made."""
    dual.picture((1, 2, 3), side=60).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "too large" in str(fault(tmp_path / "a.png"))


# Classifying


def test_names_alone_classify_images(colors: Backbone, squares: list[Image.Image]) -> None:
    """A model that knows the words for what is seen needs no example, and rows sum to 1."""
    clf = classifier(colors)
    probabilities = clf.predict_proba(squares)
    assert clf.rung_ == "names"
    assert (clf.predict(squares) == TRUTH).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert probabilities.max(axis=1).mean() > 0.95


def test_the_pool_is_kept_for_images(colors: Backbone, squares: list[Image.Image]) -> None:
    """Images and words lie apart in such models' space; clusters of images are found along the names all the same."""
    clf = classifier(colors).fit(squares)
    assert clf.rung_ == "pool"
    assert clf.learned_.names_hold == 1
    assert clf.learned_.weight_ > 0.3
    assert (clf.predict(squares) == TRUTH).all()


def test_the_pool_finds_uneven_shares(colors: Backbone, squares: list[Image.Image]) -> None:
    """Most pictures show nothing special, as in medicine: what is rare stays rare."""
    rare = [square for square, name in zip(squares, TRUTH, strict=True) if name == "red"][:6]
    usual = [square for square, name in zip(squares, TRUTH, strict=True) if name == "green"]
    clf = Classifier(["red", "green"], backbone=colors, cache=False).fit([*rare, *usual])
    assert (clf.predict([*rare, *usual]) == ["red"] * 6 + ["green"] * 60).all()
    assert clf.prior_.tolist() == pytest.approx([60 / 66, 6 / 66], abs=0.05)


def test_a_few_labels_correct_wrong_names(colors: Backbone, squares: list[Image.Image]) -> None:
    """Labels whose names say nothing of the pictures are learned from a few pictures of each."""
    names = {"red": "b b", "green": "a a", "blue": "c c"}
    y = [names[name] if i < 24 else None for i, name in enumerate(TRUTH)]
    clf = Classifier(list(names.values()), backbone=colors, cache=False).fit(squares, y)
    assert clf.rung_ == "shots"
    assert (clf.predict(squares) == [names[name] for name in TRUTH]).mean() > 0.95


def test_labels_are_taken_from_y(colors: Backbone, squares: list[Image.Image]) -> None:
    """Where none are given, as with texts."""
    clf = Classifier(backbone=colors, cache=False).fit(squares, TRUTH)
    assert clf.classes_.tolist() == sorted(NAMES)
    assert (clf.predict(squares[:9]) == TRUTH[:9]).all()


def test_paths_strings_and_images_may_stand_together(
    colors: Backbone, files: list[Path], squares: list[Image.Image]
) -> None:
    """However a picture is handed over, its answer is the same."""
    clf = classifier(colors).fit(files)
    mixed = [files[0], str(files[1]), squares[2], Image.open(files[3])]
    assert clf.predict_proba(mixed) == pytest.approx(clf.predict_proba(squares[:4]), abs=1e-6)
    assert clf.predict(mixed).tolist() == TRUTH[:4]


@pytest.mark.parametrize("y", [None, [*NAMES, *[None] * 177]], ids=["pool", "shots"])
def test_a_saved_classifier_answers_the_same(
    y: Any, color_clip: Path, squares: list[Image.Image], tmp_path: Path
) -> None:
    """On the rungs above names, after a round trip, with the temperature of the model."""
    clf = classifier(str(color_clip), reject=0.1).fit(squares, y)
    clf.save(tmp_path / "saved")
    loaded = Classifier.load(tmp_path / "saved")
    loaded.set_params(cache=False)
    assert np.array_equal(loaded.predict_proba(squares[:9]), clf.predict_proba(squares[:9]))
    assert loaded.answers(squares[:9]) == clf.answers(squares[:9])
    assert loaded.label_evidence().temperature == clf.label_evidence().temperature


def test_an_unreadable_image_costs_its_own_row(colors: Backbone, files: list[Path], unreadable: Path) -> None:
    """It gets no label but the reason, in fitting and in answering; the others are as they were without it."""
    rows = [files[0], unreadable / "cut.png", "I lost my card", None, files[1], unreadable / "scan.dcm"]
    clf = classifier(colors).fit(rows)
    answers = clf.answers(rows)
    assert [answer.label for answer in answers] == ["red", None, None, None, "green", None]
    assert [answer.reason for answer in answers[1:4]] == [
        fault(rows[1]),
        "I lost my card is not there",
        "the image is missing",
    ]
    assert "DICOM" in str(answers[5].error)
    assert np.isnan(clf.predict_proba(rows)[[1, 2, 3, 5]]).all()
    alone = classifier(colors).fit([files[0], files[1]])
    assert clf.predict_proba(files[:2]) == pytest.approx(alone.predict_proba(files[:2]))


def test_an_image_that_failed_is_tried_again(colors: Backbone, tmp_path: Path) -> None:
    """What could not be read is never kept in the cache as if it had been."""
    cache, file = Cache(tmp_path / "cache"), tmp_path / "late.png"
    file.write_bytes(b"not yet")
    features, reasons = embed_texts([file], colors, cache=cache)
    assert not features.any()
    assert reasons == ["the file is no image that rung can read"]
    assert not cache.get(f"{colors.fingerprint}/{colors.numerics}/text", [Picture.of(file)])


def test_one_image_with_two_labels_is_named(colors: Backbone, files: list[Path], squares: list[Image.Image]) -> None:
    """By content: a copy under another name is the same image."""
    with pytest.warns(LabelWarning, match="the same image carries two labels: rows 0 and 2"):
        classifier(colors).fit([squares[0], squares[1], squares[0].copy()], ["red", "green", "blue"])


def test_foreign_images_are_rejected(colors: Backbone, squares: list[Image.Image]) -> None:
    """Pictures that show none of the labels are told apart, at the share that a person gives."""
    grays = [dual.picture((v, v, v), v) for v in range(40, 220, 10)]
    clf = classifier(colors, reject=0.1).fit([*squares, *grays])
    assert (clf.predict(grays) == None).mean() > 0.9  # noqa: E711 (an array of objects)
    assert (clf.predict(squares) == None).mean() < 0.1  # noqa: E711
    assert [answer.reason for answer in clf.answers(grays[:1])] != [None]


def test_auto_reject_needs_general_images(colors: Backbone, squares: list[Image.Image]) -> None:
    """There are none to compare with, so a person has to give the share."""
    with pytest.raises(UserError, match=r"(?s)images.*reject=0\.1"):
        classifier(colors, reject="auto").fit(squares)


def test_an_image_may_have_several_labels(colors: Backbone, squares: list[Image.Image]) -> None:
    """Every label is a yes or no of its own."""
    clf = classifier(colors, multi_label=True).fit(squares)
    assert (clf.predict(squares) == (clf.classes_ == np.array(TRUTH)[:, None])).mean() > 0.95


def test_suggest_names_images(colors: Backbone, squares: list[Image.Image]) -> None:
    """What to label next is found among images too, some of every kind."""
    places = classifier(colors).suggest(squares, n=6)
    assert {TRUTH[i] for i in places} == set(NAMES)


# What does not go together


def test_texts_are_refused_where_images_are_read(colors: Backbone) -> None:
    """A list of which nothing can be an image is the wrong backbone, not a row's fault."""
    with pytest.raises(UserError, match=r"(?s)'I lost my card' is not a file.*reads images.*minilm"):
        classifier(colors).predict(["I lost my card", " ", "refund please"])


def test_images_are_refused_where_texts_are_read(squares: list[Image.Image], tmp_path: Path) -> None:
    """A path object or an image can be no text; a string is one, whatever it says."""
    for item in (tmp_path / "a.png", squares[0]):
        with pytest.raises(UserError, match=r"(?s)row 1 holds an image.*'builtin' reads texts.*siglip"):
            classifier("builtin").predict(["a text", item])
    assert classifier("builtin").predict(["red.png"]).tolist() == ["red"]


@pytest.mark.parametrize("swapped", [False, True])
def test_the_geometry_must_read_images_too(swapped: bool, color_clip: Path) -> None:
    """A prior from images and a geometry of texts have nothing to say to each other."""
    backbone, geometry = ("builtin", str(color_clip)) if swapped else (str(color_clip), "builtin")
    with pytest.raises(UserError, match=r"(?s)reads images and backbone 'builtin' reads texts.*leave geometry out"):
        classifier(backbone, geometry=geometry).predict(["a.png"])


def test_one_model_may_lead_anothers_geometry(
    color_clip: Path, tiny_clip: Path, squares: list[Image.Image], unreadable: Path
) -> None:
    """The prior comes from the model that knows the words; the other's random features only say where images lie."""
    rows = [*squares, unreadable / "cut.png"]
    clf = classifier(str(color_clip), geometry=str(tiny_clip)).fit(rows)
    assert (clf.predict(rows)[:-1] == TRUTH).mean() > 0.9
    assert clf.predict(rows)[-1] is None


def test_there_is_no_second_opinion_on_images(colors: Backbone, squares: list[Image.Image]) -> None:
    """The built-in model reads texts only."""
    assert second_opinion(classifier(colors).parsed_labels(), squares, colors) is None
