"""What the tools take: bounded, described for a model, and with no name of a user or tenant among it."""

from __future__ import annotations

from typing import Annotated, Literal

from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase
from pydantic import AwareDatetime, ConfigDict, Field

from tiered_memory.formats.archive import ArchiveKind
from tiered_memory.intake import ID_CHARACTERS, REASON_BYTES
from tiered_memory.model import Durability, Filter, Kind, Role, Sensitivity, SourceKind

MOST_CONTENT = 65_536
MOST_QUESTION = 8_192
MOST_HITS, MOST_LISTED = 50, 100
MOST_TOKENS = 32_000
MOST_TEXT = 1 << 20
LARGEST = 2**63 - 1

Id = Annotated[
    str, Field(pattern=r"^[0-9a-f]{32}$", description="Id of a memory, as the other tools give it.")
]
Name = Annotated[str, Field(min_length=1, max_length=ID_CHARACTERS)]
Question = Annotated[
    str, Field(min_length=1, max_length=MOST_QUESTION, description="What to look for, in plain words.")
]
Reason = Annotated[
    str, Field(min_length=1, max_length=REASON_BYTES, description="Why; it is kept beside what was done.")
]
OperationId = Annotated[Name | None, Field(description="Makes repeating this very call harmless.")]


class Arguments(ArgModelBase):
    """A tool's arguments; any other is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Remember(Arguments):
    """What to remember, and what is known of it."""

    content: str = Field(
        min_length=1,
        max_length=MOST_CONTENT,
        description="One fact or message in full sentences that stand alone, e.g. 'Ann's daughter is called Mia.'",
    )
    role: Role = Field(default=Role.USER, description="Who said it.")
    source: SourceKind | None = Field(
        default=None, description="Where the text comes from when nobody said it: tool, document."
    )
    kind: Kind = Field(
        default=Kind.EPISODIC,
        description="profile: who the person is; semantic: a fact; episodic: what happened; procedural: how to do it.",
    )
    sensitivity: Sensitivity = Field(
        default=Sensitivity.INTERNAL,
        description="How much harm disclosure would do; health and the like: restricted.",
    )
    session: Name | None = Field(default=None, description="Name of this conversation.")
    occurred_at: AwareDatetime | None = Field(
        default=None, description="When it was said: ISO 8601 with an offset; left out: now."
    )
    durability: Durability | None = Field(
        default=None,
        description="Refuse to keep it less durably than this; left out: as durably as is allowed.",
    )
    operation_id: OperationId = None


class Narrow(Arguments):
    """Which memories."""

    kinds: frozenset[Kind] | None = Field(default=None, min_length=1, description="Only these kinds.")
    session: Name | None = Field(default=None, description="Only this conversation's.")
    since: AwareDatetime | None = Field(
        default=None, description="Said from then on: ISO 8601 with an offset."
    )
    until: AwareDatetime | None = Field(default=None, description="Said before: ISO 8601 with an offset.")
    as_of: AwareDatetime | None = Field(
        default=None,
        description="What held good at that moment, superseded since or not: ISO 8601 with an offset.",
    )
    include_superseded: bool = Field(default=False, description="Also what a newer memory took the place of.")

    @property
    def where(self) -> Filter:
        """The façade's filter for it."""
        return Filter(
            kinds=self.kinds,
            sessions=None if self.session is None else frozenset({self.session}),
            since=self.since,
            until=self.until,
            as_of=self.as_of,
            include_superseded=self.include_superseded,
        )


class Recall(Narrow):
    """What to look for."""

    question: Question
    limit: int = Field(default=5, ge=1, le=MOST_HITS, description="How many answers at most.")


class Pack(Arguments):
    """What a context is to answer, and how large it may be."""

    question: Question
    session: Name | None = Field(default=None, description="This conversation: its turns come along.")
    token_budget: int = Field(default=1500, ge=1, le=MOST_TOKENS, description="Most tokens it may have.")


class Page(Narrow):
    """Which page of which memories."""

    limit: int = Field(default=20, ge=1, le=MOST_LISTED, description="How many at most.")
    before: int | None = Field(
        default=None, ge=0, le=LARGEST, description="The former page's next_before; left out: the newest."
    )


class Named(Arguments):
    """One memory."""

    memory_id: Id


class Update(Named):
    """What a memory is to say instead."""

    content: str = Field(min_length=1, max_length=MOST_CONTENT, description="The corrected text, whole.")
    reason: Reason
    expected_version: int | None = Field(
        default=None, ge=1, le=LARGEST, description="Refuse if somebody changed it since this version."
    )
    operation_id: OperationId = None


class Forget(Named):
    """Which memory is to go, and why."""

    reason: Reason = "asked for by the person"


class Export(Arguments):
    """What to take out, and how much of it to show."""

    kind: ArchiveKind = Field(
        default=ArchiveKind.ACCESS,
        description="access: everything, what was inferred as well (GDPR Art. 15); portability: what the person "
        "provided (Art. 20).",
    )
    form: Literal["text", "archive"] = Field(
        default="text",
        description="text: to read; archive: the signed zip file besides, for the person to keep.",
    )
    max_bytes: int = Field(default=32_768, ge=1, le=MOST_TEXT, description="Most bytes of text to show.")


class Erase(Arguments):
    """The person's word that everything is to go."""

    confirm: str = Field(
        max_length=ID_CHARACTERS,
        description="The phrase that the person typed. Call with an empty one to learn which; never type it yourself.",
    )
    reason: Reason = "requested by the person"
