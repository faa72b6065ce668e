"""What runs an encoder's transformer, and in which precision: PyTorch, or OpenVINO where `rung[openvino]` is installed.

Only the transformer itself is handed over: tokenizing, pooling and whatever comes after it stay sentence-transformers' own
modules. A conversion to OpenVINO is kept on disk by the backbone's fingerprint, and is checked before it is kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, NamedTuple

from rung.errors import UserError
from rung.evidence.cache import default_folder

ENGINES = ("auto", "torch", "openvino")
PRECISIONS = ("auto", "float32", "bf16")
_CLOSE = 1e-3  # how far a conversion's numbers may lie from torch's, in units of their own size
# What is traced; the padding and the unlike lengths keep everything in that depends on them.
_EXAMPLE = ["an example that is traced", "a second one, which is longer, so that the first is padded"]


class Way(NamedTuple):
    """An engine and a precision.

    >>> str(Way("openvino", "bf16"))
    'openvino-bf16'
    """

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine}-{self.precision}"


@dataclass(frozen=True)
class Options:
    """What a person may ask of an encoder: engine, precision, and threads (None: what the engine takes by itself).

    With PyTorch, `threads` holds for the whole process.
    """

    engine: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    @classmethod
    def of(cls, name: str, given: Mapping[str, object]) -> Options:
        """The options as they were typed for the backbone `name`. Raises UserError for a value that is none."""
        found = cls(
            _one_of(name, "engine", given.get("engine", "auto"), ENGINES),
            _one_of(name, "precision", given.get("precision", "auto"), PRECISIONS),
            _count(name, given.get("threads")),
        )
        if found.engine == "openvino" and find_spec("openvino") is None:
            raise UserError(
                "backbone {name!r} with engine=openvino needs openvino, which is not installed.",
                "pip install 'rung[openvino]'   (or leave the engine to rung: engine=auto)",
                name=name,
            )
        return found

    def allows(self, way: Way) -> bool:
        """Whether a way is one of those that were asked for."""
        return self.engine in ("auto", way.engine) and self.precision in ("auto", way.precision)


def _one_of(name: str, option: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UserError(
            "backbone {name!r}: {option} must be one of {known}, got {value!r}.",
            "Type  {name}?{option}={known_2}  or leave it out: rung then takes what is fastest here.",
            name=name,
            option=option,
            known=", ".join(known),
            value=value,
            known_2=known[-1],
        )
    return str(value)


def _count(name: str, value: object) -> int | None:
    if value is None:
        return None
    if not str(value).isdecimal() or int(str(value)) < 1:
        raise UserError(
            "backbone {name!r}: threads must be a whole number from 1, got {value!r}.",
            "Type  {name}?threads={cpu_count}  or leave it out.",
            name=name,
            value=value,
            cpu_count=os.cpu_count() or 1,
        )
    return int(str(value))


def set_up(encoder: Any, way: Way, *, fingerprint: str, threads: int | None) -> Any:
    """The same encoder (of sentence-transformers), its transformer run in that way from now on.

    Raises UserError where OpenVINO cannot run this model.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    first = encoder[0]
    if way.engine == "openvino":
        compiled = _Compiled(_converted(encoder, fingerprint), way.precision, threads, first.model.config)
        del first.model  # a module cannot be replaced by what is none
        first.model = compiled
    elif way.precision == "bf16":
        first.model.to(torch.bfloat16)
    return encoder


class _Compiled:
    """A transformer that OpenVINO runs, called as sentence-transformers calls its own."""

    def __init__(self, file: Path, precision: str, threads: int | None, config: Any) -> None:
        core = openvino().Core()
        self.config = config
        self._compiled = core.compile_model(core.read_model(file), "CPU", _settings(precision, threads))
        self._request = self._compiled.create_infer_request()
        self._names = [port.any_name for port in self._compiled.inputs]
        self._turn = Lock()  # a request runs one batch at a time

    def forward(self, **features: Any) -> dict[str, Any]:
        """Token vectors (batch, tokens, d) of a batch."""
        import torch

        with self._turn:
            found = self._request.infer([features[name].numpy() for name in self._names], share_inputs=True)
            return {"last_hidden_state": torch.from_numpy(found[0])}


