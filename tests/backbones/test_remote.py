"""Servers: every row has an answer or a reason, no answered request is sent again, no budget is exceeded, no key is written."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openai")

from rung import Classifier, UserError, load
from rung.backbones.common import api_client
from rung.backbones.prompt import Prompt
from rung.backbones.remote import RemoteBackbone, _matching_candidate
from rung.inference.label_scoring import count_truncated, score_labels
from rung.labels import Labels
from servers import Server, running

NAMES = ["card", "film", "app"]
LABELS = Labels.parse(NAMES)

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real waiting between tries."""
    monkeypatch.setattr(api_client, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    with running(Server()) as found:
        yield found


def backbone(server: Server, **options: Any) -> RemoteBackbone:
    found = load(f"openai:tiny@{server.url}", timeout_s=1, **options).with_options({"timeout_s": 1, **options})  # type: ignore[attr-defined]
    assert isinstance(found, RemoteBackbone)
    return found


def texts(n: int) -> list[str]:
    return [f"{NAMES[i % 3]} number {i}" for i in range(n)]


def test_letters_give_probabilities(server: Server) -> None:
    """The server's log-probability of a letter is that of its label; one request per text."""
    found, why = score_labels(texts(6), LABELS, backbone(server))
    order = LABELS.names
    assert [order[i] for i in found.argmax(axis=1)] == [NAMES[i % 3] for i in range(6)]
    assert np.exp(found.max(axis=1)) == pytest.approx(0.8)
    assert np.exp(np.sort(found[0])[0]) == pytest.approx(0.2 / 7)
    assert why == [None] * 6
    assert server.requests == 6


def test_five_hundred_requests_through_all_faults() -> None:
    """Whatever fails, each row has a label or a reason, and no answered request is repeated."""
    wrongs = {0: "429", 1: "500", 2: "malformed", 3: "503"}

    def fault(n: int, prompt: str) -> str | None:
        i = int(prompt.split("number ")[1].split()[0])
        if i % 50 == 7:
            return "500"  # for ever
        if i % 100 == 11:
            return "timeout" if n == 1 else None
        return wrongs.get(i % 7) if n == 1 else None

    with running(Server(fault=fault)) as server:
        asked = backbone(server, concurrency=16, retries=2)
        said = texts(500)
        found, why = score_labels(said, LABELS, asked)
        assert 500 <= server.requests <= asked.budget.requests  # a try that never arrived counts
    lost = [i for i in range(500) if i % 50 == 7]
    for i in range(500):
        if i in lost:
            assert np.isnan(found[i]).all()
            assert why[i] == "the server answered HTTP 500, 3 times"
        else:
            assert LABELS.names[found[i].argmax()] == NAMES[i % 3]
            assert why[i] is None
    late = {prompt for prompt in server.asked if int(prompt.split("number ")[1].split()[0]) % 100 == 11}
    assert all(
        count <= 1 for prompt, count in server.answered.items() if prompt not in late
    )  # who came late answered twice
    assert all(count <= 3 + 3 for count in server.asked.values())  # three tries for probabilities, three for a choice


def test_an_answer_off_the_list_is_none_with_the_reason() -> None:
    """Where a server gives no probabilities its output is constrained; an answer that is no label is never taken for one."""
    off = lambda n, prompt: "off list" if "number 1" in prompt else None  # noqa: E731
    with running(Server(told=0, fault=off)) as server:
        clf = Classifier(NAMES, backbone=backbone(server), geometry="builtin", cache=False)
        answers = clf.answers(texts(3))
        assert [answer.label for answer in answers] == ["card", None, "app"]
        assert answers[1].error == "the server answered 'perhaps'"
        assert any("response_format" in body for body in server.bodies)


def test_too_few_probabilities_mean_a_choice(server: Server) -> None:
    """Where the most probable tokens do not include every letter, no label gets a probability and the model chooses instead."""
    server.told = 2
    asked = backbone(server)
    rows, why = asked.scored(["x\nA. card\nB. film\nC. app\n\nText: film 1"], ["A", "B", "C"])
    assert np.isnan(rows).all()
    assert why == ["the server gives the probabilities of too few tokens"]
    found, _ = score_labels(texts(3), LABELS, asked)
    assert np.exp(found.max(axis=1)) == pytest.approx(0.9)


def test_it_falls_back_to_what_the_server_supports() -> None:
    """The backbone falls back to fewer probabilities and to other constraints where the server refuses them, and remembers it."""
    with running(Server(top=5, holds=("guided_choice",))) as server:
        asked = backbone(server, concurrency=1)
        score_labels(texts(4), LABELS, asked)
        assert [body["top_logprobs"] for body in server.bodies] == [20, 5, 5, 5, 5]
        asked.choose(["a\n\nText: film 1"], ["film", "card"])
        assert [
            name
            for body in server.bodies[5:]
            for name in ("response_format", "grammar", "guided_choice")
            if name in body
        ] == [
            "response_format",
            "grammar",
            "guided_choice",
        ]


def test_many_labels_are_chosen_by_name(server: Server) -> None:
    """With more labels than letters, the model chooses among the names."""
    names = [*NAMES, *(f"other{i}" for i in range(30))]
    found, why = score_labels(texts(3), Labels.parse(names), backbone(server))
    assert [sorted(names)[i] for i in found.argmax(axis=1)] == NAMES
    assert why == [None] * 3


@pytest.mark.parametrize(("option", "limit"), [("max_requests", 9), ("max_tokens", 400)])
def test_the_budget_is_never_exceeded(server: Server, option: str, limit: int, tmp_path: Path) -> None:
    """A spent budget gives the remaining rows a reason; with the cache, the next run sends only these."""
    server.fault = lambda n, prompt: "500" if n == 1 and "number 2" in prompt else None
    clf = Classifier(NAMES, backbone=backbone(server, **{option: limit}), geometry="builtin", cache=str(tmp_path))
    answers = clf.answers(texts(12))
    done = [answer for answer in answers if answer.label is not None]
    assert 0 < len(done) < 12
    assert len(done) >= 3  # three more went to texts that say nothing
    assert all(f"the budget of {limit}" in str(answer.error) for answer in answers if answer.label is None)
    assert server.requests <= 9 if option == "max_requests" else 21 * sum(server.answered.values()) <= 400
    before = dict(server.answered)
    again = Classifier(NAMES, backbone=backbone(server), geometry="builtin", cache=str(tmp_path))
    assert all(answer.label is not None for answer in again.answers(texts(12)))
    assert all(server.answered[prompt] == count for prompt, count in before.items())


def test_completions_echo_each_candidate(server: Server) -> None:
    """With via=completions, a score is the sum over the candidate's own tokens."""
    found = backbone(server, via="completions").score(["the text is", "it is"], [" film", " card app"])
    assert found == pytest.approx(np.array([[-0.4, -0.7], [-0.4, -0.7]]))


def test_equal_prompts_are_sent_once(server: Server) -> None:
    """A text that occurs many times is sent once."""
    found, _ = score_labels(["film 1"] * 20, LABELS, backbone(server))
    assert server.requests == 1
    assert (found == found[0]).all()


def test_it_generates(server: Server) -> None:
    """`generate` gives the answers in order, and raises an error where one is missing."""
    assert backbone(server).generate(["Text: film 1", "Text: card 2"]) == ["film", "card"]
    server.fault = lambda n, prompt: "500"
    with pytest.raises(UserError, match="a prompt got no answer"):
        backbone(server, retries=1).generate(["Text: app"])


def test_the_key_goes_to_the_server_and_nowhere_else(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The key is in no name, pickle, saved classifier, cache or fingerprint; a name that contains a key is refused."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    asked = backbone(server)
    clf = Classifier(NAMES, backbone=asked, geometry="builtin", cache=str(tmp_path / "cache")).fit(texts(12))
    clf.save(tmp_path / "saved")
    assert server.keys == {"Bearer sk-very-secret"}
    held = [pickle.dumps(asked), repr(asked).encode(), asked.fingerprint.encode(), asked.name.encode()]
    held += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"very-secret" in each for each in held)
    with pytest.raises(UserError, match="a key must not stand in a name"):
        load("openai:m@http://user:sk-1@host/v1")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("openai:@http://127.0.0.1:1/v1", "names no model"),
        ("openai:m@127.0.0.1:1", "names no model"),
        ("openai:m@http://127.0.0.1:1/v1?concurrency=0", "concurrency must be a whole number of 1 or more"),
        ("openai:m@http://127.0.0.1:1/v1?max_request=9", "Did you mean 'max_requests'"),
        ("openai:m@http://127.0.0.1:1/v1?via=mail", "via must be chat or completions"),
    ],
)
def test_malformed_names_are_refused(name: str, match: str) -> None:
    """Each mistake in a name is refused before anything is sent."""
    with pytest.raises(UserError, match=match):
        load(name)


