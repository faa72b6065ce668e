"""Excel workbooks, in and out: what a person sees in the sheet is what is read, and nothing of it is lost in silence."""

from __future__ import annotations

import builtins
import sys
from datetime import date, datetime, time

import openpyxl
import pytest

from rung.errors import UserError
from rung.labels import Labels, read_labels
from rung.tables import open_output, open_table


def book(path, *sheets, **named):
    """A workbook with these sheets (rows of values)."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in {**{f"S{i}": rows for i, rows in enumerate(sheets, 1)}, **named}.items():
        sheet = made.create_sheet(name)
        for number, row in enumerate(rows, 1):
            for column, value in enumerate(row, 1):
                sheet.cell(number, column, value)
    made.save(path)
    return path


def rows_of(path, **options):
    with open_table(path, **options) as table:
        return table.columns, [row for chunk in table.chunks(2) for row in chunk.cells()]


def fault(path, **options):
    with pytest.raises(UserError) as found:
        open_table(path, **options)
    assert "\n" not in found.value.what
    return found.value


def test_values_as_a_person_sees_them(tmp_path):
    """7 stays 7, 007 typed as text stays 007, dates are ISO 8601, and truth values are those of Excel."""
    values = [7, 7.0, 0.5, "007", True, date(2024, 1, 5), datetime(2024, 1, 5, 10, 30), time(9, 5), "#N/A", None, 1e20]
    path = book(tmp_path / "a.xlsx", [["text", *"abcdefghijk"], ["hello", *values]])
    assert rows_of(path)[1] == [
        ["hello", "7", "7", "0.5", "007", "TRUE", "2024-01-05", "2024-01-05 10:30:00", "09:05:00", "#N/A", "", "1e+20"]
    ]


def test_blank_rows_and_columns(tmp_path):
    """Blank rows above, between and below the rows are none; blank columns without a name are left out."""
    rows = [
        [],
        [None, None, None],
        [None, "id", None, "text"],
        [None, 1, None, "a"],
        [],
        [None, 2, None, "b\nc"],
        [None],
    ]
    assert rows_of(book(tmp_path / "a.xlsx", rows)) == (["id", "text"], [["1", "a"], ["2", "b\nc"]])
    one = book(tmp_path / "b.xlsx", [["text"], ["a"], [None], ["b"], [None]])
    assert rows_of(one) == (["text"], [["a"], [""], ["b"]])


def test_an_index_without_a_name(tmp_path):
    """The first column may lack a name, as pandas writes its index; any other with values must have one."""
    assert rows_of(book(tmp_path / "a.xlsx", [[None, "text"], [0, "a"], [1, "b"]])) == (
        ["", "text"],
        [["0", "a"], ["1", "b"]],
    )
    found = fault(book(tmp_path / "b.xlsx", [["Report"], [], ["id", "text"], [1, "a"]]))
    assert "in row 3, column 2 has a value but no name" in found.what
    assert "title" in found.hint


def test_merged_cells(tmp_path):
    """A cell that is merged downwards stands in each of its rows."""
    path = book(tmp_path / "a.xlsx", [["kind", "text"], ["x", "a"], [None, "b"], [None, "c"], ["y", "d"]])
    made = openpyxl.load_workbook(path)
    made.active.merge_cells("A2:A4")
    made.save(path)
    assert rows_of(path)[1] == [["x", "a"], ["x", "b"], ["x", "c"], ["y", "d"]]


def test_formulas(tmp_path):
    """A formula is read as the value that the spreadsheet kept; one without a value is refused, not read as nothing."""
    import xlsxwriter

    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx")) as made:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, ["text", "n"])
        sheet.write_row(1, 0, ["a"])
        sheet.write_formula(1, 1, "=3+4", None, 7)
    assert rows_of(tmp_path / "a.xlsx")[1] == [["a", "7"]]
    found = fault(book(tmp_path / "b.xlsx", [["text", "n"], ["a", "=3+4"]]))
    assert "the formula in B2 of sheet 'S1' has no value" in found.what


def test_which_sheet(tmp_path):
    """The only visible sheet that holds something is read; of several one must be named, and empty ones do not count."""
    path = book(tmp_path / "a.xlsx", Notes=[], Data=[["text"], ["a"]], More=[["text"], ["b"]])
    assert "2 sheets hold something (Data, More)" in fault(path).what
    assert fault(path).hint == "Name it:  --sheet Data  or  --sheet More"
    assert rows_of(path, sheet="More")[1] == [["b"]]
    wrong = fault(path, sheet="data")
    assert ("no sheet 'data' (sheets: Notes, Data, More)" in wrong.what, wrong.hint) == (True, "Name it:  --sheet Data")
    made = openpyxl.load_workbook(path)
    made["More"].sheet_state = "hidden"
    made.save(path)
    assert rows_of(path)[1] == [["a"]]
    (tmp_path / "a.csv").write_text("text\nhello\n")
    assert "has no sheets" in fault(tmp_path / "a.csv", sheet="Data").what


def test_the_content_is_that_of_the_sheet(tmp_path):
    """What identifies the input of a run is its sheet, so that a stopped run never resumes with the rows of another one."""
    path = book(tmp_path / "a.xlsx", Data=[["text"], ["a"]], More=[["text"], ["b"]])
    with open_table(path, sheet="Data") as one, open_table(path, sheet="More") as other:
        assert (one.path, other.path) == (path, path)
        assert one.content.read_bytes() != other.content.read_bytes()


def test_rows_are_numbered_as_the_sheet_numbers_them(tmp_path):
    """The place of a row is its number in the sheet, blank rows included."""
    with open_table(book(tmp_path / "a.xlsx", [[], ["id", "text"], [1, "a\nb"], [], [2, "c"]])) as table:
        assert [table.place(0), table.place(1)] == ["row 3", "row 5"]


def test_faults(tmp_path):
    """An empty workbook, one with a header only, a damaged one and another format under its name get their two lines."""
    assert "is empty" in fault(book(tmp_path / "a.xlsx", [])).what
    assert "no rows" in fault(book(tmp_path / "b.xlsx", [["id", "text"]])).what
    whole = book(tmp_path / "c.xlsx", [["text"], ["a"]]).read_bytes()
    for name, raw in {
        "cut": whole[: len(whole) // 2],
        "old": b"\xd0\xcf\x11\xe0" * 99,
        "csv": b"text\nhello\n",
    }.items():
        (tmp_path / f"{name}.xlsx").write_bytes(raw)
        assert "cannot be read as .xlsx" in fault(tmp_path / f"{name}.xlsx").what
    assert "named 'text'" in fault(book(tmp_path / "d.xlsx", [["text", "text"], ["a", "b"]])).what


def test_told_by_its_first_bytes(tmp_path):
    """A workbook under another name is read with --format xlsx."""
    path = book(tmp_path / "a.xlsx", [["text"], ["a"]]).rename(tmp_path / "a.csv")
    assert fault(path).hint.endswith("--format xlsx")
    assert rows_of(path, format="xlsx")[1] == [["a"]]


def test_without_the_extra(tmp_path, monkeypatch):
    """Where the library is missing, two lines say what to install, for reading and for writing."""
    path = book(tmp_path / "a.xlsx", [["text"], ["a"]])
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("openpyxl"):
            raise ImportError(name)
        return real(name, *rest)

    with monkeypatch.context() as without:
        without.setattr(builtins, "__import__", missing)
        assert fault(path).hint == "pip install 'rung[excel]'"
    monkeypatch.setattr("rung.tables.sinks.find_spec", lambda name: None)
    (tmp_path / "in.csv").write_text("text\nhello\n")
    with open_table(tmp_path / "in.csv") as table, pytest.raises(UserError) as found:
        open_output(tmp_path / "o.xlsx", table)
    assert found.value.hint == "pip install 'rung[excel]'"
    assert not list(tmp_path.glob("*o.xlsx*"))


def answered(source, target):
    with open_table(source) as table, open_output(target, table, {"label": str, "probability": float}) as output:
        for chunk in table.chunks(2):
            output.write(chunk, [["x"] * len(chunk), [0.5] * len(chunk)])
    return target


def test_written_workbook(tmp_path):
    """Columns are written as text, formulas too; probabilities are numbers; the same rows make the same bytes."""
    (tmp_path / "in.csv").write_text('id,text\n007,=1+1\n1.0,"a\r\nb\x0b_x0041_"\n,\n', newline="")
    path = answered(tmp_path / "in.csv", tmp_path / "o.xlsx")
    sheet = openpyxl.load_workbook(path).active
    assert [[cell.data_type for cell in row] for row in sheet.iter_rows(min_row=2, max_row=2)] == [["s", "s", "s", "n"]]
    assert rows_of(path)[0] == ["id", "text", "label", "probability"]
    assert rows_of(path)[1] == [
        ["007", "=1+1", "x", "0.5"],
        ["1.0", "a\r\nb\x0b_x0041_", "x", "0.5"],
        ["", "", "x", "0.5"],
    ]
    assert path.read_bytes() == answered(tmp_path / "in.csv", tmp_path / "again.xlsx").read_bytes()


def test_workbook_to_csv_and_back(tmp_path):
    """A workbook becomes a CSV that Excel opens, a workbook a workbook."""
    path = book(tmp_path / "a.xlsx", [["id", "text"], [7, "é"]])
    assert answered(path, tmp_path / "o.csv").read_bytes() == "\ufeffid,text,label,probability\n7,é,x,0.5\n".encode()
    assert rows_of(answered(path, tmp_path / "o.xlsx"))[1] == [["7", "é", "x", "0.5"]]
    with open_table(path) as table, pytest.raises(UserError, match="is the input itself"):
        open_output(path, table, force=True)


def test_what_a_sheet_cannot_hold(tmp_path):
    """A text that Excel would cut is refused before anything is written."""
    (tmp_path / "in.csv").write_text("text\n" + "a" * 32_768 + "\n")
    with (
        open_table(tmp_path / "in.csv") as table,
        pytest.raises(UserError, match="32,767 characters, and one here has 32,768"),
    ):
        open_output(tmp_path / "o.xlsx", table)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    """The unpacked sheet is removed, also after a fault."""
    import tempfile

    path, other = book(tmp_path / "a.xlsx", [["text"], ["a"]]), book(tmp_path / "b.xlsx", [["text"], ["a", "b"]])
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    rows_of(path)
    fault(other)
    assert list((tmp_path / "temporary").iterdir()) == []


def test_labels_in_a_workbook(tmp_path):
    """Labels with descriptions, words, examples and parents stand in a workbook as in a CSV; 7 is 7."""
    rows = [
        ["name", "description", "words", "examples", "parent"],
        ["up", "better", "win|gain", None, None],
        [7, None, None, "a|b", "up"],
    ]
    path = book(tmp_path / "labels.xlsx", [*rows, [], ["down"]])
    wanted = {
        "up": {"description": "better", "words": ["win", "gain"], "children": {"7": {"examples": ["a", "b"]}}},
        "down": "",
    }
    assert read_labels(str(path)) == Labels.parse(wanted)
    book(path, [["name"], ["a"], [], ["a"]])
    with pytest.raises(UserError, match=r"'a' is given twice \(row 2 and row 4\)"):
        read_labels(str(path))


def test_heavy_packages_wait():
    """Importing tables imports neither library."""
    import subprocess

    code = "import sys, rung.tables; print({'openpyxl', 'xlsxwriter'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
