"""docs/presets.md says of the shipped policies what they say when they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tiered_memory.model import Sensitivity
from tiered_memory.policy.access_rules import AccessRole
from tiered_memory.policy.pii_types import PiiType
from tiered_memory.policy.retention_rules import record_floor
from tiered_memory.policy.rules import Policy
from tiered_memory.privacy.trust import quarantine_threshold
from tiered_memory.wiring import load_policy, shipped_policies

PAGE = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
TABLE = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:1] == "|"
]
NAMES = TABLE[0][1:]
ROWS = {row[0]: row[1:] for row in TABLE[2:]}


def number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def floor(policy: Policy, *classes: str) -> str:
    found = [record_floor(policy.retention_rules, one, policy.jurisdiction) for one in classes]
    return number(max((one.days for one in found if one is not None), default=None))


def highest(policy: Policy) -> str:
    purpose = policy.purposes[policy.default_purpose]
    return purpose.max_sensitivity.value if purpose.keeps else "nothing kept"


def agent_reads(policy: Policy) -> str:
    agent = policy.access[AccessRole.AGENT]
    assert agent.search == agent.read
    return agent.read


SAYS: dict[str, Callable[[Policy], str]] = {
    **{
        f"ceiling, {level.value}, days": lambda policy, level=level: number(  # type: ignore[misc]
            policy.retention[level].ceiling_days
        )
        for level in Sensitivity
    },
    "undo, days": lambda policy: number(policy.forgetting.undo_days),
    "most sensitive purpose": highest,
    "notice must be published": lambda policy: "yes" if policy.consent.require_published_notice else "no",
    **{
        f"personal data, {level.value}": lambda policy, level=level: policy.pii.modes[level].value  # type: ignore[misc]
        for level in Sensitivity
    },
    "card numbers": lambda policy: str(policy.pii.types.get(PiiType.CARD, "by level")),
    "agent finds and reads": agent_reads,
    "agent writes": lambda policy: policy.access[AccessRole.AGENT].write,
    "admin finds": lambda policy: policy.access[AccessRole.ADMIN].search,
    "admin reads, one by one": lambda policy: policy.access[AccessRole.ADMIN].read,
    "admin erases": lambda policy: policy.access[AccessRole.ADMIN].erase,
    "support reads": lambda policy: policy.access[AccessRole.SUPPORT].read,
    "audit ledger kept, days": lambda policy: floor(policy, "ledger", "audit"),
    "consent records kept, days": lambda policy: floor(policy, "consent"),
    "quarantine, of what tools say": lambda policy: (
        f"{quarantine_threshold(policy.guard, policy.guard.trust_tool):.3f}"
    ),
}


def test_every_shipped_policy_but_the_seeds_is_there() -> None:
    assert set(NAMES) == set(shipped_policies()) - {"seed"}


def test_every_row_is_compared() -> None:
    assert ROWS.keys() == SAYS.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_column_is_what_the_policy_says(name: str) -> None:
    policy = load_policy(name)
    shown = {row: cells[NAMES.index(name)] for row, cells in ROWS.items()}
    assert shown == {row: says(policy) for row, says in SAYS.items()}


def test_another_policy_would_be_noticed() -> None:
    assert SAYS["personal data, public"](load_policy("gdpr")) != SAYS["personal data, public"](Policy())


@pytest.mark.parametrize("name", ["strict", "pci_dss"])
def test_the_strict_refuse_secrets(name: str) -> None:
    modes = load_policy(name).pii.types
    assert {modes[one].value for one in (PiiType.PASSWORD, PiiType.PIN, PiiType.API_KEY)} == {"refuse"}


@pytest.mark.parametrize("name", NAMES)
def test_no_preset_takes_the_person_their_rights_through_the_agent(name: str) -> None:
    """A caller that names no role is the agent: what it may not do, no person can ask their application for."""
    agent = load_policy(name).access[AccessRole.AGENT]
    assert {agent.export, agent.erase, agent.rights, agent.audit} == {"restricted"}
