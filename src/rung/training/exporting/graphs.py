"""Write encoder and head as one ONNX or OpenVINO graph, and run such a graph with onnxruntime or OpenVINO, and tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from rung.backbones.common.engines import import_openvino, silent_tracing, traced_inputs
from rung.backbones.encoder import EncoderBackbone, control_tokens
from rung.text_encoding import encodable
from rung.training.exporting.plain_tokenizer import without_control_tokens
from rung.training.layer_pruning import read_encoder

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_BATCH_SIZE = 32
_CALIBRATION_TEXTS = 300  # at most so many texts calibrate the ranges of activations
_OUTPUTS = ["embedding", "log_probabilities"]
_EXAMPLE = ["one text", "and one that is a little longer than the first"]


@dataclass(frozen=True)
class ExportedGraph:
    """An exported graph with its tokenizer."""

    run_batch: Callable[[dict[str, Any]], dict[str, Any]]
    tokenizer: Any
    facts: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Load the graph from `folder`."""
        from tokenizers import Tokenizer

        facts = json.loads((folder / "labels.json").read_text("utf-8"))
        graph = _onnx_session(folder) if (folder / "model.onnx").is_file() else _openvino_session(folder)
        return cls(graph, Tokenizer.from_file(str(folder / "tokenizer.json")), facts)

    def run(self, texts: list[str]) -> tuple[Array, Floats]:
        """Embeddings (n, d) and log-probabilities (n, k) of texts, in batches of similar length."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        found = [self.run_batch(inputs) for inputs in self.inputs([texts[i] for i in order])]
        embedding, log_probabilities = (np.concatenate([each[name] for each in found]) for name in _OUTPUTS)
        back = np.argsort(order)
        return embedding[back], log_probabilities[back].astype(np.float64)

    def inputs(self, texts: list[str]) -> Iterator[dict[str, Any]]:
        """The input tensors of the graph, batch by batch."""
        for start in range(0, len(texts), _BATCH_SIZE):
            part = [encodable(self.facts["prompt"] + text) for text in texts[start : start + _BATCH_SIZE]]
            encodings = self.tokenizer.encode_batch(part)
            parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
            yield {
                name: np.array([getattr(each, parts[name]) for each in encodings], dtype=np.int64)
                for name in self.facts["inputs"]
            }


def facts(backbone: EncoderBackbone, labels: list[Any]) -> dict[str, Any]:
    """The content of labels.json: labels, names of the input tensors, prompt, maximum tokens."""
    names, _ = traced_inputs(read_encoder(backbone))
    prompt = backbone.prompts.get("text", "")
    return {"labels": labels, "inputs": names, "prompt": prompt, "max_tokens": backbone.max_tokens}


def write(
    backbone: EncoderBackbone,
    weights: Floats,
    bias: Floats,
    known: dict[str, Any],
    folder: Path,
    *,
    to: str,
    precision: str,
    texts: list[str],
) -> None:
    """Write graph, tokenizer and facts into `folder`. For int8, `texts` calibrate the ranges of activations."""
    encoder = read_encoder(backbone)
    _write_tokenizer(encoder, known["max_tokens"], folder / "tokenizer.json")
    (folder / "labels.json").write_text(json.dumps(known) + "\n", "utf-8")
    names, tensors = traced_inputs(encoder)
    module = _graph_module(encoder, names, weights, bias)
    if to == "openvino" and precision == "float32":
        _write_openvino(module, names, tensors, folder / "model.xml")
        return
    _write_onnx(module, names, tensors, folder / "model.onnx")
    if precision == "int8":
        _quantize(folder, texts[:_CALIBRATION_TEXTS])
    if to == "openvino":
        with silent_tracing():
            import_openvino().save_model(
                import_openvino().convert_model(str(folder / "model.onnx")),
                str(folder / "model.xml"),
                compress_to_fp16=False,
            )
        (folder / "model.onnx").unlink()


def _graph_module(encoder: Any, names: list[str], weights: Floats, bias: Floats) -> Any:
    """A torch module from tokens to embedding and log-probabilities."""
    import torch

    transformer, *others = encoder.children()

    class EncoderWithHead(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model, self.others = transformer.model, torch.nn.ModuleList(others)
            self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
            self.register_buffer("bias", torch.tensor(bias, dtype=torch.float32))

        def forward(self, *tensors: Any) -> Any:
            given = dict(zip(names, tensors, strict=True))
            hidden = self.model(**given, return_dict=True).last_hidden_state
            features = {"token_embeddings": hidden, "attention_mask": given["attention_mask"]}
            for module in self.others:
                features = module(features)
            embedding = torch.nn.functional.normalize(features["sentence_embedding"], dim=1)
            return embedding, (embedding @ self.weights + self.bias).log_softmax(dim=1)

    return EncoderWithHead().eval()


def _write_tokenizer(encoder: Any, longest: int | None, file: Path) -> None:
    """Write the tokenizer with truncation and padding enabled, as the graph needs it."""
    from tokenizers import Tokenizer

    own = encoder.tokenizer
    plain = without_control_tokens(own.backend_tokenizer.to_str(), control_tokens(encoder).contents)
    tokenizer = Tokenizer.from_str(plain)
    if longest:
        tokenizer.enable_truncation(longest, direction=own.truncation_side)
    tokenizer.enable_padding(pad_id=own.pad_token_id, pad_token=own.pad_token, direction=own.padding_side)
    file.write_text(tokenizer.to_str(pretty=True), "utf-8")


def _write_onnx(module: Any, names: list[str], tensors: tuple[Any, ...], file: Path) -> None:
    import torch

    axes = {name: {0: "texts", 1: "tokens"} for name in names} | {name: {0: "texts"} for name in _OUTPUTS}
    with silent_tracing():
        torch.onnx.export(
            module, tensors, str(file), input_names=names, output_names=_OUTPUTS, dynamic_axes=axes, dynamo=False
        )


def _write_openvino(module: Any, names: list[str], tensors: tuple[Any, ...], file: Path) -> None:
    with silent_tracing():
        made = import_openvino().convert_model(module, example_input=tensors)
    for ports, wanted in ((made.inputs, names), (made.outputs, _OUTPUTS)):
        for port, name in zip(ports, wanted, strict=True):
            port.get_tensor().set_names({name})
    import_openvino().save_model(made, str(file), compress_to_fp16=False)


def _quantize(folder: Path, texts: list[str]) -> None:
    """Quantize matrix products with weights to int8: one scale for each column of weights, ranges of activations from `texts`.

    Attention, norms and the head stay in float32, and so does the second product of each feed-forward block: its input has a few
    large outliers, which would leave too little precision for all other values (mean cosine on MiniLM: .93 with it, .99 without).
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    made = ExportedGraph.open(folder)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = made.inputs(sorted(texts, key=len))

        def get_next(self) -> Any:
            return next(self.left, None)

    plain, ready = folder / "model.onnx", folder / "prepared.onnx"
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "quant_format": QuantFormat.QDQ}
    with silent_tracing():
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        products = _quantizable_matmuls(ready)
        quantize_static(str(ready), str(plain), Reader(), per_channel=True, nodes_to_quantize=products, **kinds)
    ready.unlink()


def _quantizable_matmuls(file: Path) -> list[str]:
    """The names of the products with weights (d, e) to quantize: those with d ≤ e, except the last one, which is the head."""
    import onnx

    graph = onnx.load(str(file)).graph
    weights = {each.name: tuple(each.dims) for each in graph.initializer if len(each.dims) == 2}
    found = [
        (node.name, next(weights[name] for name in node.input if name in weights))
        for node in graph.node
        if node.op_type in ("MatMul", "Gemm") and any(name in weights for name in node.input)
    ]
    return [name for name, (d, e) in found[:-1] if d <= e]


def _onnx_session(folder: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    return lambda inputs: dict(zip(_OUTPUTS, session.run(_OUTPUTS, inputs), strict=True))


def _openvino_session(folder: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    how = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    graph = import_openvino().compile_model(str(folder / "model.xml"), "CPU", how)

    def run(inputs: dict[str, Any]) -> dict[str, Any]:
        found = graph(inputs)
        return {name: found[name].copy() for name in _OUTPUTS}

    return run
