"""Which column holds the texts."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.errors import UserError
from rung.tables import open_table
from rung.tables.column import looks_like_text


def column_of(path, content, **options):
    path.write_text(content, encoding="utf-8")
    with open_table(path, **options) as table:
        return table.text_column


@pytest.mark.parametrize("value", ["hello", "order 66", "好", "ok!", "Ünïcode", "no way", "naïve", "see https://a.b/1"])
def test_texts_are_texts(value):
    """Words of any script could be a text."""
    assert looks_like_text(value)


@pytest.mark.parametrize(
    "value",
    ["", " ", "007", "-1,5", "3.2e-5", "2024-01-05", "2024-01-05T10:33:00Z", "T-17", "true", "No", "NaN", "n/a", "…"],
)
def test_numbers_dates_ids_and_switches_are_not(value):
    """Numbers, dates, identifiers, yes and no, and signs alone are no texts."""
    assert not looks_like_text(value)


def test_the_one_named_text(tmp_path):
    """A column named exactly text is the one, whatever else could be."""
    assert column_of(tmp_path / "a.csv", "title,text\nhello there,general\n") == "text"


def test_the_only_column_of_text(tmp_path):
    """The only column that is not all numbers, dates or identifiers is the one."""
    content = "id;when;vip;message\nT-1;2024-01-05;yes;card was swallowed\nT-2;;no;\n"
    assert column_of(tmp_path / "a.csv", content) == "message"


def test_a_single_column_needs_no_guess(tmp_path):
    """The only column there is holds the texts, even if they look like numbers."""
    assert column_of(tmp_path / "a.csv", "n\n1\n2\n") == "n"


def test_one_late_text_is_enough(tmp_path):
    """A column counts as text if any row of it does, so that the choice never hangs on the first rows."""
    content = "a,b\n" + "1,hello\n" * 50 + "oh no,hello\n"
    with pytest.raises(UserError, match="2 columns could hold the texts"):
        column_of(tmp_path / "a.csv", content)


def test_asks_when_unclear(tmp_path):
    """With two columns of text the person is asked, and shown what to type."""
    with pytest.raises(UserError) as found:
        column_of(tmp_path / "a.csv", "id,subject line,body\n1,hello,dear all\n")
    assert "(columns: id, subject line, body)" in found.value.what
    assert found.value.hint == "Name it:  --text 'subject line'  or  --text body"


def test_asks_when_there_is_none(tmp_path):
    """With no column of text the person is asked as well."""
    with pytest.raises(UserError, match="no column looks like texts"):
        column_of(tmp_path / "a.csv", "id,n\n1,2\n")


@pytest.mark.parametrize(("asked", "near"), [("bdy", "body"), ("BODY", "body"), ("subject", "Subject")])
def test_unknown_column_names_the_nearest(tmp_path, asked, near):
    """A column that is not there gives the nearest one, whatever its case, and lists them all."""
    with pytest.raises(UserError, match=f"no column '{asked}'") as found:
        column_of(tmp_path / "a.csv", "Subject,body\nhello,dear all\n", text=asked)
    assert found.value.hint == f"--text {near}"
    assert "Subject, body" in found.value.what


def test_the_named_column_is_taken(tmp_path):
    """--text wins over the column named text."""
    assert column_of(tmp_path / "a.csv", "text,body\na,b\n", text="body") == "body"


def test_json_numbers_are_no_texts(tmp_path):
    """In JSON Lines only strings can be texts."""
    assert column_of(tmp_path / "a.jsonl", '{"n": 1}\n{"n": 2, "body": "hello"}\n') == "body"


def test_parquet_by_type(tmp_path):
    """In Parquet strings, large strings and dictionaries of strings can be texts, and nothing else, even if asked."""
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        pq.write_table(pa.table({"n": [1], "body": pa.array(["hello"]).cast(kind)}), tmp_path / "a.parquet")
        with open_table(tmp_path / "a.parquet") as table:
            assert table.text_column == "body"
            assert next(table.chunks()).texts == ["hello"]
        with pytest.raises(UserError, match="'n' is no text") as found:
            open_table(tmp_path / "a.parquet", text="n")
        assert found.value.hint == "--text body"
