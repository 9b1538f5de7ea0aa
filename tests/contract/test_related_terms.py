from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tiered_memory.embedding import related_terms as module
from tiered_memory.embedding.related_terms import SHARE, STEPS, related_terms
from tiered_memory.embedding.static_embedder import StaticEmbedder
from tiered_memory.errors import ConfigurationError
from tiered_memory.scoring.text import analyze


def related(word: str) -> set[str]:
    return set(related_terms(word).get(*analyze(word).terms, {}))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("bought", "purchased"),
        ("doctor", "physician"),
        ("kids", "children"),
        ("violin", "instrument"),
        ("fired", "dismissed"),
    ],
)
def test_words_that_mean_about_the_same_are_related(asked: str, said: str) -> None:
    assert set(analyze(said).terms) <= related(asked)


def test_words_that_have_nothing_in_common_are_not() -> None:
    assert related("violin").isdisjoint({"kitchen", "invoic", "april", "run"})


def test_weights_are_shares_that_add_up_exactly() -> None:
    found = related_terms("which instrument did the children buy in the kitchen of the house")
    assert set(found) == {"instrument", "children", "bui", "kitchen", "hous"}
    for term, others in found.items():
        assert 0 < len(others) <= 16
        assert term not in others
        for weight in others.values():
            assert SHARE / 2 - 1 / STEPS <= weight <= SHARE
            assert (weight * STEPS).is_integer()


def test_a_terms_relations_come_nearest_first() -> None:
    weights = list(related_terms("violin")["violin"].values())
    assert weights == sorted(weights, reverse=True)


def test_names_have_no_relations() -> None:
    assert "mari" not in related_terms("Did the children see Mary?")
    assert "children" in related_terms("Did the children see Mary?")
    assert "children" in related_terms("DID THE CHILDREN COME?")


@pytest.mark.parametrize("text", ["", "the of and", "zzxqy 12345", "我喜欢茶"])
def test_what_is_unknown_has_no_relations(text: str) -> None:
    assert related_terms(text) == {}


def test_relations_are_those_of_the_shipped_embedder() -> None:
    embedder = StaticEmbedder()
    left, right = embedder.embed_now(["cello", "violin"])
    cosine = float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))
    assert related_terms("cello")["cello"]["violin"] == pytest.approx(SHARE * cosine, abs=2 / STEPS)


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_missing_or_damaged_table_is_refused(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "related.npz"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(module, "FILE", path)
    module._table.cache_clear()
    with pytest.raises(ConfigurationError):
        related_terms("violin")
    monkeypatch.undo()
    module._table.cache_clear()
    assert related("violin")
