"""Labels as people write them in files and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rung import UserError
from rung.labels import Labels, read_labels

SAME = Labels.parse({"billing": "invoices, refunds", "no": "", "007": "secret"})

FILES = {
    "labels.txt": "billing: invoices, refunds\n\nno\n007: secret\n",
    "labels.csv": 'name,description\nbilling,"invoices, refunds"\nno,\n007,secret\n',
    "label.csv": "\ufefflabel;description\r\nbilling;invoices, refunds\r\nno;\r\n007;secret\r\n",
    "labels.tsv": "description\tname\ninvoices, refunds\tbilling\n\tno\nsecret\t007\n",
    "labels.yaml": "billing: invoices, refunds\nno:\n007: secret\n",
    "list.yml": "- {name: billing, description: 'invoices, refunds'}\n- no\n- {name: 007, description: secret}\n",
    "labels.json": '{"billing": "invoices, refunds", "no": "", "007": {"description": "secret"}}',
    "list.json": '[{"name": "billing", "description": "invoices, refunds"}, "no", {"name": "007", "description": "secret"}]',
}


EXCEL = {
    "sep.csv": '"sep=;"\r\nname;description\r\nbilling;invoices, refunds\r\nno;\r\n007;secret\r\n',
    "marked.csv": "\ufeffsep=|\rname|description|\rbilling|invoices, refunds|\rno||\r007|secret|\r",
    "blank.csv": "\n;\nname;description;;\n;;;\nbilling;invoices, refunds;;\nno\n007;secret\n",
}


@pytest.mark.parametrize("line", ["退款：说明", "退款：说明: 更多", "退款: 说明", " 退款 ： 说明 "])
def test_a_wide_colon_separates_too(line: str, tmp_path: Path) -> None:
    """What a Chinese keyboard types between name and description is understood; the first colon of a line separates."""
    (tmp_path / "l.txt").write_text(f"{line}\n故障\n", "utf-8")
    labels = read_labels(str(tmp_path / "l.txt"))
    assert labels.names == ["故障", "退款"]
    assert [label.description for label in labels][1].startswith("说明")


def test_a_list_longer_than_a_file_name_can_be() -> None:
    """A hundred names on the command line are a list, whatever the system says of a file of that name."""
    assert len(read_labels(",".join(f"label {i}" for i in range(100))).names) == 100


@pytest.mark.parametrize("name", EXCEL)
def test_a_table_as_excel_saves_it(name: str, tmp_path: Path) -> None:
    """A declared separator (sep=;), blank rows, empty cells at the ends and lone carriage returns change nothing."""
    (tmp_path / name).write_bytes(EXCEL[name].encode())
    assert read_labels(str(tmp_path / name)) == SAME


ODD = "a\u2028b\x85c\u2029d"  # signs at which str.splitlines and YAML end a line, and no editor does


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.txt", "up: {}\ndown\n"),
        ("l.csv", "name,description\nup,{}\ndown,\n"),
        ("l.yaml", "up: {}\ndown:\n"),
        ("l.json", '{{"up": "{}",\n"down": ""}}'),
    ],
)
def test_lines_end_where_an_editor_ends_them(name: str, content: str, end: str, tmp_path: Path) -> None:
    """Unicode's other line separators stand inside a description, and Windows' and old Mac's line ends end a line."""
    (tmp_path / name).write_bytes(content.format(ODD).replace("\n", end).encode())
    assert read_labels(str(tmp_path / name)) == Labels.parse({"up": ODD, "down": ""})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("l.txt", "a\u2028\n\nb\na\n", "line 1 and line 4"),
        ("l.csv", "sep=,\nname\na\x85\nb\na\x85\n", "line 3 and line 5"),
        ("l.json", '{"a": "\u2028",\n"b": ""\n"c": ""}', "line 3"),
        ("l.yaml", "a: x\u2028y\nb: y: z\n", "line 2"),
        ("l.yaml", "a: x\nb: y\x0b\n", "line 2"),
    ],
)
def test_faults_name_the_line_that_an_editor_shows(
    name: str, content: str, line: str, end: str, tmp_path: Path
) -> None:
    """The line of a fault is the one that a person's editor numbers so, whatever ends the lines."""
    (tmp_path / name).write_bytes(content.replace("\n", end).encode())
    with pytest.raises(UserError) as caught:
        read_labels(str(tmp_path / name))
    assert line in caught.value.what