def test_servers_that_are_not_there_or_refuse(server: Server) -> None:
    """No server, no such model and a refused key raise an error, since every other text would fail too."""
    with pytest.raises(UserError, match="no server answers at 127"):
        load("openai:m@http://127.0.0.1:9/v1?retries=0").score(["a"], ["A", "B"])  # type: ignore[attr-defined]
    for fault, match in (("404", "has no such model"), ("401", "refuses the key")):
        server.fault = lambda n, prompt, fault=fault: fault
        with pytest.raises(UserError, match=match):
            backbone(server).score(["a"], ["A", "B"])


def test_a_missing_key_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key raises an error for the first text, without retries."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = load("openai:tiny@https://api.example.com/v1")
    with pytest.raises(UserError, match=r"there is no key for api\.example\.com"):
        score_labels(texts(3), LABELS, model)
    assert model.budget.requests <= 3  # type: ignore[attr-defined]


def test_it_says_where_texts_go() -> None:
    """`host` is None for this machine, and the cloud's host for a name without an address."""
    assert load("openai:m@http://localhost:8080/v1").host is None  # type: ignore[attr-defined]
    assert load("openai:m@https://llm.example.org/v1").host == "llm.example.org"  # type: ignore[attr-defined]
    assert load("openai:m").host == "api.openai.com"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answer", "names", "wanted"),
    [
        ("C++", ["C", "C#", "C++"], 2),
        ('{"label": "C#"}', ["C", "C#", "C++"], 1),
        ("c.", ["C", "C#", "C++"], 0),
        ("C#", ["C", "Java"], None),  # a label that is not there is no other label
        ("+1", ["+1", "-1", "1"], 0),
        ("\u22121", ["+1", "-1", "1"], 1),  # a minus sign
        ("1", ["+1", "-1"], None),
        ("A-", ["A", "A+", "A-"], 2),
        ('"A+."', ["A", "A+", "A-"], 1),
        (".NET", [".NET", "NET"], 0),
        ("**.net**", [".NET", "NET"], 0),
        ("net", [".NET", "NET"], 1),
        ("us", ["US", "us"], 1),
        ("Us", ["US", "us"], None),  # it could be either
        ("(B)", ["A", "B"], 1),
        ("B)", ["A", "B"], 1),
        ("...", ["?", "!"], None),  # nothing is left of either
        ("", ["?", "a"], None),
        ("?", ["?", "!"], 0),
        ("\uff23\uff0b\uff0b", ["C", "C++"], 1),  # full width
        ("billing", ["billing.", "bug"], 0),
        ("5", ["5", "5*"], 0),
        ("5*", ["5", "4"], None),
    ],
)
def test_names_that_differ_only_in_signs_stay_apart(answer: str, names: list[str], wanted: int | None) -> None:
    """A literal answer is its label; without the marks around it, it counts only where no other label fits."""
    assert _matching_candidate(answer, names) == wanted


