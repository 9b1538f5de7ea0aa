"""Figures of merit: recall at k, area under the curve, percentiles, bootstrap intervals."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean


def recall_at(ranked: Sequence[str], evidence: Collection[str], k: int) -> float:
    """Return the share of `evidence` (not empty) among the first `k` of `ranked`."""
    wanted = set(evidence)
    return len(wanted.intersection(ranked[:k])) / len(wanted)


def area_under_curve(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Return the probability that a positive scores above a negative; ties count half (Mann-Whitney U).

    Raises `ValueError` when one of the two classes is empty.
    """
    positives = sum(positive)
    negatives = len(positive) - positives
    if not positives or not negatives:
        raise ValueError("both positives and negatives are needed")
    ranks = _mean_ranks(scores)
    ranked = sum(rank for rank, is_positive in zip(ranks, positive, strict=True) if is_positive)
    return (ranked - positives * (positives + 1) / 2) / (positives * negatives)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the `share` (0..100) percentile of `values` (not empty), interpolated linearly."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def bootstrap_interval(
    groups: Mapping[str, Sequence[float]], *, seed: int, rounds: int = 1_000
) -> tuple[float, float]:
    """Return the 95 % interval of the mean over all values, drawing whole groups with replacement.

    Questions of one conversation are not independent, so conversations are what is drawn. Groups without values
    are left out; at least one value is needed.
    """
    filled = [list(values) for values in groups.values() if values]
    draw = random.Random(seed)
    means = [_mean_of(draw.choices(filled, k=len(filled))) for _ in range(rounds)]
    return percentile(means, 2.5), percentile(means, 97.5)


def evidence_kept(ranked: Sequence[str], questions: Sequence[Collection[str]], share: float) -> list[float]:
    """Return per question the share of its evidence among the best `share` (0..1) of all `ranked` turns."""
    kept = set(ranked[: round(share * len(ranked))])
    return [len(kept.intersection(evidence)) / len(set(evidence)) for evidence in questions]


def _mean_of(groups: Sequence[Sequence[float]]) -> float:
    return fmean(value for group in groups for value in group)


def _mean_ranks(scores: Sequence[float]) -> list[float]:
    """Return the rank of each score from 1; equal scores share their mean rank."""
    order = sorted(range(len(scores)), key=scores.__getitem__)
    ranks = [0.0] * len(scores)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + 1 + end) / 2
        start = end
    return ranks
