"""Turn an encoder into token vectors: start from what it says about each token, then fit whole texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rung.backbones.encoder import EncoderBackbone
from rung.backbones.static import StaticBackbone, count_tokens, read_tokenizer, reads_uncased, write_static
from rung.errors import UserError
from rung.evidence import Progress
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed
from rung.threads import matmul, one_thread
from rung.training.layer_pruning import read_encoder

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from tokenizers import Tokenizer

    from rung.evidence import Array

DIMENSIONS, ROUNDS, HALF_FREQUENCY = 256, 4, 1e-3
ENOUGH = 20  # texts' worth of a token, from which the others' vectors can be told
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

LEARNING_RATE = 0.01  # of the length of a rare token's vector, which is 1
MOMENTUM = 0.9
SQUARES = 0.99
BATCH = 2048


def distill_encoder(
    backbone: Any,
    texts: Sequence[str],
    out: str | Path,
    *,
    dimensions: int | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
    progress: Progress | None = None,
) -> StaticBackbone:
    """Token vectors in the folder `out` whose sums point where the encoder's embeddings of `texts` point.

    They need no torch and embed tens of thousands of texts a second; the encoder stays as it was. Each row has `dimensions`
    (256, or what the encoder has if that is less). Raises UserError unless `backbone` is a sentence encoder whose
    tokenizer is that of an uncased BERT.
    """
    tokenizer = tokenizer_of(backbone)
    embeddings = embed(list(texts), backbone, cache=Cache(), progress=progress)
    alone = token_rows(backbone, read_tokenizer(tokenizer))
    size = min(dimensions or DIMENSIONS, backbone.dimensions)
    asked: dict[str, Any] = {"dimensions": size, "rounds": rounds, "half_frequency": HALF_FREQUENCY}
    fitted = fit_twice(list(texts), embeddings, tokenizer, alone, **asked, rng=np.random.default_rng(seed))
    notes = {"origin": f"token vectors fitted to the sentence embeddings of {backbone.name}"}
    write_static(Path(out), fitted.pop("vectors"), tokenizer, tensors=fitted, notes=notes)
    return StaticBackbone.open(Path(out), "static")


@one_thread()
def fit_twice(
    texts: list[str],
    embeddings: Array,
    tokenizer: str,
    alone: Array,
    *,
    dimensions: int,
    rounds: int,
    half_frequency: float,
    rng: np.random.Generator,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The tensors of a static model: vectors, background, and what a test needs to make unfitted vectors again.

    embeddings (n, D) are the encoder's unit rows of the texts, alone (vocabulary, D) what it says of each token by itself.
    Fitted twice: the first fit shows how a token's vector follows from what the encoder says about the token alone, and
    that is where the second one starts, so that rare tokens begin near the place which frequent ones have found.
    """
    reader = read_tokenizer(tokenizer)
    counted = count_tokens(reader, texts)
    counts = np.asarray(counted.sum(axis=0)).astype(np.int32).ravel()
    directions = principal_directions(embeddings, dimensions)
    targets = matmul(embeddings, directions)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    weights = frequency_weights(counts, int(counts.sum()), half=half_frequency)
    vectors = start_vectors(alone, alone.mean(axis=0), directions, weights)
    vectors = fit_vectors(counted, targets, vectors, rounds=rounds, rng=rng, tell=tell)
    mapping = shared_map(alone, vectors, counts, enough=min(ENOUGH, int(counts.max(initial=0)))).astype(np.float16)
    vectors = mapped_vectors(alone, mapping)
    vectors = fit_vectors(counted, targets, vectors, rounds=rounds, rng=rng, tell=tell)
    for mark in MARKS:
        if reader.token_to_id(mark) is not None:
            vectors[reader.token_to_id(mark)] = 0.0  # what is unknown says nothing
    return {"vectors": vectors, "background": targets.mean(axis=0), "counts": counts, "map": mapping}


def tokenizer_of(backbone: Any) -> str:
    """The text of the encoder's tokenizer.json. Raises UserError unless static vectors can be read with it."""
    file = getattr(backbone, "folder", Path()) / "tokenizer.json"
    if not isinstance(backbone, EncoderBackbone) or not file.is_file() or not reads_uncased(file.read_text("utf-8")):
        raise UserError(
            "static: {backbone_name} is no sentence encoder with the tokenizer of an uncased BERT.",
            'Choose another student:  student="ngram"',
            backbone_name=backbone.name,
        )
    return file.read_text("utf-8")


def token_rows(backbone: EncoderBackbone, reader: Tokenizer) -> Array:
    """What an encoder says about every token of its vocabulary alone (vocabulary, D)."""
    transformer = read_encoder(backbone)[0].auto_model
    marks = reader.get_vocab()
    return encode_tokens(transformer, np.arange(len(marks)), start=marks["[CLS]"], end=marks["[SEP]"])


def encode_tokens(transformer: Any, ids: npt.NDArray[np.int64], *, start: int, end: int) -> Array:
    """What a transformer says about each token alone (tokens, D): the mean over `start`, the token and `end`."""
    import torch

    rows = []
    with torch.inference_mode():
        for batch in torch.from_numpy(ids).split(1024):
            texts = torch.stack([torch.full_like(batch, start), batch, torch.full_like(batch, end)], dim=1)
            hidden = transformer(input_ids=texts, attention_mask=torch.ones_like(texts)).last_hidden_state
            rows.append(hidden.mean(dim=1).float().numpy())
    return np.concatenate(rows)