@pytest.mark.parametrize("name", FILES)
def test_every_format_says_the_same(name: str, tmp_path: Path) -> None:
    """One set of labels reads the same from every format; `no` and 007 stay the texts that were written."""
    file = tmp_path / name
    file.write_text(FILES[name], "utf-8", newline="")
    assert read_labels(str(file)) == SAME


TREE = Labels.parse(
    {"money": {"children": {"card": "a bank card", "loan": ""}}, "travel": "", "007": {"children": ["no"]}}
)

TREES = {
    "tree.csv": "name,parent,description\ntravel,,\ncard,money,a bank card\nloan,money,\nno,007,\n",
    "rows.tsv": "name\tparent\tdescription\ncard\tmoney\ta bank card\nmoney\t\t\nloan\tmoney\t\ntravel\t\t\n007\t\t\nno\t007\t\n",
    "tree.yaml": "money: {children: {card: a bank card, loan: }}\ntravel:\n007:\n  children: [no]\n",
    "list.yaml": "- name: money\n  children:\n  - {name: card, description: a bank card}\n  - loan\n"
    "- travel\n- {name: 007, children: [no]}\n",
    "tree.json": '{"money": {"children": {"card": {"description": "a bank card"}, "loan": ""}}, '
    '"travel": "", "007": {"children": ["no"]}}',
}


@pytest.mark.parametrize("name", TREES)
def test_every_format_grows_the_same_tree(name: str, tmp_path: Path) -> None:
    """Children are nested in YAML and JSON and name their `parent` in a table, which may have a row of its own or not."""
    file = tmp_path / name
    file.write_text(TREES[name], "utf-8", newline="")
    assert read_labels(str(file)) == TREE


def test_words_and_examples_stand_in_csv_cells(tmp_path: Path) -> None:
    """In a table, words and examples are separated by a bar."""
    file = tmp_path / "labels.csv"
    file.write_text("name,words,examples\nup,win|gain,\ndown,,We lost.\n", "utf-8")
    assert read_labels(str(file)) == Labels.parse(
        {"up": {"words": ["win", "gain"]}, "down": {"examples": ["We lost."]}}
    )


