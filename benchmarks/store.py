"""The product as the benchmarks use it: opened through its public face on a directory of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.datasets import Conversation, Turn, load
from benchmarks.machine import file_system
from tiered_memory import TieredMemory, User
from tiered_memory.config import Settings, load_settings
from tiered_memory.model import Receipt
from tiered_memory.testing import ManualClock
from tiered_memory.tiers.redis_server import find_redis_server
from tiered_memory.wiring import load_policy, shipped_policies

PURPOSE = "personalization"
NOTICE = "benchmark"
OPEN_POLICY = "open"
QUICK_TURNS = 10_000
SEARCHED_AFTER = timedelta(days=1)
PAGE = 10_000

_POLICIES = Path(__file__).with_name("policies")


@dataclass(frozen=True, slots=True)
class Told:
    """A turn that was given to the memory, and the receipt that came back."""

    turn: Turn
    receipt: Receipt


def policy_named(name: str) -> str:
    """Return what the settings take for a policy given by a shipped name, a name of the suite's own, or a file."""
    own = _POLICIES / f"{name}.toml"
    return str(own) if name not in shipped_policies() and own.is_file() else name


def settings_for(folder: Path, policy: str, *, background: bool = True) -> Settings:
    """Return the product's settings, the defaults but for these."""
    return load_settings(data_dir=folder, policy=policy_named(policy), background=background)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Give a new folder that is gone afterwards; TMPDIR chooses the disk."""
    with tempfile.TemporaryDirectory(prefix="tiered-memory-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def engines(settings: Settings) -> dict[str, Any]:
    """Return the configuration every figure depends on: policy, engines, and the disk below them."""
    policy = load_policy(settings.policy)
    return {
        "policy": policy.version,
        "cold_threshold": policy.routing.cold_threshold,
        "hot": _hot(settings),
        "cold": "LanceDB, one table per user, rows sealed",
        "state": "SQLite, WAL, synchronous = FULL",
        "file_system": file_system(settings.data_dir.parent),
    }


def demo_data() -> Path:
    """Return the conversation that is bundled with the package."""
    import tiered_memory

    return Path(tiered_memory.__file__).with_name("demo_data") / "conversation.jsonl"


def conversations(data: Path | None, *, full: bool) -> list[Conversation]:
    """Return the conversations of a file (default: the bundled one), in quick runs the first 10 000 turns' worth."""
    found = load(data or demo_data())
    return found if full else within(found, QUICK_TURNS)


def within(found: Sequence[Conversation], turns: int) -> list[Conversation]:
    """Return the first conversations that together have at most `turns` turns, and always the first one."""
    chosen, total = list[Conversation](), 0
    for conversation in found:
        total += len(conversation.turns)
        if chosen and total > turns:
            break
        chosen.append(conversation)
    return chosen


def user_of(memory: TieredMemory, conversation: Conversation) -> User:
    """Return the user whose memory a conversation is."""
    return memory.user(conversation.name, tenant="benchmark")


async def tell(user: User, conversation: Conversation, clock: ManualClock) -> list[Told]:
    """Give a user's memory the turns in their order, each at its own time, with consent given before the first."""
    clock.set(conversation.turns[0].occurred_at)
    await user.consent.grant(PURPOSE, notice=NOTICE)
    return [await _tell_one(user, turn, clock) for turn in conversation.turns]


async def _tell_one(user: User, turn: Turn, clock: ManualClock) -> Told:
    clock.set(turn.occurred_at)
    receipt = await user.add(
        turn.text, role=turn.role, author=turn.author, session=turn.session, occurred_at=turn.occurred_at
    )
    return Told(turn, receipt)


async def count_searchable(user: User) -> int:
    """Return how many memories of the user a search may find."""
    found, before = 0, None
    while page := await user.list(limit=PAGE, before=before):
        found += len(page)
        before = page[-1].order
    return found


def _hot(settings: Settings) -> str:
    if settings.redis_url != "private":
        return "in this process" if settings.redis_url == "local" else "Redis by address"
    found = find_redis_server(settings.redis_binary)
    return "in this process: no redis-server found" if found is None else "private redis-server"
