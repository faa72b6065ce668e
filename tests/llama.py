"""A Llama of two layers as GGUF for llama.cpp, the same model in torch, and llama.cpp's server around it.

Its tokens are bytes, so a prompt's tokens are known without a tokenizer; one more token stands for a space, as in SentencePiece.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SPECIAL = ["<unk>", "<s>", "</s>"]
LETTERS = "ABCDEFGH"
FIRST_BYTE = len(SPECIAL)
FIRST_LETTER = FIRST_BYTE + 256
VOCABULARY = FIRST_LETTER + len(LETTERS) + 1
_START_S = 60


def tokens(text: str) -> list[int]:
    """The ids that llama.cpp gives an ASCII text: the beginning of the text, then a token per character."""
    space = VOCABULARY - 1
    ids = {" ": space} | {letter: FIRST_LETTER + i for i, letter in enumerate(LETTERS)}
    return [1, *(ids.get(character, FIRST_BYTE + ord(character)) for character in text)]


def model() -> Any:
    """A model with random weights, except that one dimension makes capital letters the most probable tokens everywhere."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        initializer_range=0.2,
    )
    found = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        found.model.embed_tokens.weight[:, 0] = 3.0
        found.lm_head.weight[:, 0] = 0.0
        found.lm_head.weight[FIRST_LETTER : FIRST_LETTER + len(LETTERS), 0] = 2.0
    return found


def written(found: Any, file: Path) -> Path:
    """The model as one GGUF file."""
    import gguf

    config, heads = found.config, found.config.num_attention_heads
    out = gguf.GGUFWriter(file, "llama")
    out.add_context_length(config.max_position_embeddings)
    out.add_embedding_length(config.hidden_size)
    out.add_block_count(config.num_hidden_layers)
    out.add_feed_forward_length(config.intermediate_size)
    out.add_head_count(heads)
    out.add_head_count_kv(heads)
    out.add_layer_norm_rms_eps(config.rms_norm_eps)
    out.add_rope_dimension_count(config.hidden_size // heads)
    out.add_rope_freq_base(config.rope_parameters["rope_theta"])
    out.add_tokenizer_model("llama")
    out.add_token_list([*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS, "\u2581"])
    out.add_token_scores([0.0] * VOCABULARY)
    kinds = gguf.TokenType
    special = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL]
    out.add_token_types([*special, *[kinds.BYTE] * 256, *[kinds.NORMAL] * (len(LETTERS) + 1)])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_add_bos_token(True)
    out.add_add_space_prefix(False)
    out.add_chat_template("{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}")
    for name, weight in found.state_dict().items():
        values = weight.detach().float()
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # llama.cpp turns neighbors, transformers halves
            values = values.reshape(heads, 2, -1, values.shape[1]).transpose(1, 2).reshape(values.shape)
        out.add_tensor(_renamed(name), values.contiguous().numpy())
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return file


def _renamed(name: str) -> str:
    """A parameter's name in GGUF, from its name in transformers."""
    parts = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "post_attention_layernorm": "ffn_norm",
        "input_layernorm": "attn_norm",
        "model.layers.": "blk.",
    }
    for there, here in parts.items():
        name = name.replace(there, here)
    return name


@contextmanager
def serving(file: Path) -> Iterator[str]:
    """The address of llama.cpp's server with this model on a free port of the loopback device; it ends with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    asked = [
        "--model",
        str(file),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--logits_all",
        "true",
        "--n_ctx",
        "1024",
    ]
    log = file.with_suffix(".log")
    with log.open("w") as stream:
        server = [sys.executable, "-m", "llama_cpp.server", *asked, "--n_threads", "1"]
        process = subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=stream)
    try:
        _wait_for(f"http://127.0.0.1:{port}/v1/models", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server did not start:\n" + log.read_text("utf-8", "replace")[-2000:])