def _settings(precision: str, threads: int | None) -> dict[str, Any]:
    """One batch at a time on all threads: that was faster than several at once (docs/results.md)."""
    found = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": {"float32": "f32"}.get(precision, precision)}
    asked = threads or os.environ.get("OMP_NUM_THREADS", "")  # who holds PyTorch to so many means OpenVINO too
    return found | ({"INFERENCE_NUM_THREADS": str(asked)} if str(asked).isdecimal() else {})


def openvino() -> Any:
    """The module, which is imported so that it counts no use: nothing is queued, written or sent."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # it then takes its own empty stand-in
    import openvino

    return openvino


def folder() -> Path:
    """Where conversions are kept."""
    return default_folder() / "openvino"


def kept_bytes() -> int:
    """Bytes of all conversions."""
    return sum(file.stat().st_size for file in folder().rglob("*") if file.is_file())


def clear() -> int:
    """Forget all conversions; how many bytes that gave back. They are made again when they are needed."""
    before = kept_bytes()
    shutil.rmtree(folder(), ignore_errors=True)
    return before


def _converted(encoder: Any, fingerprint: str) -> Path:
    """The file of the converted transformer, made where there is none yet for these weights and these versions."""
    made_by = [version(package) for package in ("openvino", "torch", "transformers", "sentence-transformers")]
    key = hashlib.sha256(" ".join([fingerprint, *made_by]).encode()).hexdigest()[:32]
    file = folder() / key / "model.xml"
    if not file.is_file():
        _convert(encoder, file)
    return file


def _convert(encoder: Any, file: Path) -> None:
    """Write the transformer as OpenVINO reads it; the folder gets its name when all is in it."""
    names, tensors = traceable(encoder)
    with silent():
        model = openvino().convert_model(_body(encoder[0].model, names), example_input=tensors)
    for port, name in zip(model.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent.parent) as made:
        written = Path(made) / "whole"
        openvino().save_model(model, written / file.name, compress_to_fp16=False)
        _check(encoder, written / file.name)
        if not file.exists():
            written.rename(file.parent)


def traceable(encoder: Any) -> tuple[list[str], tuple[Any, ...]]:
    """Names and tensors that the transformer takes. Raises UserError where it is called in a way that cannot be handed over."""
    import torch

    called = encoder[0].modality_config["text"]
    if called["method"] != "forward" or called["method_output_name"] not in (
        "last_hidden_state",
        ("last_hidden_state",),
    ):
        raise UserError(
            "OpenVINO cannot run this encoder: sentence-transformers takes {called} from it.",
            "Leave the engine to PyTorch:  engine=torch",
            called=called["method_output_name"],
        )
    features = encoder.preprocess(_EXAMPLE)
    taken = {name: value.cpu() for name, value in features.items() if isinstance(value, torch.Tensor)}
    return list(taken), tuple(taken.values())


def _body(model: Any, names: list[str]) -> Any:
    """The transformer with its tensors in and out by place, as it is traced."""
    import torch

    class Body(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            return self.model(**dict(zip(names, tensors, strict=True)), return_dict=True).last_hidden_state

    return Body().eval()


def _check(encoder: Any, file: Path) -> None:
    """Raises UserError unless the conversion says what the transformer says, of texts of other lengths than were traced."""
    import torch

    features = encoder.preprocess(
        [*_EXAMPLE, "short", "one more text, with more words in it than any of the others have"]
    )
    tensors = {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
    with torch.inference_mode():
        wanted = encoder[0].model(**tensors, return_dict=True)["last_hidden_state"]
    found = _Compiled(file, "float32", None, None).forward(**tensors)["last_hidden_state"]
    seen = tensors["attention_mask"].bool()
    gap = float((found - wanted)[seen].abs().max() / wanted[seen].abs().max())
    if not gap < _CLOSE:
        raise UserError(
            "OpenVINO's conversion of this encoder lies {gap:.2g} from what PyTorch says, more than {CLOSE:g}.",
            "Leave the engine to PyTorch:  engine=torch",
            gap=gap,
            CLOSE=_CLOSE,
        )


@contextmanager
def silent() -> Iterator[None]:
    """Without what tracing says of shapes that it takes for fixed: `_check` sees to that."""
    import logging

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
