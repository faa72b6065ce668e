"""The command line in the language of the person: help, usage errors, aligned columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from rung.cli import display
from rung.messages import catalog

Run = Callable[..., "object"]

CHINESE = {
    "Label every text of a file, with a probability, offline.": "离线",
    "Usage: ": "用法：",
    "Options": "选项",
    "Show this message and exit.": "显示本页并退出。",
    "required": "必填",
    "default: {default}": "默认：{default}",
    "there is no option {option}.": "没有选项 {option}。",
    "Did you mean {near}?   {page}": "您是否想写 {near}？   {page}",
    "{command}: no labels are given.": "{command}：没有给出标签。",
    "the text is empty": "文本为空",
    "Do not keep embeddings on disk.": "不在磁盘上保存任何嵌入向量，也就是说每一次运行都会重新计算全部文本的向量，因此速度较慢。",
}


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages in Chinese, some of them made up here."""
    monkeypatch.setenv("RUNG_LANG", "zh")
    for template, text in CHINESE.items():
        monkeypatch.setitem(catalog("zh"), template, text)


@pytest.mark.usefixtures("chinese")
def test_help_is_in_the_language_of_the_person(rung: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headings, the help of options and what is added to it are translated; no line is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "80")
    page = rung("classify", "--help").out
    unbroken = "".join(page.split())
    for text in ("用法：rungclassify", "选项:", "显示本页并退出。", "[默认：auto]", "[必填]", "不在磁盘上"):
        assert text in unbroken
    assert "Usage" not in page
    assert max(map(cell_len, page.splitlines())) <= 80


def test_english_help_is_unchanged(rung: Run) -> None:
    """In English the help is what typer writes."""
    page = rung("classify", "--help").out
    assert page.startswith("Usage: rung classify [OPTIONS]")
    assert "Show this message and exit." in page


@pytest.mark.usefixtures("chinese")
def test_errors_are_in_the_language_of_the_person(rung: Run, tmp_path: Path) -> None:
    """What the library says of options, what rung says, and the reason in the column error."""
    assert rung("classify", "x.csv", "--lables", "a,b").err == (
        "没有选项 --lables。\n  您是否想写 --labels？   rung classify --help\n"
    )
    assert rung("classify", "x.csv").err.startswith("classify：没有给出标签。\n")
    (tmp_path / "in.csv").write_text("id,text\n1,\n2,a text\n", "utf-8")
    assert "文本为空" in rung("classify", tmp_path / "in.csv", "--labels", "a,b", "--backbone", "builtin").out


@pytest.mark.parametrize(
    ("typed", "what", "hint"),
    [
        (("classify", "--labels"), "--labels needs a value.", "rung classify --help"),
        (("classify", "x.csv", "--labels"), "--labels needs a value.", "rung classify --help"),
        (("classify",), "IN is missing.", "rung classify --help"),
        (("classify", "x.csv"), "classify: no labels are given.", "--labels billing,bug"),
        (("classify", "x.csv", "--lables", "a,b"), "there is no option --lables.", "Did you mean --labels?"),
        (("clasify",), "there is no command 'clasify'.", "Did you mean classify?"),
        (("classify", "x.csv", "--long", "middle"), "--long: 'middle' is not one of 'cut', 'mean'.", "rung classify"),
        (("suggest", "x.csv", "--labels", "a,b", "-n", "q"), "--number: 'q' is not a whole number.", "rung suggest"),
        (("suggest", "x.csv", "--labels", "a,b", "-n", "5", "-n", "q"), "--number: 'q' is not", "rung suggest"),
        (("distill", "x", "--out", "y", "--temperature=q"), "--temperature: 'q' is not a number.", "rung distill"),
        (("classify", "a", "b"), "there are too many arguments: b", "rung classify --help"),
        (
            ("classify", "a", "--labels", "x,", "y z"),
            "there are too many arguments: y z",
            'quotation marks ("a,b c")',
        ),
        (("classify", "a", "—labels", "x,y"), "there are too many arguments: —labels x,y", "Write  --labels  with"),
        (
            ("classify", "a", "－－labels", "x"),
            "there are too many arguments: －－labels x",
            "Write  --labels  with",
        ),
        (("classify", "x.csv", "--balanced=3"), "--balanced takes no value.", "rung classify --help"),
        (("compare", "x.csv"), "--known is missing.", "rung compare --help"),
    ],
)
def test_a_usage_error_names_the_wrong_value(rung: Run, typed: tuple[str, ...], what: str, hint: str) -> None:
    """A usage error has two lines: the option and its value, then what was meant, or the help of that command."""
    ran = rung(*typed)
    first, second = ran.err.splitlines()
    assert ran.code == 2
    assert first.startswith(what)
    assert hint in second


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    """A Chinese character is two columns wide, and a short row has no spaces at its end."""
    lines = display.columns([("账单", "1"), ("a bill", "2"), ("だれ", "3"), ("last",)])
    assert [cell_len(line[: line.index(digit)]) for line, digit in zip(lines, "123", strict=False)] == [10, 10, 10]
    assert lines[3] == "  last"


def test_a_paragraph_is_broken_by_what_a_terminal_shows() -> None:
    """Lines fit, no text is lost, and no line begins with a punctuation mark that ends a clause."""
    text = "请把文件交回，rung 会从中学习。每个标签至少写一个例子，最好是三个。"
    lines = display.wrapped(text, 21)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cell_len(line) <= 23 for line in lines)
    assert not [line for line in lines if line[0] in "，。"]