def test_room_for_an_answer_is_counted_in_bytes(server: Server) -> None:
    """A name of thirty Chinese characters may take a token per byte, and the budget reserves them."""
    long = "标签" * 15
    asked = backbone(server, max_tokens=120)
    _, why = asked.choose(["which\n\nText: film 1"], [long, "film"])
    assert "the budget of 120 tokens" in str(why[0])
    backbone(server).choose(["which\n\nText: film 1"], [long, "film"])
    assert server.bodies[-1]["max_tokens"] >= len(long.encode())


def test_a_grammar_keeps_names_unchanged() -> None:
    """Emoji, quotes and backslashes reach llama.cpp's grammar unchanged."""
    with running(Server(holds=("grammar",))) as server:
        backbone(server).choose(["which\n\nText: film 1"], ["film", '👍 \\ "so"'])
        assert server.bodies[-1]["grammar"] == r'root ::= "film" | "👍 \\ \"so\""'


def test_control_tokens_in_a_text_are_broken_up(server: Server) -> None:
    """What any model reads as a control token is broken up in texts and labels before it is sent; other markup is unchanged."""
    text = "film <|im_end|> </s> [INST] <｜Assistant｜> <start_of_turn> <extra_id_7> <b>so</b> [1] <|a b|>"
    score_labels([text], Labels.parse(["card", "film<|im_end|>"]), backbone(server))
    sent = server.bodies[-1]["messages"][0]["content"]
    assert "< |im_end|> < /s> [ INST] < ｜Assistant｜> < start_of_turn> < extra_id_7> <b>so</b> [1] <|a b|>" in sent
    assert "film< |im_end|>" in sent
    backbone(server, via="completions").score([Prompt("<s>", "a </s>", "[/INST] ")], ["card"])
    assert server.bodies[-1]["prompt"] == "<s>a < /s>[/INST] card"
    backbone(server).generate(["Text: film </s>"])
    assert server.bodies[-1]["messages"][0]["content"] == "Text: film </s>"  # a plain string, as it is


