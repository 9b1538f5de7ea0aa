"""The commands of `tiered-memory`, gathered."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import typer

from tiered_memory.cli import (
    access,
    api_keys,
    archives,
    certificates,
    configuring,
    consents,
    correcting,
    dashboards,
    foreseeing,
    guarding,
    healthy,
    holding,
    jobs,
    keys,
    ledger,
    mcp,
    policies,
    reading,
    reporting,
    requests,
    rights,
    serving,
    sharing,
    tenants,
    tuning,
    upkeep,
    writing,
)
from tiered_memory.cli.demo import command as demo

ABOUT = "Memory for AI agents: three tiers, routing by importance, forgetting, and erasure with proof."


def build() -> typer.Typer:
    """Return the command line."""
    app = typer.Typer(
        help=ABOUT,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for part in (
        demo,
        writing,
        reading,
        sharing,
        foreseeing,
        tuning,
        consents,
        rights,
        certificates,
        archives,
        access,
        correcting,
        requests,
        tenants,
        guarding,
        upkeep,
        holding,
        reporting,
        jobs,
        keys,
        api_keys,
        ledger,
        serving,
        mcp,
        policies,
        configuring,
        healthy,
        dashboards,
    ):
        part.register(app)
    return app


def run() -> None:
    """Run it on the process's arguments. A character the terminal cannot show is written as its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    build()(prog_name="tiered-memory")
