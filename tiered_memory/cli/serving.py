"""The command that runs the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tiered_memory.cli.entry import command, output_of, settings_of
from tiered_memory.cli.options import Store
from tiered_memory.errors import ConfigurationError, TieredMemoryError

EXTRA = "the daemon needs the extra `server`: pip install 'tiered-memory[server]' (missing: {})"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "serve", rich_help_panel="Serving")(serve)


def serve(
    store: Store,
    host: Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", show_default="8765")] = None,
    socket: Annotated[Path | None, typer.Option(help="Listen on this unix socket instead.")] = None,
) -> None:
    """Serve the memory over HTTP until SIGTERM: API, MCP, inspector, metrics.

    Without an API key it answers this machine only. SIGTERM ends it within ten seconds, nothing acknowledged lost.
    """
    given = {"host": host, "port": port, "socket": socket}
    settings = settings_of(store, daemon={name: one for name, one in given.items() if one is not None})
    try:
        import anyio

        from tiered_memory.daemon.serve import Daemon
        from tiered_memory.logs import configure
        from tiered_memory.traces import TraceIds
    except ModuleNotFoundError as missing:
        raise ConfigurationError(EXTRA.format(missing.name)) from None
    own, output = settings.daemon, output_of(store)
    as_json = True if store.json or own.log_format == "json" else None if own.log_format == "auto" else False
    undo = configure(json=as_json, level=own.log_level, filters=[TraceIds()])
    try:
        anyio.run(
            Daemon(settings, on_listening=lambda address: _say(output, address, as_document=store.json)).run
        )
    except* TieredMemoryError as refused:
        raise _first(refused) from None
    finally:
        undo()


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """What ends several tasks at once is told once."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _say(output: Any, address: str, *, as_document: bool) -> None:
    if as_document:
        output.show({"listening": address})
    else:
        output.note(f"listening on {address}")