def test_a_ready_made_set_is_read_by_its_name() -> None:
    """`--labels sentiment-en` needs no file."""
    assert read_labels("sentiment-en").names == ["negative", "positive"]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("l.txt", "", "is empty"),
        ("l.txt", "a\n\nb\na: again\n", "'a' is given twice (line 1 and line 4)"),
        ("l.txt", "a\n: nothing\n", "empty name (line 2)"),
        ("l.csv", "title,description\na,b\n", "no column 'name' (columns: title, description)"),
        ("l.csv", 'name\na\n"b\n', "not valid CSV"),
        ("l.json", '{"a": ""\n "b": ""}', "not valid JSON (Expecting ',' delimiter, line 2)"),
        ("l.json", '{"a": "", "b": "", "a": ""}', "'a' is given twice (entry 1 and entry 3)"),
        ("l.json", '"a"', "neither a list nor a mapping"),
        ("l.yaml", "a: b: c\n", "not valid YAML"),
        ("l.yaml", "a: x\nb: y\na: z\n", "'a' is given twice"),
        ("l.yaml", "", "is empty"),
        ("l.docx", "a", "has an unknown format"),
        ("l.csv", "name,parent\na,b\nb,c\nc,a\n", "'a' is its own ancestor (line 2)"),
        ("l.csv", "name,parent\na,x\nb,y\na,y\n", "'a' is given twice"),
        ("l.csv", "name,parent\na,Money\nb,money\n", "differ in case only"),
        ("l.json", '{"m": {"children": {"a": "", "a": ""}}}', "'a' is given twice (entry 1 and entry 1)"),
        ("l.yaml", "m: {children: [a, b]}\na:\n", "'a' is given twice (entry 1 and entry 2)"),
        ("l.yaml", "- {description: x}\n- b\n", "empty name (entry 1)"),
        ("l.csv", "name,description\na,one, two\nb,\n", "l.csv has 3 fields and its header has 2 (line 2)"),
        ("l.csv", "name,desc\na,one\nb,\n", "a column 'desc', which is not read"),
        ("l.csv", "name,keywords\na,one\nb,\n", "a column 'keywords', which is not read"),
        ("l.csv", "name,description,description\na,x,y\nb,,\n", "the column 'description' twice"),
        ("l.csv", "\n\n", "is empty"),
        ("l.json", "[" * 100_000, "nested too deeply"),
        ("l.yaml", "&a [*a]", "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(name: str, content: str, what: str, tmp_path: Path) -> None:
    """Every fault of a label file is named with its place."""
    file = tmp_path / name
    file.write_text(content, "utf-8")
    with pytest.raises(UserError) as caught:
        read_labels(str(file))
    assert what in caught.value.what


@pytest.mark.parametrize(
    ("spec", "what", "hint"),
    [
        ("missing.csv", "no file missing.csv", "path"),
        ("dir/missing", "no file dir/missing", "path"),
        ("sentimnt-en", "it is not a list (a,b,c), a file or a ready-made set", "Did you mean 'sentiment-en'?"),
        ("a,,b", "empty name", "name"),
        ("a,a", "twice", "once"),
        ("['billing', 'bug report']", "brackets or quotation marks", "--labels 'billing,bug report'  ;"),
        ('["billing","bug"]', "brackets or quotation marks", "--labels billing,bug  ;"),
        ("“billing”,“bug”", "brackets or quotation marks", "--labels billing,bug  ;"),
        ("「账单」，「故障」", "brackets or quotation marks", "账单,故障"),
        ('billing,"bug, error"', "brackets or quotation marks", "in a file"),
        ("billing: invoices, prices", "'billing: invoices' is a name with a description", "--labels labels.txt"),
        ("账单:费用,故障", "'账单:费用' is a name with a description", "--labels labels.txt"),
        ("账单：费用,故障", "'账单：费用' is a name with a description", "--labels labels.txt"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(spec: str, what: str, hint: str) -> None:
    """Neither a file, nor a set, nor a list: the error says which was tried."""
    with pytest.raises(UserError) as caught:
        read_labels(spec)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_names_in_a_list_may_hold_apostrophes_and_colons() -> None:
    """What stands inside a name, or ends it as an apostrophe does, is a part of the name."""
    assert read_labels("don't know,customers',10:30").names == ["10:30", "customers'", "don't know"]


def test_a_table_that_is_called_txt_is_refused(tmp_path: Path) -> None:
    """Excel saves a table with tabs as .txt: its rows are not taken for names, and the error says how to call it."""
    (tmp_path / "l.txt").write_text("name\tdescription\nbilling\tcharges\nbug\tcrash\n", "utf-8")
    with pytest.raises(UserError, match=r"l\.txt has tabs, so it is a table \(line 1\)") as caught:
        read_labels(str(tmp_path / "l.txt"))
    assert "l.tsv" in caught.value.hint


@pytest.mark.parametrize(
    "content", ["- billing\n- bug\n", "# my labels\nbilling\nbug\n", "billing\n • bug\n", "* a\n* b\n"]
)
def test_signs_of_a_list_or_a_comment_are_refused(content: str, tmp_path: Path) -> None:
    """What people write before a name does not become a part of it, nor a comment a label."""
    (tmp_path / "l.txt").write_text(content, "utf-8")
    with pytest.raises(UserError, match=r"l\.txt has the sign of a list or a comment before a name \(line \d\)"):
        read_labels(str(tmp_path / "l.txt"))


def test_a_sign_that_belongs_to_a_name_is_kept(tmp_path: Path) -> None:
    """A hashtag or a minus with its number is a name."""
    (tmp_path / "l.txt").write_text("#metoo\n-1\n#1 priority\n", "utf-8")
    assert set(read_labels(str(tmp_path / "l.txt")).names) == {"#metoo", "-1", "#1 priority"}


def test_a_mistyped_label_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of labels that was probably meant stands in the hint."""
    (tmp_path / "labels.txt").write_text("a\nb\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as found:
        read_labels("labels.tx")
    assert "labels.txt" in found.value.hint
