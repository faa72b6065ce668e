"""Distill an encoder into static token vectors: initialize them from its embeddings of single tokens, then fit whole texts."""

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
MIN_COUNT = 20  # tokens that occur at least so often are used to fit the map to the vectors of rarer ones
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

LEARNING_RATE = 0.01  # relative to the length of a rare token's vector, which is 1
MOMENTUM = 0.9
SECOND_MOMENT_DECAY = 0.99
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
    """A static model in the folder `out`: token vectors whose sums have the directions of the encoder's embeddings of `texts`.

    It needs no torch and embeds tens of thousands of texts a second; the encoder stays as it was. A vector has `dimensions` numbers
    (256, or the encoder's dimensions if they are fewer). Raises UserError unless `backbone` is a sentence encoder with the
    tokenizer of an uncased BERT.
    """
    tokenizer = tokenizer_of(backbone)
    embeddings = embed(list(texts), backbone, cache=Cache(), progress=progress)
    tokens_alone = token_embeddings(backbone, read_tokenizer(tokenizer))
    size = min(dimensions or DIMENSIONS, backbone.dimensions)
    settings: dict[str, Any] = {"dimensions": size, "rounds": rounds, "half_frequency": HALF_FREQUENCY}
    fitted = fit_static_model(
        list(texts), embeddings, tokenizer, tokens_alone, **settings, rng=np.random.default_rng(seed)
    )
    notes = {"origin": f"token vectors fitted to the sentence embeddings of {backbone.name}"}
    write_static(Path(out), fitted.pop("vectors"), tokenizer, tensors=fitted, notes=notes)
    return StaticBackbone.open(Path(out), "static")


