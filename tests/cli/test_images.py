"""`rung classify` and `rung suggest` on images: a folder of them, or a table that names them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

import dual

pytestmark = pytest.mark.torch

Run = Callable[..., "object"]
NAMES = list(dual.COLORS)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of six squares, one of them below, and one broken file."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    for i in range(6):
        dual.picture(dual.COLORS[NAMES[i % 3]], i).save(folder / (f"{i}.png" if i < 5 else "more/5.png"))
    (folder / "broken.png").write_text("this is no image")
    return folder


@pytest.fixture
def base(color_clip: Path) -> tuple[str, ...]:
    return ("--labels", ",".join(NAMES), "--backbone", str(color_clip))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_of_images_is_labelled(rung: Run, pictures: Path, base: tuple[str, ...]) -> None:
    """Each image has a row with label and probability, or the reason why it cannot be read."""
    ran = rung("classify", pictures, *base)
    assert ran.code == 0, ran.err
    found = {row["file"]: row for row in rows(ran.out)}
    assert list(found) == ["0.png", "1.png", "2.png", "3.png", "4.png", "broken.png", "more/5.png"]
    assert [row["label"] for row in found.values()] == ["red", "green", "blue", "red", "green", "", "blue"]
    assert found["broken.png"]["error"] == "the file is no image that rung can read"
    assert "1 row without a label" in ran.err
    assert "language" not in ran.err


def test_a_table_names_images(rung: Run, pictures: Path, base: tuple[str, ...]) -> None:
    """Names are absolute or relative to the table's folder; other columns stay, and an empty cell gets no label."""
    table = pictures / "scans.csv"
    absolute = pictures / "1.png"
    table.write_text(f"id,path,text\n007,0.png,at night\n008,{absolute},\n009,,\n010,none.png,\n")
    ran = rung("classify", table, *base, "--no-pool")
    assert ran.code == 0, ran.err
    found = rows(ran.out)
    assert [(row["id"], row["label"]) for row in found] == [("007", "red"), ("008", "green"), ("009", ""), ("010", "")]
    assert found[0]["text"] == "at night"
    assert found[2]["error"] == "the image is missing"
    assert found[3]["error"].endswith("none.png is not there")


def test_known_labels_and_saving(rung: Run, pictures: Path, base: tuple[str, ...], tmp_path: Path) -> None:
    """A person's labels of images teach the rung shots; the saved classifier answers the same folder."""
    known = tmp_path / "known.csv"
    known.write_text("text,label\n0.png,red\n1.png,green\n2.png,blue\n")
    ran = rung("classify", pictures, *base, "--known", known, "--save", tmp_path / "saved")
    assert ran.code == 0, ran.err
    assert "rung shots" in ran.err
    again = rung("classify", pictures, "--classifier", tmp_path / "saved")
    assert again.code == 0, again.err
    assert [row["label"] for row in rows(again.out)] == [row["label"] for row in rows(ran.out)]


def test_images_are_suggested(rung: Run, pictures: Path, base: tuple[str, ...], tmp_path: Path) -> None:
    """suggest writes the file names that --known reads."""
    ran = rung("suggest", pictures, *base, "-n", 3, "--out", tmp_path / "to-label.csv")
    assert ran.code == 0, ran.err
    found = [row["file"] for row in rows((tmp_path / "to-label.csv").read_text())]
    assert len(found) == 3
    assert all((pictures / name).is_file() for name in found)
    assert "broken.png" not in found


def test_a_folder_is_refused_where_texts_are_read(rung: Run, pictures: Path) -> None:
    """A folder is not a table of texts: two lines and exit code 2."""
    ran = rung("classify", pictures, "--labels", "a,b", "--backbone", "builtin")
    assert ran.code == 2
    assert "folder" in ran.err
    assert len(ran.err.strip().splitlines()) == 2


def test_texts_are_rows_without_answers(rung: Run, base: tuple[str, ...], tmp_path: Path) -> None:
    """A table of texts given to a model of images gets a reason in every row, never a label."""
    (tmp_path / "texts.csv").write_text("text\nI lost my card\nrefund please\n")
    ran = rung("classify", tmp_path / "texts.csv", *base)
    assert ran.code == 0, ran.err
    assert [(row["label"], row["error"].endswith("is not there")) for row in rows(ran.out)] == [("", True)] * 2


def test_models_says_what_is_read(rung: Run) -> None:
    """The list of models says which ones read images."""
    lines = [line.split() for line in rung("models").out.splitlines()]
    of = {line[0]: line for line in lines if line}
    assert "image" in of["siglip-base"]
    assert "image" not in of["builtin"]