@pytest.mark.parametrize("via", ["chat", "completions"])
def test_a_text_too_long_for_the_server_is_cut(server: Server, via: str) -> None:
    """The middle of a text is left out until the server accepts it; question and labels stay, and cut texts are counted."""

    def fault(n: int, prompt: str) -> str | None:
        return "too long" if len(prompt) > 400 else None

    server.fault = fault
    asked = backbone(server, via=via)
    texts = ["film " + "and so on " * 100 + "the end", "film short"]
    found, why = score_labels(texts, LABELS, asked)
    assert why == [None, None]
    assert np.isfinite(found).all()
    sent = [body["messages"][0]["content"] if via == "chat" else body["prompt"] for body in server.bodies]
    last = next(each for each in sent if len(each) <= 400 and " … " in each)
    assert "Which label fits the text best?" in last
    assert "Text: film and so on" in last
    assert "the end" in last
    assert count_truncated(texts, LABELS, asked) == 1
    rows, reasons = asked.scored(["Text: film " + "and so on " * 100], ["A", "B"])
    assert np.isnan(rows).all()
    assert "maximum context length" in str(reasons[0])  # a plain string is nobody's to cut


def test_an_echo_that_is_shifted_is_refused() -> None:
    """A server whose echo gives each token the probability of the next one is refused before any label is scored."""
    with running(Server(shifted=True)) as server, pytest.raises(UserError, match="probability of another one"):
        backbone(server, via="completions").score(["the text is"], [" film"])
    with running(Server()) as server:
        asked = backbone(server, via="completions")
        asked.score(["the text is"], [" film"])
        asked.score(["it is"], [" film"])
        assert [body["echo"] for body in server.bodies] == [False, True, True, True]  # tried once
