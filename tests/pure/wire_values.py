"""Values of whatever types the public face takes and gives, drawn by their type hints alone."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from pydantic import AwareDatetime

from tiered_memory.privacy.tenancy import Isolation, TenantRules
from tiered_memory.wire.bounds import NO_CONTROL

UNCONTROLLED = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
IDS = st.text(UNCONTROLLED, min_size=1, max_size=256)
Drawn = st.SearchStrategy[Any]
WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
JSON: UNCONTROLLED = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"])
Drawn = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9))])
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=ZONES)  # noqa: DTZ001 - zones are drawn
PLAIN: dict[Any, Drawn] = {
    str: WORDS,
    int: st.integers(-(2**62), 2**62),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    datetime: MOMENTS,
    AwareDatetime: MOMENTS,
    date: st.dates(date(1971, 1, 1), date(9000, 1, 1)),
    Path: st.just(Path("archive.zip")),
    type(None): st.none(),
    TenantRules: st.builds(
        TenantRules,
        quota_mib=st.none() | st.floats(1, 1000),
        retention_days=st.none() | st.floats(1, 1000),
        allowed_agents=st.none() | st.frozensets(IDS, max_size=3),
        isolation=st.sampled_from(Isolation),
    ),
    Any: JSON,
    object: JSON,
}


@cache
def drawn(hint: Any) -> Drawn:
    """Return a strategy for values of a type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if origin is Annotated:
        return _bounded(inner[0], inner[1:])
    if origin in {Union, types.UnionType}:
        return st.one_of(*map(drawn, inner))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    if is_dataclass(hint):
        return _built(hint)
    return _gathered(origin, inner)


def _gathered(origin: Any, inner: tuple[Any, ...]) -> Drawn:
    if origin in {list, Sequence, Collection}:
        return st.lists(drawn(inner[0]), max_size=3)
    if origin is frozenset:
        return st.frozensets(drawn(inner[0]), max_size=3)
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(drawn(inner[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(drawn, inner))
    if origin in {dict, Mapping}:
        return st.dictionaries(drawn(inner[0]), drawn(inner[1]), max_size=3)
    raise AssertionError(f"no values of {origin} are drawn: say how")


def _built(kind: Any) -> Drawn:
    hints = get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{one.name: drawn(hints[one.name]) for one in fields(kind) if one.init})


def _bounded(kind: Any, bounds: tuple[Any, ...]) -> Drawn:
    """The bounds of `wire.bounds`: ranges, lengths, and patterns short enough to be drawn whole."""
    told = [*bounds, *(one for bound in bounds for one in getattr(bound, "metadata", ()))]

    def bound(name: str, default: Any) -> Any:
        return next((found for one in told if (found := getattr(one, name, None)) is not None), default)

    if kind is int:
        return st.integers(bound("ge", 0), bound("le", 2**31))
    if kind is not str:
        return drawn(kind)
    longest = bound("max_length", 400)
    if bound("pattern", NO_CONTROL) != NO_CONTROL:
        whole = st.from_regex(bound("pattern", ""), fullmatch=True)
        return whole.filter(lambda text: len(text) <= longest)
    return st.text(UNCONTROLLED, min_size=bound("min_length", 0), max_size=longest)
