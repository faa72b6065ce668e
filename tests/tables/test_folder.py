"""A folder of images is a table, and a table may name images."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung.errors import UserError
from rung.tables import open_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that end as images do, in two levels, and others."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "dir.png").mkdir()
    for name in ("z.png", "A.JPG", "b/c.dcm", "notes.txt", "b/table.csv"):
        (tmp_path / name).write_text("x")
    return tmp_path


def test_every_image_is_a_row(folder: Path) -> None:
    """By name, also below, relative to the folder; what does not end as images do is left out."""
    with open_table(folder, of_images=True) as table:
        assert (table.columns, table.text_column, table.rows, table.folder) == (["file"], "file", 3, folder)
        assert [chunk.cells() for chunk in table.chunks(2)] == [[["A.JPG"], ["b/c.dcm"]], [["z.png"]]]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    """Rather than answered with an empty table."""
    with pytest.raises(UserError, match=r"(?s)no images in this folder.*\.png"):
        open_table(tmp_path, of_images=True)


def test_a_folder_is_no_table_of_texts(folder: Path) -> None:
    """File names are no texts."""
    with pytest.raises(UserError, match="folder"):
        open_table(folder)


@pytest.mark.parametrize("name", ["image", "path", "file"])
def test_the_column_of_images_is_found_by_its_name(name: str, tmp_path: Path) -> None:
    """Paths look like identifiers, and remarks beside them like texts."""
    file = tmp_path / "a.csv"
    file.write_text(f"text,{name}\nseen at night,scan1.png\n")
    with open_table(file, of_images=True) as table:
        assert (table.text_column, table.folder) == (name, tmp_path)
    with open_table(file) as table:
        assert table.text_column == "text"


def test_paths_in_a_pipe_are_relative_to_where_one_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its temporary copy is nobody's folder."""
    import io
    import sys

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"path\na.png\n")))
    with open_table("-", of_images=True) as table:
        assert table.folder == Path()