@one_thread()
def fit_static_model(
    texts: list[str],
    embeddings: Array,
    tokenizer: str,
    tokens_alone: Array,
    *,
    dimensions: int,
    rounds: int,
    half_frequency: float,
    rng: np.random.Generator,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The tensors of a static model: vectors, background, and those from which a test can make unfitted vectors again.

    embeddings (n, D) are the encoder's unit embeddings of the texts, tokens_alone (vocabulary, D) those of each single token.
    The vectors are fitted twice. The first fit gives an affine map from the embedding of a single token to its vector; the
    second fit starts from this map, so that rare tokens start near the vectors of similar frequent ones.
    """
    reader = read_tokenizer(tokenizer)
    counted = count_tokens(reader, texts)
    counts = np.asarray(counted.sum(axis=0)).astype(np.int32).ravel()
    directions = principal_directions(embeddings, dimensions)
    targets = matmul(embeddings, directions)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    weights = frequency_weights(counts, int(counts.sum()), half=half_frequency)
    vectors = initial_vectors(tokens_alone, tokens_alone.mean(axis=0), directions, weights)
    vectors = fit_vectors(counted, targets, vectors, rounds=rounds, rng=rng, report=report)
    mapping = shared_map(tokens_alone, vectors, counts, enough=min(MIN_COUNT, int(counts.max(initial=0)))).astype(
        np.float16
    )
    vectors = mapped_vectors(tokens_alone, mapping)
    vectors = fit_vectors(counted, targets, vectors, rounds=rounds, rng=rng, report=report)
    for token in SPECIAL_TOKENS:
        if reader.token_to_id(token) is not None:
            vectors[reader.token_to_id(token)] = 0.0  # they must not move the embedding of a text
    return {"vectors": vectors, "background": targets.mean(axis=0), "counts": counts, "map": mapping}


def tokenizer_of(backbone: Any) -> str:
    """The content of the encoder's tokenizer.json. Raises UserError unless static models can use this tokenizer."""
    file = getattr(backbone, "folder", Path()) / "tokenizer.json"
    if not isinstance(backbone, EncoderBackbone) or not file.is_file() or not reads_uncased(file.read_text("utf-8")):
        raise UserError(
            "static: {backbone} is no sentence encoder with the tokenizer of an uncased BERT.",
            'Choose another student:  student="ngram"',
            backbone=backbone.name,
        )
    return file.read_text("utf-8")


def token_embeddings(backbone: EncoderBackbone, reader: Tokenizer) -> Array:
    """The encoder's embedding of every single token of its vocabulary (vocabulary, D)."""
    transformer = read_encoder(backbone)[0].auto_model
    marks = reader.get_vocab()
    return encode_tokens(transformer, np.arange(len(marks)), start=marks["[CLS]"], end=marks["[SEP]"])


def encode_tokens(transformer: Any, ids: npt.NDArray[np.int64], *, start: int, end: int) -> Array:
    """A transformer's embedding of each single token (tokens, D): the mean over `start`, the token and `end`."""
    import torch

    rows = []
    with torch.inference_mode():
        for batch in torch.from_numpy(ids).split(1024):
            texts = torch.stack([torch.full_like(batch, start), batch, torch.full_like(batch, end)], dim=1)
            hidden = transformer(input_ids=texts, attention_mask=torch.ones_like(texts)).last_hidden_state
            rows.append(hidden.mean(dim=1).float().numpy())
    return np.concatenate(rows)


def encode_texts(encoder: Any, texts: list[str], *, tokens_at_once: int = 4096) -> Array:
    """Unit embeddings (n, D) of a sentence-transformers encoder. Texts of similar length share a batch, to save padding."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    out: Array = np.empty((len(texts), encoder.get_embedding_dimension()), dtype=np.float32)
    at = 0
    while at < len(order):
        # about 4 characters a token; the longest of the next 128 texts sets the size of the batch
        longest = max(16.0, len(texts[order[min(at + 128, len(order) - 1)]]) / 4)
        rows = order[at : at + int(np.clip(tokens_at_once / longest, 8, 512))]
        batch = [texts[i] for i in rows]
        embeddings = encoder.encode(batch, batch_size=len(batch), convert_to_tensor=True, show_progress_bar=False)
        out[rows] = embeddings.float().numpy()
        at += len(rows)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    return out


def principal_directions(rows: Array, size: int) -> Array:
    """The `size` orthonormal directions (D, size) that keep most of the rows' squared length (PCA without centering).

    The rows are not centered, because the mean direction of an encoder carries information. The signs are fixed, so that equal
    rows give equal directions.
    """
    _, vectors = np.linalg.eigh(matmul(rows.T.astype(np.float64), rows))
    top = vectors[:, ::-1][:, :size]
    signs = np.sign(top[np.abs(top).argmax(axis=0), np.arange(size)])
    return np.asarray(top * signs, dtype=np.float32)


def frequency_weights(counts: npt.NDArray[Any], total: int, *, half: float) -> Array:
    """The weight of tokens that occur `counts` times among `total`: 1 for a token that never occurs, ½ for a share of `half`.

    half / (half + share). Source: Arora, Liang, Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings", section 3.
    """
    return np.asarray(half / (half + counts / max(total, 1)), dtype=np.float32)


def initial_vectors(tokens: Array, center: Array, directions: Array, weights: Array) -> Array:
    """Token vectors (tokens, d) before any fit: embeddings minus `center` (D,), projected on the principal directions, weighted."""
    projected = matmul(tokens - center, directions)
    return np.asarray(projected / np.linalg.norm(projected, axis=1, keepdims=True) * weights[:, None], dtype=np.float32)


def shared_map(tokens: Array, vectors: Array, counts: npt.NDArray[Any], *, enough: int = MIN_COUNT) -> Array:
    """The affine map (D + 1, d) from the encoder's embedding of a single token to the vector that a fit gave the token.

    Weighted least squares over the tokens that occur at least `enough` times; the weight is the count, at most ten times `enough`.
    The map generalizes the fit to tokens that are too rare to be fitted themselves.
    """
    seen = counts >= enough
    weights = np.minimum(counts[seen], 10 * enough)[:, None].astype(np.float64)
    inputs = _with_bias_column(tokens[seen])
    ridge = np.eye(inputs.shape[1])
    return np.asarray(
        np.linalg.solve(inputs.T @ (weights * inputs) + ridge, inputs.T @ (weights * vectors[seen])), dtype=np.float32
    )


def mapped_vectors(tokens: Array, mapping: npt.NDArray[Any]) -> Array:
    """Token vectors (tokens, d) by `shared_map` alone: the start of the second fit, and the final vectors of unseen tokens."""
    return np.asarray(matmul(_with_bias_column(tokens), mapping.astype(np.float32)), dtype=np.float32)


def _with_bias_column(rows: Array) -> Array:
    return np.hstack([rows, np.ones((len(rows), 1), dtype=np.float32)])


def fit_vectors(
    texts: csr_array,
    targets: Array,
    start: Array,
    *,
    rounds: int,
    rng: np.random.Generator,
    report: Callable[[str], None] = lambda _: None,
) -> Array:
    """Token vectors (vocabulary, d) whose sums have the directions of the encoder's embeddings of whole texts.

    Minimizes  mean_i  1 − cos( Σ_t C_it u_t , y_i )      C (n, vocabulary) token counts, y (n, d) unit targets
    by Adam with a learning rate that decays to zero. Only tokens that occur are updated: the others keep their start exactly.
    Source: Kingma, Ba 2015, algorithm 1, without bias correction, because tokens are updated too unevenly for one step count.
    """
    vectors, mean, square = start.copy(), np.zeros_like(start), np.zeros_like(start)
    steps = max(1, rounds * -(-texts.shape[0] // BATCH))
    step = 0
    for round_ in range(rounds):
        agreement = 0.0
        order = rng.permutation(texts.shape[0])
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            tokens, gradient, cosines = _gradient(texts[rows], targets[rows], vectors)
            mean[tokens] += (1 - MOMENTUM) * (gradient - mean[tokens])
            square[tokens] += (1 - SECOND_MOMENT_DECAY) * (gradient**2 - square[tokens])
            step_size = LEARNING_RATE * (1 - step / steps)
            vectors[tokens] -= step_size * mean[tokens] / (np.sqrt(square[tokens]) + np.float32(1e-8))
            agreement += cosines
            step += 1
        report(f"round {round_ + 1} of {rounds}: mean cosine {agreement / len(order):.4f}")
    return vectors


def _gradient(texts: csr_array, targets: Array, vectors: Array) -> tuple[npt.NDArray[np.int64], Array, float]:
    """The tokens that occur, the gradient of the loss at their vectors (tokens, d), and the sum of the texts' cosines."""
    from scipy.sparse import csr_array

    # only the tokens of this batch: the whole vocabulary would cost several times as much
    tokens, columns = np.unique(texts.indices, return_inverse=True)
    counts = csr_array((texts.data, columns, texts.indptr), shape=(texts.shape[0], len(tokens)))
    sums = counts @ vectors[tokens]
    lengths = np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), np.float32(1e-6))
    directions = sums / lengths
    cosines = np.sum(directions * targets, axis=1, keepdims=True)
    return tokens, counts.T @ ((cosines * directions - targets) / lengths), float(cosines.sum())
