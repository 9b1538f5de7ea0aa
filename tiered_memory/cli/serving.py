"""The command that runs the daemon."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiered_memory.cli.entry import command, output_of, settings_of
from tiered_memory.cli.options import Store
from tiered_memory.errors import ConfigurationError, TieredMemoryError

if TYPE_CHECKING:
    from tiered_memory.config import Settings

NO_BROWSER = "the demo is looked at in a browser: it needs a port, not a socket"
EXTRA = "the daemon needs the extra `server`: pip install 'tiered-memory[server]' (missing: {})"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "serve", rich_help_panel="Serving")(serve)


def serve(
    context: typer.Context,
    store: Store,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8765")] = None,
    socket: Annotated[Path | None, typer.Option(help="Listen on this unix socket instead.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Serve some people's lived months, in a temporary directory.")
    ] = False,
) -> None:
    """Serve the memory over HTTP until SIGTERM: API, MCP, inspector, metrics.

    Without an API key it answers this machine only. SIGTERM ends it within ten seconds, nothing acknowledged lost.
    """
    given = {"host": host, "port": port, "socket": socket}
    if demo:
        _demo(store if _is_typed(context, "data") else replace(store, data=None), given)
        return
    settings = settings_of(store, daemon={name: one for name, one in given.items() if one is not None})
    output = output_of(store)

    def say(address: str) -> None:
        if store.json:
            output.show({"listening": address})
        else:
            output.note(f"listening on {address}")

    _run(settings, say, as_document=store.json)


def _is_typed(context: typer.Context, name: str) -> bool:
    """A demo is no reason to write into the store that the environment names."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _demo(store: Store, given: dict[str, Any]) -> None:
    """Fill a store, serve it, and with a temporary directory leave nothing."""
    from tiered_memory.cli.demo import exhibit
    from tiered_memory.cli.demo.cast import PEOPLE

    output, addresses = output_of(store), list[str]()
    with exhibit.ground(store.data) as own:
        settings = _quiet(_settings(settings_of(replace(store, data=own.directory)), given))
        if settings.daemon.socket is not None:
            raise ConfigurationError(NO_BROWSER)
        found = exhibit.seeded(settings, output)
        own.go_on()

        def say(address: str) -> None:
            addresses.append(address)
            if store.json:
                output.show(exhibit.document(address, found))
                return
            for line in exhibit.lines(address, found, temporary=store.data is None):
                output.note(line, "")

        _run(
            settings,
            say,
            as_document=store.json,
            people=PEOPLE,
            around=lambda one: exhibit.show(one, addresses),
        )


def _run(
    settings: Settings,
    say: Callable[[str], None],
    *,
    as_document: bool,
    people: Any = (),
    around: Callable[[Any], Awaitable[None]] | None = None,
) -> None:
    try:
        import anyio

        from tiered_memory.daemon.serve import Daemon
        from tiered_memory.logs import configure
        from tiered_memory.traces import TraceIds
    except ModuleNotFoundError as missing:
        raise ConfigurationError(EXTRA.format(missing.name)) from None
    own = settings.daemon
    as_json = True if as_document or own.log_format == "json" else None if own.log_format == "auto" else False
    undo = configure(json=as_json, level=own.log_level, filters=[TraceIds()])
    daemon = Daemon(settings, on_listening=say, people=people)
    try:
        anyio.run(daemon.run if around is None else lambda: around(daemon))
    except* TieredMemoryError as refused:
        raise _first(refused) from None
    finally:
        undo()


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """What ends several tasks at once is told once."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _settings(settings: Settings, given: dict[str, Any]) -> Settings:
    from tiered_memory.daemon_config import DaemonSettings

    said = {name: value for name, value in given.items() if value is not None}
    own = DaemonSettings.model_validate({**settings.daemon.model_dump(exclude_unset=True), **said})
    return settings.model_copy(update={"daemon": own})


def _quiet(settings: Settings) -> Settings:
    """Unless asked for, no line for each call of the demo's agent."""
    if "log_level" in settings.daemon.model_fields_set:
        return settings
    return _settings(settings, {"log_level": "warning"})
