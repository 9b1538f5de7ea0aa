"""What docs/mcp.md says of the tools is what a client is told."""

from __future__ import annotations

import json
import re

import pytest
from mcp.types import Tool
from mcp_house import BESIDE_THE_PACKAGE, over_http

from tiered_memory.mcp_server.answers import EXCERPT
from tiered_memory.mcp_server.arguments import (
    MOST_CONTENT,
    MOST_HITS,
    MOST_LISTED,
    MOST_QUESTION,
    MOST_TOKENS,
)
from tiered_memory.mcp_server.tools import TOOLS

pytestmark = pytest.mark.anyio
DOCUMENT = (BESIDE_THE_PACKAGE / "docs" / "mcp.md").read_text(encoding="utf-8")
SCOPES = {spec.name: spec.grant.value for spec in TOOLS}
HEAD = "| tool | takes | scope | hints |\n|---|---|---|---|\n"


def row(tool: Tool) -> str:
    """Return a tool's row: what has to be given stands first and in bold."""
    properties, required = tool.input_schema["properties"], tool.input_schema.get("required", [])
    takes = [f"**{name}**" for name in required] + [name for name in properties if name not in required]
    hints = tool.annotations
    assert hints is not None
    said = {
        "read-only": hints.read_only_hint,
        "destructive": hints.destructive_hint,
        "idempotent": hints.idempotent_hint,
    }
    words = ", ".join(word for word, holds in said.items() if holds) or "-"
    return f"| `{tool.name}` | {', '.join(takes)} | `{SCOPES[tool.name]}` | {words} |\n"


async def test_the_table_is_the_live_list_of_tools(anywhere: str) -> None:
    async with over_http(anywhere) as client:
        expected = HEAD + "".join(row(tool) for tool in (await client.list_tools()).tools)
    found = re.search(r"<!-- tools -->\n(.*)<!-- /tools -->", DOCUMENT, re.DOTALL)
    assert found is not None
    assert found[1] == expected


def test_its_bounds_are_those_of_the_schemas() -> None:
    plain = DOCUMENT.replace(" ", "").replace("\n", "")
    for bound in (MOST_CONTENT, MOST_HITS, MOST_LISTED, MOST_QUESTION, MOST_TOKENS, EXCERPT):
        assert str(bound) in plain


def test_its_configurations_are_json() -> None:
    blocks = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    servers = [json.loads(block)["mcpServers"]["memory"] for block in blocks]
    assert [sorted(one) for one in servers] == [["args", "command"], ["headers", "type", "url"]]


def test_the_conformance_scenarios_are_those_the_script_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BESIDE_THE_PACKAGE / "scripts"))
    import mcp_conformance

    (passing,) = re.findall(r"^\| (.*) \| pass \|$", DOCUMENT, re.MULTILINE)
    assert tuple(passing.split(", ")) == mcp_conformance.APPLICABLE
