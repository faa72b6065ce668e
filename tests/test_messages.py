"""Messages: in the language of the person, whole, and never broken by what they are filled with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rung.errors import UserError
from rung.messages import Localized, catalog, language, tr, tr_n

ROOT = Path(__file__).resolve().parents[1]


def test_without_values_a_text_is_taken_as_it_is() -> None:
    """Braces in an example are no fields."""
    assert tr('Write  {"name": "description"}') == 'Write  {"name": "description"}'


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "RUNG_LANG": "zh"}, "zh"),
        ({"LANG": "zh_TW.UTF-8", "RUNG_LANG": "en"}, "en"),
        ({"RUNG_LANG": "ZH-Hans"}, "zh"),
    ],
)
def test_the_language_is_that_of_the_locale(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    """RUNG_LANG decides, then LC_ALL, LC_MESSAGES and LANG in POSIX's order; a language that is not known is English."""
    for name in ("RUNG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language() == expected


def test_what_a_person_typed_is_never_a_template() -> None:
    """A file called {x}.csv, or a hint that is finished already, goes through as it is."""
    error = UserError("{name}: no such file.", Localized("ls {x}"), name="{x}.csv")
    assert (error.what, error.hint) == ("{x}.csv: no such file.", "ls {x}")


def test_an_error_survives_pickling() -> None:
    """Workers on other machines hand errors back whole."""
    import pickle

    error = pickle.loads(pickle.dumps(UserError("{n} texts.", "Give {{one}}.", n=0)))
    assert str(error) == "0 texts.\n  Give {one}."


def test_a_message_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog's text stands in for the English one, with the same values."""
    monkeypatch.setenv("RUNG_LANG", "zh")
    monkeypatch.setitem(catalog("zh"), "{n} texts.", "{n} 条文本。")
    assert tr("{n} texts.", n=3) == "3 条文本。"


def test_the_code_and_the_catalogs_agree() -> None:
    """Every message is there in every language with the same fields, none is left over, and no call forgets a value."""
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "message_catalog.py", "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_one_and_many_are_two_whole_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """English tells one from many, 0 among the many; another language gives to each what it likes."""
    said = [tr_n("{n:,} row in {file}", "{n:,} rows in {file}", n=n, file="x") for n in (0, 1, 1200)]
    assert said == ["0 rows in x", "1 row in x", "1,200 rows in x"]
    monkeypatch.setenv("RUNG_LANG", "zh")
    monkeypatch.setitem(catalog("zh"), "{n:,} rows in {file}", "{file} 有 {n:,} 行")
    assert tr_n("{n:,} row in {file}", "{n:,} rows in {file}", n=2, file="x") == "x 有 2 行"
