"""What runs an encoder's transformer, and in which precision: PyTorch, or OpenVINO where `rung[openvino]` is installed.

Only the transformer itself is converted: tokenization, pooling and all later steps stay modules of sentence-transformers. A
conversion to OpenVINO is saved on disk under the backbone's fingerprint, after a check against PyTorch.
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
_MAX_CONVERSION_GAP = 1e-3  # largest difference from PyTorch, relative to the largest value
# Tracing these texts keeps all operations that depend on padding and on different lengths.
_EXAMPLE = ["an example that is traced", "a second one, which is longer, so that the first is padded"]


class EngineConfig(NamedTuple):
    """An engine and a precision.

    >>> str(EngineConfig("openvino", "bf16"))
    'openvino-bf16'
    """

    engine: str
    precision: str

    def __str__(self) -> str:
        return f"{self.engine}-{self.precision}"


@dataclass(frozen=True)
class EngineOptions:
    """What a user may choose for an encoder: engine, precision and threads (None: the engine's own default).

    With PyTorch, `threads` applies to the whole process.
    """

    engine: str = "auto"
    precision: str = "auto"
    threads: int | None = None

    @classmethod
    def of(cls, name: str, given: Mapping[str, object]) -> EngineOptions:
        """The options that were typed for the backbone `name`. Raises UserError for an invalid value."""
        found = cls(
            _checked_choice(name, "engine", given.get("engine", "auto"), ENGINES),
            _checked_choice(name, "precision", given.get("precision", "auto"), PRECISIONS),
            _checked_threads(name, given.get("threads")),
        )
        if found.engine == "openvino" and find_spec("openvino") is None:
            raise UserError(
                "backbone {name!r} with engine=openvino needs openvino, which is not installed.",
                "pip install 'rung[openvino]'   (or let rung choose the engine: engine=auto)",
                name=name,
            )
        return found

    def allows(self, config: EngineConfig) -> bool:
        """Whether these options permit a config."""
        return self.engine in ("auto", config.engine) and self.precision in ("auto", config.precision)


def _checked_choice(name: str, option: str, value: object, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UserError(
            "backbone {name!r}: {option} must be one of {known}, got {value!r}.",
            "Type  {name}?{option}={example}  or leave it out: rung then takes what is fastest here.",
            name=name,
            option=option,
            known=", ".join(known),
            value=value,
            example=known[-1],
        )
    return str(value)


def _checked_threads(name: str, value: object) -> int | None:
    if value is None:
        return None
    if not str(value).isdecimal() or int(str(value)) < 1:
        raise UserError(
            "backbone {name!r}: threads must be a whole number of 1 or more, got {value!r}.",
            "Type  {name}?threads={cpus}  or leave it out.",
            name=name,
            value=value,
            cpus=os.cpu_count() or 1,
        )
    return int(str(value))


def apply_engine(encoder: Any, config: EngineConfig, *, fingerprint: str, threads: int | None) -> Any:
    """The same encoder (of sentence-transformers), whose transformer now runs with that config.

    Raises UserError where OpenVINO cannot run this model.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    first = encoder[0]
    if config.engine == "openvino":
        compiled = _OpenVINOTransformer(_converted(encoder, fingerprint), config.precision, threads, first.model.config)
        del first.model  # torch refuses to replace a module by an object that is not one
        first.model = compiled
    elif config.precision == "bf16":
        first.model.to(torch.bfloat16)
    return encoder


class _OpenVINOTransformer:
    """A transformer that OpenVINO runs, with the interface that sentence-transformers calls."""

    def __init__(self, file: Path, precision: str, threads: int | None, config: Any) -> None:
        core = import_openvino().Core()
        self.config = config
        self._compiled = core.compile_model(core.read_model(file), "CPU", _settings(precision, threads))
        self._request = self._compiled.create_infer_request()
        self._names = [port.any_name for port in self._compiled.inputs]
        self._lock = Lock()  # a request runs one batch at a time

    def forward(self, **features: Any) -> dict[str, Any]:
        """Token vectors (batch, tokens, d) of a batch."""
        import torch

        with self._lock:
            found = self._request.infer([features[name].numpy() for name in self._names], share_inputs=True)
            return {"last_hidden_state": torch.from_numpy(found[0])}


def _settings(precision: str, threads: int | None) -> dict[str, Any]:
    """OpenVINO's settings: one batch at a time on all threads, which was faster than several at once (docs/results.md)."""
    found = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": {"float32": "f32"}.get(precision, precision)}
    asked = threads or os.environ.get("OMP_NUM_THREADS", "")  # a limit set for PyTorch is meant for OpenVINO too
    return found | ({"INFERENCE_NUM_THREADS": str(asked)} if str(asked).isdecimal() else {})


def import_openvino() -> Any:
    """The module `openvino`, imported without its telemetry: no usage data is queued, written or sent."""
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # OpenVINO then uses its own empty substitute
    import openvino

    return openvino


def conversions_folder() -> Path:
    """The folder in which conversions are saved."""
    return default_folder() / "openvino"


def conversions_bytes() -> int:
    """The size of all conversions in bytes."""
    return sum(file.stat().st_size for file in conversions_folder().rglob("*") if file.is_file())


def clear_conversions() -> int:
    """Delete all conversions and give the number of bytes freed; they are made again when they are needed."""
    before = conversions_bytes()
    shutil.rmtree(conversions_folder(), ignore_errors=True)
    return before


def _converted(encoder: Any, fingerprint: str) -> Path:
    """The file of the converted transformer, which is made where there is none for these weights and these versions."""
    made_by = [version(package) for package in ("openvino", "torch", "transformers", "sentence-transformers")]
    key = hashlib.sha256(" ".join([fingerprint, *made_by]).encode()).hexdigest()[:32]
    file = conversions_folder() / key / "model.xml"
    if not file.is_file():
        _convert(encoder, file)
    return file


def _convert(encoder: Any, file: Path) -> None:
    """Write the transformer in OpenVINO's format; the folder gets its final name when it is complete."""
    names, tensors = traced_inputs(encoder)
    with silent_tracing():
        model = import_openvino().convert_model(_tensor_module(encoder[0].model, names), example_input=tensors)
    for port, name in zip(model.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent.parent) as made:
        written = Path(made) / "conversion"
        import_openvino().save_model(model, written / file.name, compress_to_fp16=False)
        _check_conversion(encoder, written / file.name)
        if not file.exists():
            written.rename(file.parent)


def traced_inputs(encoder: Any) -> tuple[list[str], tuple[Any, ...]]:
    """Names and tensors of the transformer's inputs.

    Raises UserError where sentence-transformers calls the transformer in a way that cannot be converted.
    """
    import torch

    called = encoder[0].modality_config["text"]
    if called["method"] != "forward" or called["method_output_name"] not in (
        "last_hidden_state",
        ("last_hidden_state",),
    ):
        raise UserError(
            "OpenVINO cannot run this encoder: sentence-transformers reads its output {output}.",
            "Use PyTorch:  engine=torch",
            output=called["method_output_name"],
        )
    features = encoder.preprocess(_EXAMPLE)
    inputs = {name: value.cpu() for name, value in features.items() if isinstance(value, torch.Tensor)}
    return list(inputs), tuple(inputs.values())


def _tensor_module(model: Any, names: list[str]) -> Any:
    """The transformer with positional tensors as inputs and output, as tracing needs it."""
    import torch

    class Body(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Any) -> Any:
            return self.model(**dict(zip(names, tensors, strict=True)), return_dict=True).last_hidden_state

    return Body().eval()


def _check_conversion(encoder: Any, file: Path) -> None:
    """Raises UserError unless the conversion agrees with the transformer, also on texts of lengths that were not traced."""
    import torch

    features = encoder.preprocess(
        [*_EXAMPLE, "short", "one more text, with more words in it than any of the others have"]
    )
    tensors = {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
    with torch.inference_mode():
        wanted = encoder[0].model(**tensors, return_dict=True)["last_hidden_state"]
    found = _OpenVINOTransformer(file, "float32", None, None).forward(**tensors)["last_hidden_state"]
    seen = tensors["attention_mask"].bool()
    gap = float((found - wanted)[seen].abs().max() / wanted[seen].abs().max())
    if not gap < _MAX_CONVERSION_GAP:
        raise UserError(
            "OpenVINO's conversion of this encoder differs from PyTorch by {gap:.2g}, more than {allowed:g}.",
            "Use PyTorch:  engine=torch",
            gap=gap,
            allowed=_MAX_CONVERSION_GAP,
        )


@contextmanager
def silent_tracing() -> Iterator[None]:
    """Hides the warnings of tracing about shapes that it takes as constant: `_check_conversion` tests for this."""
    import logging

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
