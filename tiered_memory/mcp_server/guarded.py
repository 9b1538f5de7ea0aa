"""What every tool does around its own work: its grant, its arguments, errors that say what to do."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import to_json

from tiered_memory.errors import TieredMemoryError
from tiered_memory.mcp_server.answers import Answer
from tiered_memory.mcp_server.arguments import Arguments
from tiered_memory.mcp_server.desk import Desk
from tiered_memory.principals import Grant
from tiered_memory.user import User

logger = logging.getLogger("tiered_memory")
CRASHED = "The tool failed inside; whether it took effect is unknown. Look with `list` before you repeat it."
Work = Callable[[User, Any], Awaitable[Answer | CallToolResult]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool: its work gets the person's memory and checked arguments, and can reach nothing else."""

    name: str
    title: str
    description: str
    grant: Grant
    takes: type[Arguments]
    gives: type[Answer]
    work: Work
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False

    @property
    def hints(self) -> ToolAnnotations:
        """What a client may tell the person of it before it is called; no tool reaches beyond the memory."""
        return ToolAnnotations(
            title=self.title,
            read_only_hint=self.read_only,
            destructive_hint=self.destructive,
            idempotent_hint=self.idempotent,
            open_world_hint=False,
        )


class GuardedTool(Tool):
    """A tool that only a credential with its grant may call, and whose errors carry nobody's data."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    desk: Desk = Field(exclude=True)
    grant: Grant

    @classmethod
    def of(cls, spec: ToolSpec, desk: Desk) -> GuardedTool:
        """Return the tool that a table's row describes, for those who come to `desk`."""

        async def call(request: Context[Any, Any], **given: Any) -> Answer | CallToolResult:
            user = desk.user(request.request_context, spec.grant)
            return await spec.work(user, spec.takes.model_construct(**given))

        return cls(
            fn=call,
            name=spec.name,
            title=spec.title,
            description=spec.description,
            parameters=spec.takes.model_json_schema(),
            fn_metadata=FuncMetadata(arg_model=spec.takes, output_model=spec.gives),
            is_async=True,
            context_kwarg="request",
            annotations=spec.hints,
            desk=desk,
            grant=spec.grant,
        )

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,
    ) -> Any:
        """See `Tool.run`; every refusal is a ToolError in words for the model."""
        try:
            self.desk.user(context.request_context, self.grant)
            return _compact(await super().run(arguments, context, convert_result))
        except TieredMemoryError as refused:
            raise ToolError(_refusal(refused)) from None
        except ToolError as error:
            raise self._told(error) from None

    def _told(self, error: ToolError) -> ToolError:
        match error.__cause__:
            case ValidationError() as wrong if not isinstance(error, UnexpectedToolError):
                return ToolError(self._wrong(wrong))
            case TieredMemoryError() as refused:
                return ToolError(_refusal(refused))
            case BaseException() as crash:
                return self._crashed(crash)
        return error

    def _wrong(self, wrong: ValidationError) -> str:
        """Return which arguments are wrong and why, without what was given."""
        found = wrong.errors(include_url=False, include_context=False, include_input=False)
        names = ", ".join(self.parameters["properties"])
        said = (
            f"there is an argument that this tool does not have; it takes {names}"
            if one["type"] == "extra_forbidden"
            else f"{one['loc'][0]}: {one['msg']}"
            for one in found
        )
        return "InvalidInputError: " + "; ".join(dict.fromkeys(said))

    def _crashed(self, crash: BaseException) -> ToolError:
        """Log where it crashed and of which kind, never in whose words."""
        at = traceback.extract_tb(crash.__traceback__)[-1]
        kind = type(crash).__name__
        logger.error("the MCP tool %s crashed: %s in %s, line %s", self.name, kind, at.name, at.lineno)
        return ToolError(CRASHED)


def _refusal(refused: TieredMemoryError) -> str:
    return f"{type(refused).__name__}: {refused}"


def _compact(done: Any) -> Any:
    """Write the text beside a structured answer without spaces: it is paid for by the token."""
    if not (isinstance(done, CallToolResult) and done.structured_content is not None):
        return done
    text = TextContent(type="text", text=to_json(done.structured_content).decode())
    rest = [one for one in done.content if not isinstance(one, TextContent)]
    return done.model_copy(update={"content": [text, *rest]})
