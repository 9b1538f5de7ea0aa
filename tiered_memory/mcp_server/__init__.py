"""MCP over the façade: the same memory as a set of tools, on standard input and output or over HTTP.

Whose memory a tool reaches is never an argument: the command line fixes it, or the credential's holder does.
"""

from __future__ import annotations

from tiered_memory.mcp_server.http_app import mcp_app
from tiered_memory.mcp_server.server import MemoryServer, build_server
from tiered_memory.mcp_server.stdio import person, serve_stdio

__all__ = ["MemoryServer", "build_server", "mcp_app", "person", "serve_stdio"]
