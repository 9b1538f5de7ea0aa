"""What an operation takes and gives, read off the method it calls: the types are the public face's own.

Requests are validated strictly (no "1" for 1, no unknown names: pydantic's strict mode), answers leniently, so that
an older client reads what a newer daemon says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, Unpack, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from tiered_memory.wire.bounds import bounded
from tiered_memory.wire.operation import Carries, Operation, Root

STRICT = ConfigDict(
    strict=True,
    extra="forbid",
    ser_json_bytes="base64",
    val_json_bytes="base64",
    ser_json_inf_nan="null",
)
LENIENT = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="null")

FACE_PARAMETERS: dict[Root, tuple[str, ...]] = {
    Root.STORE: (),
    Root.USER: ("tenant", "user"),
    Root.LEDGER: ("tenant",),
    Root.SHARED: ("tenant", "name"),
}
"""The parameters of a path that say whose face it is; the others are the method's."""
UNSPOKEN = frozenset({"self", "progress"})
"""Parameters that stay on the client's side."""
NOTHING = object()
"""In place of a narrower type: the parameter is left out."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method, as the wire knows it; `default` is `inspect.Parameter.empty` where it must be given."""

    name: str
    hint: Any
    default: Any
    expands: bool = False
    """It comes out of a `TypedDict`: what is not given is not passed on."""

    @property
    def required(self) -> bool:
        """Whether a call must give it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operation takes in its path, its query and its body, and what it gives."""

    path: tuple[Parameter, ...]
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    answer: type[BaseModel] | None
    item: str | None
    """The name under which the answer's list ("items") or scalar ("value") stands."""


def parameters(method: Callable[..., Any], narrow: Mapping[str, Any]) -> list[Parameter]:
    """Return a method's parameters in order, those of an unpacked `TypedDict` one by one."""
    hints = get_type_hints(method, include_extras=True)
    found: list[Parameter] = []
    for one in inspect.signature(method).parameters.values():
        if one.name in UNSPOKEN or narrow.get(one.name) is NOTHING:
            continue
        if one.kind is inspect.Parameter.VAR_KEYWORD:
            found += _expanded(hints[one.name], narrow)
            continue
        found.append(Parameter(one.name, _spoken(one.name, hints[one.name], narrow), one.default))
    return found


def _expanded(hint: Any, narrow: Mapping[str, Any]) -> list[Parameter]:
    words = get_args(hint)[0] if get_origin(hint) is Unpack else hint
    hints = get_type_hints(words, include_extras=True)
    required = words.__required_keys__
    return [
        Parameter(name, _spoken(name, one, narrow), None, expands=name not in required)
        for name, one in hints.items()
        if narrow.get(name) is not NOTHING
    ]


def _spoken(name: str, hint: Any, narrow: Mapping[str, Any]) -> Any:
    return narrow[name] if name in narrow else bounded(name, _narrowed(hint))


def _narrowed(hint: Any) -> Any:
    """An enum or its word is the enum's word over the wire, a path stays here, and what may be a list is one."""
    origin, inner = get_origin(hint), tuple(map(_narrowed, get_args(hint)))
    if origin is Collection:
        return list[inner]  # type: ignore[valid-type]
    if origin not in {Union, UnionType}:
        return hint
    kinds = [one for one in inner if one is not Path]
    if any(get_origin(one) is list for one in kinds):
        kinds = [one for one in kinds if get_origin(one) is not tuple]
    if any(isinstance(one, type) and issubclass(one, Enum) for one in kinds):
        kinds = [one for one in kinds if one is not str]
    return Union[tuple(kinds)]  # noqa: UP007 - the members are known at run time only


@cache
def signature_of(operation: Operation, method: Callable[..., Any]) -> Signature:
    """Return what an operation takes and gives, for the method that it calls."""
    every = parameters(method, operation.narrow)
    every += [Parameter(name, hint, None) for name, hint in operation.added.items()]
    in_path = tuple(one for one in every if f"{{{one.name}}}" in operation.path)
    rest = [one for one in every if one not in in_path]
    asks = operation.verb in {"GET", "DELETE"} or operation.takes is not Carries.JSON
    item, answer = _answer(operation, operation.answers or get_type_hints(method).get("return", NoneType))
    return Signature(
        in_path,
        _model(operation, "Query", rest) if asks else None,
        None if asks else _model(operation, "Body", rest),
        answer,
        item,
    )


def _model(operation: Operation, kind: str, given: list[Parameter]) -> type[BaseModel] | None:
    if not given:
        return None
    config = STRICT if kind == "Body" else ConfigDict(**{**STRICT, "strict": False})
    fields: dict[str, Any] = {one.name: (one.hint, _field(one)) for one in given}
    name = f"{_title(operation.name)}{kind}"
    return create_model(name, __config__=ConfigDict(**config, title=name), **fields)


def _field(one: Parameter) -> Any:
    return Field() if one.required else Field(default=one.default)


def _title(name: str) -> str:
    return "".join(word.capitalize() for word in name.replace(".", "_").split("_"))


def _answer(operation: Operation, hint: Any) -> tuple[str | None, type[BaseModel] | None]:
    if hint is NoneType or operation.gives is not Carries.JSON:
        return None, None
    item, name = _item(hint), f"{_title(operation.name)}Answer"
    config = ConfigDict(**LENIENT, title=name)
    if item is not None:
        fields: dict[str, Any] = {item: (hint, Field())}
        return item, create_model(name, __config__=config, **fields)
    return None, type(name, (RootModel[hint],), {"model_config": config, "__module__": __name__})


def _item(hint: Any) -> str | None:
    origin = get_origin(hint)
    if origin in {list, tuple}:
        return "items"
    return "value" if hint in {int, str, bool, float, bytes} or origin in {Union, UnionType} else None
