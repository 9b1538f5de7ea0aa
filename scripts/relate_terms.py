"""Make the table of related terms from the default embedder.

Every word of the embedder's vocabulary (ASCII letters, three or more, no stop word) belongs to its index term. Two
terms are as alike as their most alike words: the cosine of the static vectors. Kept are the 16 most alike terms of
each, from a cosine of 0.5. Nothing is fitted on any text.

Usage:

    python scripts/relate_terms.py

Repeatable on one machine; another processor may round a cosine to the next of the 256 steps.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tiered_memory.embedding.related_terms import FILE, STEPS
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.scoring.text import analyze

NEIGHBOURS = 16
LEAST_COSINE = 0.5
SHORTEST_WORD = 3
BLOCK = 512


def vocabulary(embedder: StaticEmbedder) -> tuple[list[str], list[int], NDArray[np.float32]]:
    """Return the terms, the term number of each word, and the words' unit vectors, words grouped by term."""
    words_of: dict[str, list[str]] = defaultdict(list)
    for word in sorted(embedder.vocabulary()):
        if word.isascii() and word.isalpha() and len(word) >= SHORTEST_WORD:
            for term in analyze(word).terms:
                words_of[term].append(word)
    terms = sorted(words_of)
    owners = [number for number, term in enumerate(terms) for _ in words_of[term]]
    vectors = embedder.embed_now([word for term in terms for word in words_of[term]])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return terms, owners, vectors / np.where(lengths > 0, lengths, 1)


def main() -> None:
    """Write the table and print its digest."""
    terms, owners, vectors = vocabulary(StaticEmbedder())
    first = np.searchsorted(owners, range(len(terms) + 1))
    starts, others, likeness = [0], list[int](), list[int]()
    for begin in range(0, len(terms), BLOCK):
        end = min(begin + BLOCK, len(terms))
        block = vectors[first[begin] : first[end]] @ vectors.T
        by_term = np.maximum.reduceat(block, first[:-1], axis=1)
        for low, high in pairwise(first[begin : end + 1] - first[begin]):
            alike = by_term[low:high].max(axis=0)
            alike[len(starts) - 1] = 0
            best = np.argsort(-alike, kind="stable")[:NEIGHBOURS]
            best = best[alike[best] >= LEAST_COSINE]
            others += best.tolist()
            likeness += np.rint(alike[best] * STEPS).clip(0, STEPS - 1).astype(int).tolist()
            starts.append(len(others))
    np.savez_compressed(
        FILE,
        terms=np.frombuffer("\n".join(terms).encode(), np.uint8),
        starts=np.array(starts, np.uint32),
        others=np.array(others, np.uint16),
        likeness=np.array(likeness, np.uint8),
    )
    print(len(terms), "terms,", len(others), "relations,", FILE.stat().st_size, "bytes")
    print("sha256", hashlib.sha256(FILE.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
