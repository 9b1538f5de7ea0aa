"""The command line: arguments in, the public face in the middle, a document or a picture out.

Nothing about memories is decided here. Every command takes `--json` and then writes exactly one JSON document to
standard output. Warnings, progress and errors go to standard error; an error is there a line of JSON
(`{"error": class, "message": text}`) under `--json`. Exit codes: 0 done, 1 refused or failed with a typed error,
2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on the process's arguments."""
    from tiered_memory.cli.app import run

    run()
