from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from tiered_memory.errors import PolicyError
from tiered_memory.model import Sensitivity
from tiered_memory.policy.pii_rules import PiiMode, PiiRules, rules_from
from tiered_memory.policy.pii_types import PiiType


def test_without_a_section_the_defaults_hold() -> None:
    rules = rules_from({})
    assert rules == PiiRules()
    assert set(rules.modes.values()) == {PiiMode.KEEP_SEALED}


def test_a_section_changes_what_it_names_and_nothing_else() -> None:
    rules = rules_from(
        {
            "public": "refuse",
            "types": {"CARD": "redact", "email": "keep_sealed"},
            "also": ["PERSON", "url"],
            "region_hint": "GB",
            "min_confidence": 0.7,
        }
    )
    assert rules.modes == {**PiiRules().modes, Sensitivity.PUBLIC: PiiMode.REFUSE}
    assert rules.types == {PiiType.CARD: PiiMode.REDACT, PiiType.EMAIL: PiiMode.KEEP_SEALED}
    assert rules.also == {PiiType.PERSON, PiiType.URL}
    assert (rules.region_hint, rules.min_confidence) == ("GB", 0.7)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"publik": "mask"}, "publik"),
        ({"public": "hide"}, "public"),
        ({"public": 1}, "public"),
        ({"types": {"SHOE_SIZE": "mask"}}, "SHOE_SIZE"),
        ({"types": {"CARD": "hide"}}, "CARD"),
        ({"types": ["CARD"]}, "types"),
        ({"also": "PERSON"}, "also"),
        ({"also": ["EMAIL"]}, "also"),
        ({"also": [1]}, "1"),
        ({"region_hint": "Germany"}, "region_hint"),
        ({"region_hint": "\u00e4\u00f6"}, "region_hint"),
        ({"region_hint": 49}, "region_hint"),
        ({"min_confidence": "high"}, "min_confidence"),
        ({"min_confidence": True}, "min_confidence"),
        ({"min_confidence": 1.5}, "min_confidence"),
        ({"min_confidence": float("nan")}, "min_confidence"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(section: dict[str, Any], named: str) -> None:
    with pytest.raises(PolicyError, match=named):
        rules_from(section)


def test_every_sensitivity_needs_a_mode() -> None:
    with pytest.raises(PolicyError, match="restricted"):
        PiiRules(modes={level: PiiMode.MASK for level in Sensitivity if level is not Sensitivity.RESTRICTED})


def test_rules_do_not_change() -> None:
    rules = PiiRules()
    with pytest.raises(FrozenInstanceError):
        rules.min_confidence = 0.1  # type: ignore[misc]
    with pytest.raises(TypeError):
        rules.modes[Sensitivity.PUBLIC] = PiiMode.REFUSE  # type: ignore[index]
