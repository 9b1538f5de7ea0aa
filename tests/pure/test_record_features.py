"""A record given other features keeps everything else; one of another embedder lends its vector to nobody."""

from __future__ import annotations

import msgpack
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tiered_memory.formats.record import SMALLEST_SCALE, Features, decode_fields, vectors_of, with_features

FEATURES = {"analyzer", "terms", "embedder", "scale", "vector"}
keys = st.text(min_size=1, max_size=8).filter(lambda key: key not in FEATURES | {"f"})
values = st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.text(), st.binary())
others = st.dictionaries(keys, st.one_of(values, st.lists(values, max_size=3)), max_size=6)
SUBNORMAL = np.full(12, 1e-45, dtype=np.float32)
vectors = arrays.arrays(np.float32, 12, elements=st.floats(-100, 100, width=32, allow_subnormal=False))


def features(vector: np.ndarray, embedder: str = "new") -> Features:
    return Features("analyzer-2", {"tea": 2}, embedder, vector)


@given(others, vectors)
def test_what_else_a_record_says_stays(said: dict, vector: np.ndarray) -> None:
    """Keys that this version does not know among it."""
    fields = {
        "f": 1,
        **said,
        "analyzer": "1",
        "terms": {},
        "embedder": "old",
        "scale": 1.0,
        "vector": b"\x01",
    }
    after = decode_fields(with_features(fields, features(vector)))
    assert {key: after[key] for key in after.keys() - FEATURES} == {"f": 1, **said}
    assert (after["analyzer"], after["terms"], after["embedder"]) == ("analyzer-2", {"tea": 2}, "new")


@given(vectors)
def test_the_vector_comes_back_to_half_a_step(vector: np.ndarray) -> None:
    fields = decode_fields(with_features({"f": 1}, features(vector)))
    step = np.abs(vector).max() / 127
    assert np.abs(vectors_of([fields], 12)[0] - vector).max() <= step * 0.51 + 1e-6


@given(st.lists(st.booleans(), max_size=8), vectors)
def test_vectors_of_another_embedder_count_for_nothing(own: list[bool], vector: np.ndarray) -> None:
    """Not even when they have another size."""
    records = [
        decode_fields(
            with_features({"f": 1}, features(vector, "new") if mine else features(vector[:5], "old"))
        )
        for mine in own
    ]
    found = vectors_of(records, 12, "new")
    assert found.shape == (len(own), 12)
    for row, mine in zip(found, own, strict=True):
        assert row.any() == (mine and float(np.abs(vector).max()) / 127 >= SMALLEST_SCALE)


def test_a_vector_too_small_to_have_a_direction_is_the_zero_vector() -> None:
    fields = decode_fields(with_features({"f": 1}, features(SUBNORMAL)))
    assert fields["scale"] == 0.0
    assert not vectors_of([fields], 12).any()


def test_the_encoding_is_plain_msgpack() -> None:
    packed = with_features({"f": 1, "later": [1]}, features(np.ones(2, dtype=np.float32)))
    assert msgpack.unpackb(packed)["later"] == [1]
