"""The classifier above the rung of names: fitted on texts, on a few labels, with trees, several labels, and none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from rung import Classifier, UserError, load
from rung.inference.label_inputs import LabelWarning

SUBJECTS = {
    "billing": ["invoice", "payment", "credit card charge", "price", "refund of money"],
    "bug report": ["crash", "error message", "broken button", "failure at start", "bug"],
    "praise": ["thanks", "great work", "love it", "wonderful team", "excellent"],
}
FRAMES = ["about the {}", "my {} today", "{} again", "question: {}", "the {} from last week", "{} on my phone"]
TEXTS = [frame.format(each) for subject in SUBJECTS.values() for each in subject for frame in FRAMES]
TRUTH = np.repeat(list(SUBJECTS), 30)
GAPS = [label if i % 10 == 0 else None for i, label in enumerate(TRUTH)]


def classifier(labels: Any = SUBJECTS, **parameters: Any) -> Classifier:
    names = dict.fromkeys(labels, "") if labels is SUBJECTS else labels
    return Classifier(names, backbone="builtin", **parameters)


def test_fitting_climbs_and_says_where_it_stands() -> None:
    """Texts lead to the rung pool, labels of some to shots; a second fit forgets the first; guard_ is a sentence."""
    clf = classifier()
    assert clf.rung_ == "names"
    assert clf.fit(TEXTS).rung_ == "pool"
    assert str(len(TEXTS)) in clf.guard_
    assert clf.prior_.sum() == pytest.approx(1)
    assert np.array_equal(clf.prior_, clf.learned_.prior_)
    assert clf.fit(TEXTS, GAPS).rung_ == "shots"
    assert clf.fit(TEXTS).rung_ == "pool"
    assert {answer.rung for answer in clf.answers(TEXTS[:3])} == {"pool"}


def test_the_figures_behind_the_guard_are_kept(tmp_path: Path) -> None:
    """guard_details_ has them by name for every rung, and a saved classifier too; nothing fitted, no figures."""
    assert classifier().guard_details_ == {}
    for fitted in (classifier().fit(TEXTS), classifier().fit(TEXTS, GAPS), classifier(multi_label=True).fit(TEXTS)):
        fitted.save(tmp_path / "saved", force=True)
        assert Classifier.load(tmp_path / "saved").guard_details_ == fitted.guard_details_
    details = classifier().fit(TEXTS, GAPS).guard_details_
    assert details["texts"] == len(TEXTS)
    assert details["labels"] == sum(each is not None for each in GAPS)


def test_texts_and_labels_do_not_harm_here() -> None:
    """On texts that are easy to tell apart, each rung is at least as right as the one below."""
    clf = classifier()
    names, pool, shots = (
        (fitted.predict(TEXTS) == TRUTH).mean()
        for fitted in (clf, classifier().fit(TEXTS), classifier().fit(TEXTS, GAPS))
    )
    assert names - 0.02 <= pool <= shots + 0.02
    assert shots > 0.8


def test_new_texts_are_answered_each_by_itself() -> None:
    """Fitted on some texts, it answers others; their company and order do not matter."""
    clf = classifier().fit(TEXTS[::2])
    together = clf.predict_proba(TEXTS[1::2])
    assert np.concatenate([clf.predict_proba([text]) for text in TEXTS[1::2]]) == pytest.approx(together, abs=1e-4)
    assert together.sum(axis=1) == pytest.approx(1)


def test_the_order_of_the_texts_it_is_fitted_on_does_not_matter() -> None:
    """Shuffled texts and labels give the same probabilities within 1e-3."""
    order = np.random.default_rng(0).permutation(len(TEXTS))
    straight = classifier().fit(TEXTS, GAPS).predict_proba(TEXTS)
    shuffled = classifier().fit([TEXTS[i] for i in order], [GAPS[i] for i in order]).predict_proba(TEXTS)
    assert shuffled == pytest.approx(straight, abs=1e-3)


def test_given_labels_never_change() -> None:
    """transduction_ keeps them, right or wrong, and answers the rest; unreadable texts stay None."""
    wrong = [*GAPS]
    wrong[1] = "praise"
    clf = classifier().fit(["", *TEXTS], [None, *wrong])
    assert clf.transduction_[0] is None
    kept = clf.transduction_[1:]
    assert all(label == given for label, given in zip(kept, wrong, strict=True) if given)
    assert len(kept) == len(TEXTS)


@pytest.mark.parametrize("none", [None, float("nan"), -1, ""])
def test_what_means_no_label(none: Any) -> None:
    """None, NaN, an empty text, and −1 where no label is called so."""
    y: Any = [none if label is None else label for label in GAPS]
    assert classifier().fit(TEXTS, y).learned_.labels_ == sum(label is not None for label in GAPS)


def test_labels_that_cannot_be_are_refused() -> None:
    """A label that is none of the labels is named with its row and the nearest; another length is told."""
    with pytest.raises(UserError, match=r"row 2 holds 'biling'.*\n.*'billing'"):
        classifier().fit(TEXTS[:3], [None, None, "biling"])
    with pytest.raises(UserError, match="2 labels for 3 texts"):
        classifier().fit(TEXTS[:3], [None, None])


def test_contradicting_labels_are_told_and_kept() -> None:
    """The same text with two labels: a warning with both rows; both stay."""
    with pytest.warns(LabelWarning, match="rows 0 and 1: billing and praise"):
        clf = classifier().fit([TEXTS[0], TEXTS[0], *TEXTS[1:]], ["billing", "praise", *[None] * (len(TEXTS) - 1)])
    assert clf.transduction_[:2].tolist() == ["billing", "praise"]


def test_what_a_person_knows_of_shares_is_used() -> None:
    """A label said to be rare is given less probability than one said to be frequent; what cannot be is refused."""
    few, many = (
        classifier(shares={"praise": share}).fit(TEXTS).predict_proba(TEXTS)[:, 2].mean() for share in (0.05, 0.6)
    )
    assert few < many
    with pytest.raises(UserError, match="'prase' is none of the labels"):
        classifier(shares={"prase": 0.1}).fit(TEXTS)
    with pytest.raises(UserError, match="shares"):
        classifier(shares={"praise": 0.9, "billing": 0.8}).fit(TEXTS)


def test_texts_that_fit_no_label_get_none() -> None:
    """With reject, far texts are answered None with the reason; it needs a fit first."""
    foreign = ["the volcano erupted on the island", "medieval castles in winter", "photosynthesis in green leaves"] * 4
    clf = classifier(reject=0.1).fit(TEXTS + foreign)
    out = [label is None for label in clf.predict(TEXTS + foreign)]
    assert np.mean(out[len(TEXTS) :]) > np.mean(out[: len(TEXTS)])
    answer = next(answer for answer in clf.answers(foreign) if answer.label is None)
    assert (answer.error, answer.reason.startswith("none of these")) == (None, True)
    with pytest.raises(UserError, match=r"fit\(texts\)  first"):
        classifier(reject="auto").predict(TEXTS)


def test_several_labels_are_yes_or_no_each() -> None:
    """predict gives (n, k) of 0 and 1, answers a tuple of names; what it cannot do is refused."""
    clf = classifier(multi_label=True).fit(TEXTS)
    flags = clf.predict(TEXTS)
    assert flags.shape == (len(TEXTS), 3)
    assert set(np.unique(flags)) <= {0, 1}
    assert ((clf.predict_proba(TEXTS) > 0.5) == flags).all()
    named = clf.answers(TEXTS)[0].label
    assert named == tuple(clf.classes_[flags[0] == 1])
    with pytest.raises(UserError, match="cannot be combined with reject"):
        classifier(multi_label=True, reject=0.1).fit(TEXTS)
    with pytest.raises(UserError, match=r"fit\(texts\)  first"):
        classifier(multi_label=True).predict(TEXTS)


def test_several_labels_heed_the_texts_that_have_some() -> None:
    """Names a text and a matrix of marks say the same; what is given stays; labelled texts help those that are not."""
    clf = classifier(multi_label=True)
    places = {name: i for i, name in enumerate(clf.classes_.tolist())}
    named: list[Any] = [(label,) if i % 2 else None for i, label in enumerate(TRUTH)]
    marks = np.full((len(TEXTS), 3), np.nan)
    for i, each in enumerate(named):
        if each is not None:
            marks[i] = [float(name in each) for name in places]
    by_names = clone(clf).fit(TEXTS, named)
    by_marks = clone(clf).fit(TEXTS, marks)
    assert by_names.rung_ == "shots"
    assert np.array_equal(by_names.predict_proba(TEXTS), by_marks.predict_proba(TEXTS))
    known = ~np.isnan(marks)
    assert (by_names.transduction_[known] == marks[known]).all()
    truth = np.array([[name == label for name in places] for label in TRUTH])
    before = clone(clf).fit(TEXTS)
    wrong = [np.mean(each.predict(TEXTS)[~known[:, 0]] != truth[~known[:, 0]]) for each in (by_names, before)]
    assert wrong[0] <= wrong[1]
    nothing = clone(clf).fit(TEXTS, [()] + [None] * (len(TEXTS) - 1))
    assert nothing.transduction_[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("y", "match"),
    [
        ([("billing", "bilingual")], "none of the labels"),
        (np.zeros((1, 2)), "there are 3 labels"),
        (np.full((1, 3), 0.5), "numbers other than 0 and 1"),
        ([("billing",)] * 2, "2 rows for 1 texts"),
    ],
)
def test_marks_that_cannot_be_used_are_told(y: Any, match: str) -> None:
    """Unknown names, columns that are none of the labels, halves, another number of texts."""
    with pytest.raises(UserError, match=match):
        classifier(multi_label=True).fit(TEXTS[:1], y)


def test_trees_are_calibrated_by_their_leaves(tmp_path: Path) -> None:
    """Leaves get the temperature, parents are their sums, and a set holds leaves; saved, it is the same."""
    tree = {"all": {"children": dict.fromkeys(SUBJECTS, "")}, "nothing of it": ""}
    half = len(TEXTS) // 2
    clf = classifier(tree).fit(TEXTS[:half])
    before = clf.predict_proba(TEXTS)
    clf.calibrate(TEXTS[half:], TRUTH[half:])
    assert not np.allclose(clf.predict_proba(TEXTS), before)
    assert clf.predict_proba(TEXTS).sum(axis=1) == pytest.approx(1)
    sets = clf.label_sets(TEXTS, level=0.8)
    assert np.mean([true in held for true, held in zip(TRUTH, sets, strict=True)]) >= 0.75
    assert {name for held in sets for name in held} <= set(clf.classes_)
    clf.save(tmp_path / "saved")
    assert Classifier.load(tmp_path / "saved").label_sets(TEXTS, level=0.8) == sets


def test_several_labels_are_calibrated(tmp_path: Path) -> None:
    """One temperature, so the labels stay; a set holds all true labels; what was fitted on is refused; saved, it is the same."""
    half = len(TEXTS) // 2
    marks = [(label,) for label in TRUTH]
    clf = classifier(multi_label=True).fit(TEXTS[:half], [*marks[:10], *[None] * (half - 10)])
    before, labels = clf.predict_proba(TEXTS), clf.predict(TEXTS)
    with pytest.raises(UserError, match="10 of 12 labelled texts already had a label in fit"):
        clf.calibrate([*TEXTS[:10], *TEXTS[half : half + 2]], [*marks[:10], *marks[half : half + 2]])
    clf.calibrate(TEXTS[half:], marks[half:])
    assert not np.allclose(clf.predict_proba(TEXTS), before)
    assert np.array_equal(clf.predict(TEXTS), labels)
    sets = clf.label_sets([*TEXTS, None], level=0.8)
    assert sets[-1] is None
    assert np.mean([true in held for true, held in zip(TRUTH, sets[:-1], strict=True)]) >= 0.75
    assert [answer.label_set for answer in clf.answers(TEXTS, level=0.8)] == sets[:-1]
    clf.save(tmp_path / "saved")
    assert Classifier.load(tmp_path / "saved").label_sets(TEXTS, level=0.8) == sets[:-1]


def test_calibration_of_several_labels_reads_y_as_fit_does() -> None:
    """With multi_label, calibrate takes a mapping from text to labels, as fit does."""
    labels = {text: (label,) for text, label in zip(TEXTS, TRUTH, strict=True)}
    by_text = classifier(multi_label=True).fit(TEXTS).calibrate(TEXTS, labels)
    by_row = classifier(multi_label=True).fit(TEXTS).calibrate(TEXTS, list(labels.values()))
    assert np.array_equal(by_text.predict_proba(TEXTS), by_row.predict_proba(TEXTS))


def test_calibrated_probabilities_and_sets(tmp_path: Path) -> None:
    """One temperature for all, answers as they were; sets hold the true label as often as promised; both are saved."""
    half = len(TEXTS) // 2
    clf = classifier().fit(TEXTS[:half])
    before = clf.predict(TEXTS)
    with pytest.raises(UserError, match="not calibrated"):
        clf.label_sets(TEXTS)
    clf.calibrate(TEXTS[half:], TRUTH[half:])
    assert (clf.predict(TEXTS) == before).all()
    sets = clf.label_sets([*TEXTS, None], level=0.8)
    assert sets[-1] is None
    inside = [label in (found or ()) for label, found in zip(TRUTH[half:], sets[half:], strict=False)]
    assert np.mean(inside) >= 0.8
    clf.save(tmp_path / "calibrated")
    again = Classifier.load(tmp_path / "calibrated")
    assert np.array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert again.label_sets(TEXTS, 0.8) == clf.label_sets(TEXTS, 0.8)
    with pytest.raises(UserError, match="already had a label in fit"):
        classifier().fit(TEXTS, GAPS).calibrate(TEXTS, GAPS)
    assert not hasattr(clf.fit(TEXTS), "calibration_")


def test_what_was_learned_of_other_labels_is_not_used() -> None:
    """Labels set anew after a fit: an error that says so, until the next fit."""
    clf = classifier().fit(TEXTS)
    clf.set_params(labels=["rain", "sunshine"])
    with pytest.raises(UserError, match="changed since the last fit"):
        clf.predict(TEXTS)
    assert set(clf.fit(TEXTS).predict(TEXTS)) <= {"rain", "sunshine"}


TREE = {"money": {"children": ["billing", "refund"]}, "product": {"children": {"bug report": "broken", "wish": ""}}}


def test_a_tree_is_answered_as_deep_as_it_is_sure() -> None:
    """predict_proba is that of the leaves; a lower confidence goes deeper, and nothing sure is None with the reason."""
    deep, shallow, never = (classifier(TREE, confidence=c) for c in (0.0, 0.9, 1.0))
    assert deep.classes_.tolist() == ["billing", "bug report", "refund", "wish"]
    assert set(deep.predict(TEXTS)) <= set(deep.classes_)
    assert set(map(str, shallow.predict(TEXTS))) & {"money", "product"}
    silent = [answer for answer in never.answers(TEXTS) if answer.label is None]
    assert silent[0].reason == "no label has a probability of 1 or more"
    assert "product > bug report" in deep.answers(["a bug report"])[0].reason


@pytest.mark.parametrize("n", [0, -1, "2", 2.5, None, True])
def test_a_number_of_suggestions_that_is_none_is_refused(n: object) -> None:
    """It is neither answered by nothing nor by an error of the code."""
    with pytest.raises(UserError, match="suggest: n="):
        Classifier(["billing", "bug"], backbone="builtin").suggest(TEXTS, n)  # type: ignore[arg-type]


def test_suggested_texts_are_spread_over_labels() -> None:
    """From no label on: distinct texts of every label; those that are known are not asked again."""
    clf = classifier()
    first = clf.suggest(TEXTS, 6)
    assert len(set(first.tolist())) == 6
    assert set(TRUTH[first]) == set(SUBJECTS)
    known = [TRUTH[i] if i in first else None for i in range(len(TEXTS))]
    assert not set(clf.suggest(TEXTS, 6, known).tolist()) & set(first.tolist())


@pytest.mark.parametrize(
    ("parameters", "y"),
    [
        ({}, None),
        ({}, GAPS),
        ({"reject": 0.1}, None),
        ({"multi_label": True}, None),
        ({"multi_label": True}, [(label,) if label else None for label in GAPS]),
        ({"shares": {"praise": 0.2}}, GAPS),
    ],
)
def test_a_saved_classifier_answers_the_same(parameters: dict[str, Any], y: Any, tmp_path: Path) -> None:
    """On every rung: bit-equal probabilities and equal answers after a round trip."""
    clf = classifier(**parameters).fit(TEXTS, y)
    clf.save(tmp_path / "saved")
    loaded = Classifier.load(tmp_path / "saved")
    assert np.array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert loaded.answers(TEXTS) == clf.answers(TEXTS)
    assert (loaded.rung_, loaded.guard_) == (clf.rung_, clf.guard_)
    assert "embeddings of texts" in json.loads((tmp_path / "saved" / "classifier.json").read_text())["privacy"]


def test_a_tree_is_saved_too(tmp_path: Path) -> None:
    """Children and confidence come back."""
    classifier(TREE, confidence=0.8).save(tmp_path / "saved")
    loaded = Classifier.load(tmp_path / "saved")
    assert (loaded.predict(TEXTS) == classifier(TREE, confidence=0.8).predict(TEXTS)).all()


def test_loading_makes_nothing_but_rungs(tmp_path: Path) -> None:
    """A tampered file cannot name other classes, of rung or of others."""
    classifier().fit(TEXTS).save(tmp_path / "saved")
    file = tmp_path / "saved" / "classifier.json"
    written = file.read_text()
    assert '"Pool"' in written
    for kind in ("subprocess:Popen", "Popen", "Cache", "np", "Label"):
        file.write_text(written.replace('"Pool"', f'"{kind}"'))
        with pytest.raises(UserError, match="damaged"):
            Classifier.load(tmp_path / "saved")


def test_no_fit_changes_the_backbone() -> None:
    """Whatever is fitted, the frozen model stays what it was."""
    before = load("builtin").fingerprint
    classifier(reject="auto").fit(TEXTS, GAPS)
    assert load("builtin").fingerprint == before


@pytest.mark.parametrize("word", ["none of these", " None of  These "])
def test_none_of_these_is_a_known_answer_that_teaches_no_label(word: str) -> None:
    """A text that is known to belong to none of the labels has no label in the transduction, and no label learns from it."""
    odd = "the odd one"
    clf = classifier().fit([*TEXTS, odd], [*GAPS, word])
    without = classifier().fit(TEXTS, GAPS)
    assert clf.transduction_.tolist()[-1] is None
    assert clf.learned_.labels_ == without.learned_.labels_
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), without.predict_proba(TEXTS))
    assert len(TEXTS) not in clf.suggest([*TEXTS, odd], n=99, y=[*GAPS, word])


def test_a_label_may_bear_the_word_itself() -> None:
    """Where a label is called "none of these", the word is that label."""
    clf = Classifier(["billing", "none of these"], backbone="builtin").fit(
        TEXTS, ["none of these", *GAPS[1:]][:1] + [None] * (len(TEXTS) - 1)
    )
    assert clf.transduction_[0] == "none of these"


def test_none_of_these_and_a_label_contradict_each_other() -> None:
    """The same text with a label and with the word: the warning names both."""
    with pytest.warns(LabelWarning, match="rows 0 and 1: billing and none of these"):
        classifier().fit([TEXTS[0], TEXTS[0], *TEXTS[1:]], ["billing", "none of these", *[None] * (len(TEXTS) - 1)])


def test_with_several_labels_none_of_these_says_no_to_all() -> None:
    """multi_label: the word is an empty collection; beside a label it is refused; such a text is not suggested again."""
    clf = Classifier(["billing", "praise"], backbone="builtin", multi_label=True)
    y = ["none of these", ["praise"], *[None] * (len(TEXTS) - 2)]
    assert clf.fit(TEXTS, y).transduction_[:2].tolist() == [[0, 0], [0, 1]]
    assert not {0, 1} & set(clf.suggest(TEXTS, n=99, y=y).tolist())
    with pytest.raises(UserError, match="row 0 holds 'none of these' beside a label"):
        clf.fit(TEXTS, [["praise", "none of these"], *[None] * (len(TEXTS) - 1)])
