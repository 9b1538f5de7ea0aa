"""Log lines of the daemon: JSON or for a terminal, with request ids, and never with content, ids or paths.

`configure` formats everything the process logs; `RequestId` and `AccessLog` are ASGI middlewares, outermost first.
"""

from tiered_memory.logs.lines import configure
from tiered_memory.logs.requests import AccessLog, RequestId, request_id

__all__ = ["AccessLog", "RequestId", "configure", "request_id"]