def encode_texts(encoder: Any, texts: list[str], *, tokens_at_once: int = 4096) -> Array:
    """Unit rows (n, D) of a sentence-transformers encoder, texts of like length together so that little is padding."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    out: Array = np.empty((len(texts), encoder.get_embedding_dimension()), dtype=np.float32)
    at = 0
    while at < len(order):
        # 4 characters a token; the longest text of the next 128 speaks for all of them
        longest = max(16.0, len(texts[order[min(at + 128, len(order) - 1)]]) / 4)
        rows = order[at : at + int(np.clip(tokens_at_once / longest, 8, 512))]
        batch = [texts[i] for i in rows]
        found = encoder.encode(batch, batch_size=len(batch), convert_to_tensor=True, show_progress_bar=False)
        out[rows] = found.float().numpy()
        at += len(rows)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return out


def principal_directions(rows: Array, size: int) -> Array:
    """The `size` orthonormal directions (D, size) that keep most of the rows' squared length.

    Not centered: the encoder's mean direction is part of what it says. Signs are fixed: equal rows, equal directions.
    """
    _, vectors = np.linalg.eigh(matmul(rows.T.astype(np.float64), rows))
    top = vectors[:, ::-1][:, :size]
    signs = np.sign(top[np.abs(top).argmax(axis=0), np.arange(size)])
    return np.asarray(top * signs, dtype=np.float32)


def frequency_weights(counts: npt.NDArray[Any], total: int, *, half: float) -> Array:
    """Weight of tokens seen `counts` times among `total`: 1 for one never seen, ½ for one whose share is `half`.

    half / (half + share). Source: Arora, Liang, Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings", section 3.
    """
    return np.asarray(half / (half + counts / max(total, 1)), dtype=np.float32)


def start_vectors(tokens: Array, center: Array, directions: Array, weights: Array) -> Array:
    """Token vectors (tokens, d) before any fit: what lies off the `center` (D,), in principal directions, weighted."""
    turned = matmul(tokens - center, directions)
    return np.asarray(turned / np.linalg.norm(turned, axis=1, keepdims=True) * weights[:, None], dtype=np.float32)


def shared_map(tokens: Array, vectors: Array, counts: npt.NDArray[Any], *, enough: int = ENOUGH) -> Array:
    """The affine map (D + 1, d) from what the encoder says about a token alone to the vector that a fit gave it.

    Least squares over tokens that the texts hold at least `enough` times, each weighing as much as it was seen, up to
    ten times `enough`. It carries what the fit learned over to tokens too rare to be fitted themselves.
    """
    seen = counts >= enough
    weights = np.minimum(counts[seen], 10 * enough)[:, None].astype(np.float64)
    inputs = _with_one(tokens[seen])
    ridge = np.eye(inputs.shape[1])
    return np.asarray(
        np.linalg.solve(inputs.T @ (weights * inputs) + ridge, inputs.T @ (weights * vectors[seen])), dtype=np.float32
    )


def mapped_vectors(tokens: Array, mapping: npt.NDArray[Any]) -> Array:
    """Token vectors (tokens, d) by `shared_map` alone: where the second fit starts, and where it leaves unseen tokens."""
    return np.asarray(matmul(_with_one(tokens), mapping.astype(np.float32)), dtype=np.float32)


def _with_one(rows: Array) -> Array:
    return np.hstack([rows, np.ones((len(rows), 1), dtype=np.float32)])


def fit_vectors(
    texts: csr_array,
    targets: Array,
    start: Array,
    *,
    rounds: int,
    rng: np.random.Generator,
    tell: Callable[[str], None] = lambda _: None,
) -> Array:
    """Token vectors (vocabulary, d) whose sums point where the encoder's embeddings of whole texts point.

    Minimizes  mean_i  1 − cos( Σ_t C_it u_t , y_i )      C (n, vocabulary) token counts, y (n, d) unit targets
    by Adam with a step that falls to zero, over tokens that occur only: one that no text holds keeps its start exactly.
    Source: Kingma, Ba 2015, algorithm 1, without bias correction (rows are touched too unevenly for one clock).
    """
    vectors, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    steps = max(1, rounds * -(-texts.shape[0] // BATCH))
    step = 0
    for round_ in range(rounds):
        agreement = 0.0
        order = rng.permutation(texts.shape[0])
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            tokens, slope, cosines = _slope(texts[rows], targets[rows], vectors)
            mean[tokens] += (1 - MOMENTUM) * (slope - mean[tokens])
            square[tokens] += (1 - SQUARES) * (slope**2 - square[tokens])
            pace = LEARNING_RATE * (1 - step / steps)
            vectors[tokens] -= pace * mean[tokens] / (np.sqrt(square[tokens]) + np.float32(1e-8))
            agreement += cosines
            step += 1
        tell(f"round {round_ + 1} of {rounds}: mean cosine {agreement / len(order):.4f}")
    return vectors


def _slope(texts: csr_array, targets: Array, vectors: Array) -> tuple[npt.NDArray[np.int64], Array, float]:
    """Tokens that occur, the loss's slope at their vectors (tokens, d), and the sum of the texts' cosines."""
    from scipy.sparse import csr_array

    # only the tokens of this batch take part: the whole vocabulary would cost several times as much
    tokens, columns = np.unique(texts.indices, return_inverse=True)
    counts = csr_array((texts.data, columns, texts.indptr), shape=(texts.shape[0], len(tokens)))
    sums = counts @ vectors[tokens]
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-6))
    directions = sums / lengths
    cosines = np.sum(directions * targets, axis=1, keepdims=True)
    return tokens, counts.T @ ((cosines * directions - targets) / lengths), float(cosines.sum())
