"""The classes of the public face, their methods replaced by calls to a daemon: one table says which."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from tiered_memory.caller import Caller
from tiered_memory.clock import Entropy, SystemEntropy
from tiered_memory.errors import InvalidInputError
from tiered_memory.model import Subject
from tiered_memory.remote.transport import Sent, Transport
from tiered_memory.wire.codec import Call, answered, call
from tiered_memory.wire.faces import FACES
from tiered_memory.wire.operation import Effect, Operation, Root
from tiered_memory.wire.signatures import UNSPOKEN, Signature, signature_of
from tiered_memory.wire.table import OPERATIONS

F = TypeVar("F")
KEY_BYTES = 16
PATHS = frozenset({"archive", "path", "target"})
"""Parameters that name a path of the machine that both are on."""


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """Whose face it is, who asks, and how it is asked. `named` are the path's parameters that say whose."""

    transport: Transport
    root: Root
    named: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None
    as_user: str | None = None
    entropy: Entropy = field(default_factory=SystemEntropy)


def face(link: Link, attribute: str = "") -> Any:
    """Return a face of the link's root: an instance of the class that the embedded memory has, in all but its methods."""
    kind = remote_class(link.root, attribute)
    made = object.__new__(kind)
    made.__dict__["_link"] = link
    if not attribute:
        for name in FACES[link.root]:
            if name and link.root is not Root.STORE:
                made.__dict__[name] = face(link, name)
    return made


@cache
def remote_class(root: Root, attribute: str) -> type[Any]:
    """Return the class of a face whose methods are sent."""
    kind = FACES[root][attribute]
    own = [one for one in OPERATIONS if one.root is root and one.face == attribute and one.remote]
    members: dict[str, Any] = {one.method: _method(one, getattr(kind, one.method)) for one in own}
    if root is Root.USER and not attribute:
        members["subject"] = property(_subject)
    return type(f"Remote{kind.__name__}", (kind,), {**members, "__module__": __name__})


def _subject(self: Any) -> Subject:
    named = self._link.named
    return Subject(named["tenant"], named["user"])


def _method(operation: Operation, method: Callable[..., Any]) -> Callable[..., Any]:
    from tiered_memory.remote.streams import SPECIAL

    if operation.name in SPECIAL:
        return SPECIAL[operation.name](operation, method)

    async def remote(self: Any, *positional: Any, **named: Any) -> Any:
        # Read at the first call and kept: a command asks for one method or two, not for all of them.
        signature, shape = signature_of(operation, method), shape_of(method)
        return await ask(self._link, operation, signature, arguments(shape, positional, named))

    remote.__doc__, remote.__name__ = method.__doc__, method.__name__
    return remote


shape_of = cache(inspect.signature)


def arguments(shape: inspect.Signature, positional: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Return a call's arguments by name, as the method itself would take them; raises TypeError as it would."""
    bound = shape.bind(None, *positional, **named).arguments
    found: dict[str, Any] = {}
    for name, value in bound.items():
        if shape.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found |= value
        elif name not in UNSPOKEN:
            found[name] = value
    return found


def _absolute(name: str, value: Any) -> Any:
    """The owner works in another directory than we do."""
    return str(Path(value).absolute()) if name in PATHS else value


async def ask(link: Link, operation: Operation, signature: Signature, given: dict[str, Any]) -> Any:
    """Send a call and return what it gave."""
    known = {one.name for one in signature.path}
    for model in (signature.query, signature.body):
        known |= set(model.model_fields) if model is not None else set()
    if unknown := sorted(set(given) - known):
        raise InvalidInputError(f"{unknown[0]} cannot be given to a daemon")
    if operation.local:
        given = {name: _absolute(name, value) for name, value in given.items()}
    made = call(operation, signature, link.named, given)
    if link.as_user is not None:
        made = type(made)(made.path, (*made.query, ("as_user", link.as_user)), made.body)
    return answered(signature, await link.transport.send(_sent(link, operation, signature, made)))


def _sent(link: Link, operation: Operation, signature: Signature, made: Call) -> Sent:
    acts, body = operation.effect is Effect.ACTS, signature.body
    return Sent(
        operation=operation,
        call=made,
        caller=link.caller,
        key=link.entropy.token(KEY_BYTES).hex() if acts else "",
        kept=body is not None and "operation_id" in body.model_fields,
    )
