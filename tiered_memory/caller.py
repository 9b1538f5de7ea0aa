"""Who calls: the role the policy's access table knows, and what the ledger records of the caller."""

from __future__ import annotations

from dataclasses import dataclass

AGENT = "agent"
MEMBER = "\x1fmember\x1f"
"""What the actor of a member begins with whose caller named none: no caller can type it, and no agent is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """In which role somebody calls, who it is, and in which connection.

    `role` is one of the policy's access table; one it does not know may do nothing. `actor` is an opaque name of the
    calling program or person: the ledger commits to it and never names it. `context` is a category of up to 40
    letters, spaces, hyphens and underscores ("support chat"): the ledger has it as it is.
    """

    role: str = AGENT
    actor: str = ""
    context: str = ""

    @property
    def agent(self) -> str:
        """The agent that calls by name; empty when none is named."""
        named = self.role == AGENT and not self.actor.startswith(MEMBER)
        return self.actor if named else ""
