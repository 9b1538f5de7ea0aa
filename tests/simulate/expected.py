"""What a memory must hold, as plain dicts: the oracle of the simulations. It shares with the runtime only the pure
functions of forgetting; who may see what, until when, and what an operation does to it is said here anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from tiered_memory.forgetting.decay import DAY_US, StrengthState, curve_for
from tiered_memory.forgetting.placement import Deadline, Due, deadline
from tiered_memory.forgetting.quota import Displaceable, plan_displacement
from tiered_memory.model import Durability, Role, Sensitivity
from tiered_memory.policy.load import parse_policy

POLICY_TOML = """
schema = 1
name = "simulated"
default_purpose = "advice"

[hot]
recent_limit = 10000

[forgetting]
undo_days = 7
min_memories_for_brake = 8

[retention.public]
ceiling_days = 365

[retention.internal]
floor_days = 20
ceiling_days = 300

[retention.confidential]
ceiling_days = 60

[retention.restricted]
ceiling_days = 30

[purposes.advice]
lawful_basis = "consent"
max_sensitivity = "restricted"

[purposes.statistics]
lawful_basis = "consent"
max_sensitivity = "internal"

[purposes.service]
lawful_basis = "contract"
documentation = "the order form"
max_sensitivity = "confidential"
"""
CONSENTED, CONTRACTED = ("advice", "statistics"), "service"
MOST_SENSITIVE = {"advice": "restricted", "statistics": "internal", "service": "confidential"}
LEVELS = ["public", "internal", "confidential", "restricted"]
COLD_ABOVE, TTL_US, IDLE_US = 0.2, 3_600_000_000, 3_600_000_000
IDEMPOTENT_US = DAY_US


class Law:
    """The policy in force, which a simulation may change."""

    def __init__(self) -> None:
        self.adopt(POLICY_TOML)

    def adopt(self, text: str) -> None:
        """Put another policy in force."""
        self.policy = parse_policy(text, "simulated.toml")
        self.curve = curve_for(self.policy.decay)


LAW = Law()


@dataclass(slots=True)
class Item:
    """One memory. `state` is None for a volatile one, which ends at `expires_us`; `keyed` ones outlive the process.

    `written` is the strength a crash falls back to; a forgotten memory knows when that was.
    """

    id: str
    content: str
    purpose: str
    sensitivity: str
    ingested_us: int
    state: StrengthState | None = None
    written: StrengthState | None = None
    pinned: bool = False
    forgotten_us: int | None = None
    expires_us: int = 0
    keyed: bool = False
    importance: float = 0.0

    @property
    def ceiling_us(self) -> int:
        """When it must go, whatever protects it."""
        days = LAW.policy.retention[Sensitivity(self.sensitivity)].ceiling_days
        assert days is not None
        return self.ingested_us + round(days * DAY_US)

    @property
    def purge_us(self) -> int | None:
        """When what was forgotten goes for good; None when it was not."""
        if self.forgotten_us is None:
            return None
        floor_days = LAW.policy.retention[Sensitivity(self.sensitivity)].floor_days or 0
        purge_us = max(
            self.forgotten_us + round(LAW.policy.forgetting.undo_days * DAY_US),
            self.ingested_us + round(floor_days * DAY_US),
        )
        return min(purge_us, self.ceiling_us)

    def due(self) -> Deadline:
        """When and why it is to be forgotten."""
        assert self.state is not None
        rule = LAW.policy.retention[Sensitivity(self.sensitivity)]
        return deadline(self.state, LAW.curve, rule, LAW.policy.decay.grace_hours, pinned=self.pinned)

    def as_due(self) -> Due:
        """The memory as the plans take it."""
        return Due(self.id, "", self.state, Sensitivity(self.sensitivity), pinned=self.pinned)

    def strength(self, now_us: int) -> float:
        """How strong it is now."""
        return 1.0 if self.state is None else LAW.curve.strength(self.state, now_us)

    def use(self, now_us: int) -> bool:
        """Use it; tell whether it grew stronger."""
        before = self.state
        if before is not None and self.purge_us is None:
            self.state = LAW.curve.use(before, now_us)
        return self.state != before

    def promote(self, now_us: int) -> None:
        """Keep it after all, as the least that passes the gate, at its old age."""
        fresh = LAW.curve.start(max(self.importance, COLD_ABOVE), now_us, LAW.policy.version)
        self.state = self.written = replace(fresh, ingested_at_us=self.ingested_us)

    def forget(self, now_us: int) -> None:
        """Forget it: it can be restored until its purge."""
        self.forgotten_us = now_us

    def restore(self, now_us: int) -> None:
        """Bring it back as strong as new, at its old age."""
        assert self.state is not None
        fresh = LAW.curve.start(self.state.importance, now_us, LAW.policy.version)
        self.state = replace(fresh, ingested_at_us=self.ingested_us, n_spaced=self.state.n_spaced)
        self.written, self.forgotten_us = self.state, None


@dataclass(slots=True)
class Turn:
    """A turn of a session; `kept` ones are in its tail and outlive the process."""

    id: str
    content: str
    role: Role
    purpose: str
    kept: bool


@dataclass(slots=True)
class Session:
    """What a session must show (`turns`) and what it may show besides (`perhaps`); `loaded`: it is in RAM."""

    turns: list[Turn] = field(default_factory=list)
    perhaps: list[Turn] = field(default_factory=list)
    written_us: int = 0
    tail_until_us: int = 0
    loaded: bool = True

    def musts(self) -> list[Turn]:
        """System prompts and the latest exchange: the last thing the user said, and what followed."""
        prompts = [turn for turn in self.turns if turn.role is Role.SYSTEM]
        talk = [turn for turn in self.turns if turn.role is not Role.SYSTEM]
        users = [at for at, turn in enumerate(talk) if turn.role is Role.USER]
        return prompts + talk[users[-1] if users else -1 :]

    def drop(self, ids: Iterable[str]) -> None:
        """Take turns out for good."""
        gone = set(ids)
        self.turns = [turn for turn in self.turns if turn.id not in gone]
        self.perhaps = [turn for turn in self.perhaps if turn.id not in gone]

    def doubt(self, turns: Iterable[Turn]) -> None:
        """Let turns be shown or not."""
        doubted = list(turns)
        self.perhaps += doubted
        ids = {turn.id for turn in doubted}
        self.turns = [turn for turn in self.turns if turn.id not in ids]

    def load(self, now_us: int) -> None:
        """Come back to RAM on first touch: only the tail is sure to be there, while its time lasts."""
        if self.loaded:
            return
        self.loaded, alive = True, now_us < self.tail_until_us
        self.doubt(turn for turn in self.turns if not (turn.kept and alive))


@dataclass(slots=True)
class Consent:
    """The latest event of a purpose."""

    open: bool
    explicit: bool = False
    expires_us: int | None = None


@dataclass(slots=True)
class Operation:
    """A call with an operation id: what was said, what it answered, whether RAM knows it, and until when the disk."""

    said: tuple[object, ...]
    ids: tuple[str, ...]
    purpose: str
    stored_until_us: int | None
    in_ram: bool = True


@dataclass(slots=True)
class Person:
    """Everything one user has. `erasing`: an erasure was begun and not finished."""

    items: dict[str, Item] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    consents: dict[str, Consent] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    established: bool = False
    erasing: bool = False

    def listed(self) -> list[Item]:
        """What can be retrieved, newest first."""
        return [item for item in reversed(self.items.values()) if item.purge_us is None]

    def durable(self) -> list[Item]:
        """What can be retrieved and outlives the process."""
        return [item for item in self.listed() if item.state is not None]

    def forgotten(self) -> list[Item]:
        """What can be restored, newest first."""
        return [item for item in reversed(self.items.values()) if item.purge_us is not None]

    def displaced(self, count: int, now_us: int) -> list[Item] | None:
        """Who makes room for `count` more under the quota; None when the write must be refused."""
        most, active = LAW.policy.quota.max_items, self.durable()[::-1]
        if most is None or len(active) + count <= most:
            return []
        if count > most:
            return None
        candidates = [Displaceable(item.as_due(), 0, order) for order, item in enumerate(active)]
        policy, curve = LAW.policy, LAW.curve
        made = plan_displacement(candidates, len(active) + count - most, 0, now_us, policy, curve)
        return [self.items[one.id] for one in made.leaving] if made.enough else None

    def expire(self, now_us: int) -> None:
        """Whoever touches a user ends what has been volatile for too long."""
        ended = [one.id for one in self.items.values() if one.state is None and one.expires_us <= now_us]
        for memory_id in ended:
            del self.items[memory_id]

    def remove(self, ids: Iterable[str]) -> None:
        """Take memories out of everything."""
        gone = list(ids)
        for memory_id in gone:
            self.items.pop(memory_id, None)
        for session in self.sessions.values():
            session.drop(gone)

    def grounds(self, purpose: str, sensitivity: str, now_us: int) -> bool:
        """Tell whether something may be kept."""
        if LEVELS.index(sensitivity) > LEVELS.index(MOST_SENSITIVE[purpose]):
            return False
        if purpose == CONTRACTED:
            return True
        consent = self.consents.get(purpose)
        if consent is None or not consent.open:
            return False
        if consent.expires_us is not None and consent.expires_us <= now_us:
            return False
        return sensitivity != "restricted" or consent.explicit

    def promotable(self, ids: Iterable[str], now_us: int) -> list[Item]:
        """What is volatile and may be kept: there were grounds when it was said, and there are now."""
        found = [self.items[one] for one in ids if one in self.items]
        volatile = [item for item in found if item.state is None and item.keyed]
        return [item for item in volatile if self.grounds(item.purpose, item.sensitivity, now_us)]

    def withdraw(self, purpose: str) -> int | None:
        """End a purpose; return how many memories rested on it, None when there was no consent to withdraw."""
        consent = self.consents.get(purpose)
        if consent is None or not consent.open:
            return None
        self.consents[purpose] = Consent(open=False)
        count = sum(item.purpose == purpose for item in self.durable())
        self.remove([item.id for item in self.items.values() if item.purpose == purpose])
        for item in self.items.values():
            item.keyed = False
        for session in self.sessions.values():
            session.drop([t.id for t in (*session.turns, *session.perhaps) if t.purpose == purpose])
            session.loaded = False
        self.operations = {name: one for name, one in self.operations.items() if one.purpose != purpose}
        return count

    def write(self) -> None:
        """Uses are on disk from here on."""
        for item in self.items.values():
            item.written = item.state

    def crash(self) -> None:
        """Uses that were not written are lost."""
        for item in self.items.values():
            item.state = item.written

    def resume(self, now_us: int, *, hot_kept: bool) -> None:
        """What is there when a process opens the directory."""
        volatile = [one for one in self.items.values() if one.state is None]
        self.remove_items(
            [one.id for one in volatile if not (hot_kept and one.keyed and one.expires_us > now_us)]
        )
        for session in self.sessions.values():
            session.loaded = False
        for operation in self.operations.values():
            operation.in_ram = False
        self.end_operations(None)

    def end_operations(self, now_us: int | None) -> None:
        """A cycle ends what the disk has known for long enough; what nobody knows any more is a new operation."""
        for operation in self.operations.values():
            until = operation.stored_until_us
            if now_us is not None and until is not None and until <= now_us:
                operation.stored_until_us = None
        known = {
            n: one for n, one in self.operations.items() if one.in_ram or one.stored_until_us is not None
        }
        self.operations = known

    def remove_items(self, ids: Iterable[str]) -> None:
        """Take memories out of retrieval; their sessions go on."""
        for memory_id in list(ids):
            del self.items[memory_id]


@dataclass(slots=True)
class Plan:
    """What a cycle has to do for one user."""

    forget: list[Item] = field(default_factory=list)
    remove: list[Item] = field(default_factory=list)
    stopped: bool = False


def plan(person: Person, now_us: int, *, confirmed: bool, without: Collection[str] = ()) -> Plan:
    """Return what is due: ceilings first, then undo windows that ended, then decay, unless the brake stops that."""
    made = Plan()
    for item in person.items.values():
        if item.state is None or item.id in without:
            continue
        if item.ceiling_us <= now_us or (item.purge_us is not None and item.purge_us <= now_us):
            made.remove.append(item)
        elif item.purge_us is None and _passed(item.due().at_us, now_us):
            made.forget.append(item)
    rules, total = LAW.policy.forgetting, len(person.durable())
    too_many = len(made.forget) > rules.max_share_per_cycle * total and total >= rules.min_memories_for_brake
    if too_many and not confirmed:
        made.forget, made.stopped = [], True
    return made


def _passed(at_us: int | None, now_us: int) -> bool:
    return at_us is not None and at_us <= now_us


def apply(person: Person, made: Plan, now_us: int) -> None:
    """Carry a plan out."""
    forget(person, made.forget, now_us)
    person.remove([item.id for item in made.remove])


def forget(person: Person, items: Iterable[Item], now_us: int) -> None:
    """Take memories out of retrieval; they can be restored."""
    for item in items:
        item.forget(now_us)
        for session in person.sessions.values():
            session.drop([item.id])


def promised(importance: float, session: str | None, role: Role, *, durable: bool) -> Durability:
    """Return the durability a receipt must name."""
    if durable and importance > COLD_ABOVE and role is not Role.SYSTEM:
        return Durability.JOURNALED
    return Durability.SESSION if durable and session is not None else Durability.EPHEMERAL


def everybody(people: dict[str, Person]) -> Iterator[tuple[str, Person]]:
    """Go through the users whose calls are answered."""
    return ((name, person) for name, person in people.items() if not person.erasing)
