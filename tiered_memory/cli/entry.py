"""What every command does before and after its own work: options, warnings, typed errors, opening the store."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from tiered_memory.cli.options import Calling, Format, NamedPerson, Person, Store, flat
from tiered_memory.cli.output import Output, WarningLines
from tiered_memory.errors import (
    ConfigurationError,
    InvalidInputError,
    NotFoundError,
    StorageError,
    TieredMemoryError,
)

if TYPE_CHECKING:
    from tiered_memory.caller import Caller
    from tiered_memory.config import Settings
    from tiered_memory.memory import TieredMemory
    from tiered_memory.model import Filter
    from tiered_memory.privacy.decisions import DecisionRecord
    from tiered_memory.privacy.requests import Request
    from tiered_memory.user import User

REFUSED, INTERRUPTED = 1, 130
ID_DIGITS = 32
PREFIX_DIGITS = 4
PAGE = 1000
T = TypeVar("T")


def command(app: typer.Typer, name: str | None = None, **given: Any) -> Callable[[Callable[..., None]], None]:
    """Return a decorator that makes a function a command of `app`."""

    def register(function: Callable[..., None]) -> None:
        app.command(name, **given)(guarded(flat(function)))

    return register


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Return `function` with warnings shown and typed errors turned into a message and an exit code."""

    @functools.wraps(function)
    def call(**given: Any) -> None:
        output = Output(as_document=bool(given.get("json")))
        logger, handler = logging.getLogger("tiered_memory"), WarningLines(output)
        logger.addHandler(handler)
        try:
            function(**given)
        except TieredMemoryError as error:
            output.fail(error)
            raise typer.Exit(REFUSED) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            output.fail(StorageError(_unreachable(error)))
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            output.note("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            logger.removeHandler(handler)

    return call


def _unreachable(error: OSError) -> str:
    """A path that the command was given is the only one its message may name: the operating system's does."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or type(error).__name__}"


def output_of(options: Format) -> Output:
    """Return how to answer."""
    return Output(as_document=options.json)


def settings_of(store: Store, **options: Any) -> Settings:
    """Return the settings: options over environment over the TOML file over defaults."""
    from tiered_memory.config import load_settings

    given = options if store.data is None else {**options, "data_dir": store.data}
    return load_settings(store.config, **given)


def run(store: Store, work: Callable[[TieredMemory], Awaitable[T]], *, create: bool = False) -> T:
    """Open the store, do the work, close it. A store that does not exist is refused unless `create`."""
    import anyio

    settings = settings_of(store)
    if not create and not holds_store(settings.data_dir):
        raise ConfigurationError(
            f"there is no memory in {settings.data_dir}; give its directory with --data, or add something first"
        )
    if settings.redis_url == "private":
        # A server of one's own would live just as long as this command: RAM does the same without one.
        settings = settings.model_copy(update={"redis_url": "local"})

    async def opened() -> T:
        from tiered_memory.memory import TieredMemory

        async with TieredMemory.open(_address_of(settings.data_dir) or settings) as memory:
            return await work(memory)

    return anyio.run(opened)


def _address_of(data_dir: Path) -> str | None:
    """Return the address of the process that owns the directory, when it answers: then that one does the work."""
    from importlib.util import find_spec

    from tiered_memory.unix_sockets import OWNER_SOCKET, answers

    door = data_dir / OWNER_SOCKET
    return f"unix:{door}" if find_spec("httpx2") is not None and answers(door) else None


def holds_store(data_dir: Path) -> bool:
    """Tell whether a directory holds a store."""
    return (data_dir / "state.db").exists()


def moment(text: str | None, option: str) -> datetime | None:
    """Return the moment an option gives. A day without a time is its first moment in UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInputError(
            f"{option} must be ISO 8601, e.g. 2026-03-01T09:30+01:00 or 2026-03-01"
        ) from None
    if found.utcoffset() is not None:
        return found
    if len(text) == len("2026-03-01"):
        return found.replace(tzinfo=UTC)
    raise InvalidInputError(f"{option} needs an offset, e.g. 2026-03-01T09:30+01:00 or 2026-03-01T09:30Z")


def filter_of(narrow: Any) -> Filter:
    """Return the filter that the options of `Narrow` give."""
    from tiered_memory.model import Filter, Kind, Role

    return Filter(
        kinds=words(narrow.kind, Kind, "--kind"),
        roles=words(narrow.role, Role, "--role"),
        sessions=frozenset(narrow.session) if narrow.session else None,
        agents=frozenset(narrow.agent) if narrow.agent else None,
        since=moment(narrow.since, "--since"),
        until=moment(narrow.until, "--until"),
        min_importance=narrow.min_importance,
        as_of=moment(narrow.as_of, "--as-of"),
        include_superseded=narrow.include_superseded,
    )


def caller_of(calling: Calling) -> Caller:
    """Return who asks."""
    from tiered_memory.caller import Caller

    return Caller(role=calling.as_role, actor=calling.actor, context=calling.purpose_context)


def user_of(memory: TieredMemory, person: Person | NamedPerson, calling: Calling) -> User:
    """Return the memory of one user, as whoever asks may use it."""
    return memory.user(person.user, person.tenant, caller=caller_of(calling))


def words(given: list[str] | None, kind: type[T], option: str) -> frozenset[T] | None:
    """Return the given words as members of an enum."""
    if not given:
        return None
    try:
        return frozenset(kind(one) for one in given)  # type: ignore[call-arg]
    except ValueError:
        known = ", ".join(str(member) for member in kind)  # type: ignore[attr-defined]
        raise InvalidInputError(f"{option} must be one of {known}") from None


async def whole_id(user: User, given: str) -> str:
    """Return a memory's id for its first digits, at least four; ids are shown shortened.

    Raises:
        NotFoundError: nothing begins so.
        InvalidInputError: several do, or `given` is no beginning of an id.
    """
    return await _whole(given, lambda: _ids(user), "memory", "memories")


async def whole_request_id(user: User, given: str) -> str:
    """Return a request's id for its first digits; see `whole_id`."""
    return await _whole(given, lambda: _named(user.requests.list()), "request", "requests")


async def whole_decision_id(user: User, given: str) -> str:
    """Return a decision's id for its first digits; see `whole_id`."""
    return await _whole(given, lambda: _named(user.decisions.list()), "decision", "decisions")


async def _whole(given: str, ids: Callable[[], AsyncIterator[str]], what: str, several: str) -> str:
    if len(given) >= ID_DIGITS:
        return given
    if len(given) < PREFIX_DIGITS or set(given) - set("0123456789abcdef"):
        raise InvalidInputError(
            f"a {what} is named by its id, or by the first {PREFIX_DIGITS} digits or more"
        )
    found = {one async for one in ids() if one.startswith(given)}
    if not found:
        raise NotFoundError(f"no {what} of this user begins so")
    if len(found) > 1:
        raise InvalidInputError(f"{len(found)} {several} begin so; give more digits")
    return found.pop()


async def _named(listed: Awaitable[Sequence[Request] | Sequence[DecisionRecord]]) -> AsyncIterator[str]:
    for one in await listed:
        yield one.id


async def _ids(user: User) -> AsyncIterator[str]:
    from tiered_memory.model import Filter

    before, every = None, Filter(include_superseded=True)
    while page := await user.list(where=every, limit=PAGE, before=before):
        for memory in page:
            yield memory.id
        before = page[-1].order
    for memory in await user.forgotten():
        yield memory.id
