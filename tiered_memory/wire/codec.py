"""Calls and answers as bytes, both ways. The daemon decodes strictly; the client believes its daemon."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from tiered_memory.errors import InvalidInputError, StorageError
from tiered_memory.wire.operation import Operation
from tiered_memory.wire.problems import MalformedError
from tiered_memory.wire.segments import to_segment
from tiered_memory.wire.signatures import STRICT, Signature

SHOWN_FAULTS = 10
NOT_OURS = "what answered is no daemon of this version, or something on the way to it: check the address"
NO_BODY = "this operation takes no body"


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """A call ready to be sent: its path, its query (encoded words), its body."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


# --- the daemon's side ---------------------------------------------------------------------------------------


def arguments(
    signature: Signature, path: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes
) -> dict[str, Any]:
    """Return the method's arguments: what the request gives, nothing else.

    Raises:
        MalformedError: the body is not JSON.
        InvalidInputError: it is not what the operation takes; the message names the fields, never their values.
    """
    found: dict[str, Any] = {one.name: _checked(one.hint, one.name, path[one.name]) for one in signature.path}
    found |= _queried(signature.query, query)
    return found | _said(signature.body, body)


def _checked(hint: Any, name: str, text: str) -> Any:
    try:
        return _adapter(hint).validate_strings(text, strict=True)
    except ValidationError as error:
        raise InvalidInputError(
            f"{name} in the path: {error.errors(include_input=False)[0]['msg']}"
        ) from None


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


def _queried(model: type[BaseModel] | None, query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    given: dict[str, str] = {}
    for name, text in query:
        if name in given:
            raise InvalidInputError("a parameter of the query is given twice")
        given[name] = text
    if model is None:
        if given:
            raise InvalidInputError("this operation takes no query")
        return {}
    try:
        return _set_fields(model.model_validate_strings(given, strict=True))
    except ValidationError as error:
        raise _refused(error) from None


def _said(model: type[BaseModel] | None, body: bytes) -> dict[str, Any]:
    if model is None:
        if body.strip() not in {b"", b"{}"}:
            raise InvalidInputError(NO_BODY)
        return {}
    try:
        return _set_fields(model.model_validate_json(body if body.strip() else b"{}"))
    except ValidationError as error:
        raise _refused(error) from None


def _set_fields(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in model.model_fields_set}


def _refused(error: ValidationError) -> InvalidInputError:
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    if faults[0]["type"] == "json_invalid":
        return MalformedError("the body is not JSON, or nested too deeply")
    told = [f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in faults[:SHOWN_FAULTS]]
    return InvalidInputError("; ".join(told))


def answer(signature: Signature, value: Any) -> bytes:
    """Return what a method gave as JSON; empty for nothing."""
    if signature.answer is None:
        return b""
    name = signature.item or "root"
    made = signature.answer.model_construct(_fields_set={name}, **{name: value})
    return made.__pydantic_serializer__.to_json(made, warnings=False, fallback=_plain)


def _plain(value: Any) -> Any:
    """The library writes a `dict`, and no other mapping."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form on the wire")


def line(value: Any) -> bytes:
    """Return a value as one line of a stream."""
    return to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=_plain) + b"\n"


def parsed(hint: Any, text: bytes) -> Any:
    """Return one line of a stream as a value of type `hint`; raises as `arguments` does."""
    try:
        found = _strict_adapter(hint).validate_json(b"[" + text + b"]")
    except ValidationError as error:
        raise _refused(error) from None
    if len(found) != 1:
        raise MalformedError("a line must be one JSON object")
    return found[0]


@cache
def _strict_adapter(hint: Any) -> TypeAdapter[Any]:
    """Of a list, because a dataclass alone takes no configuration from outside, and would pass over unknown names."""
    return TypeAdapter(list[hint], config=STRICT)


# --- the client's side ---------------------------------------------------------------------------------------


def call(
    operation: Operation, signature: Signature, face: Mapping[str, str], given: Mapping[str, Any]
) -> Call:
    """Return a call with the arguments `given` of the face that `face` says.

    None is said in a body (it may lift a bound), and in a query it stands for what is not given.

    Raises:
        InvalidInputError: an argument cannot be said over the wire.
    """
    rest = dict(given)
    names = {**face, **{one.name: str(rest.pop(one.name)) for one in signature.path}}
    path = operation.template.format(**{name: to_segment(text) for name, text in names.items()})
    if signature.body is None:
        return Call(path, tuple((name, _word(one)) for name, one in rest.items() if one is not None))
    return Call(path, body=_json(rest))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise InvalidInputError("an argument cannot be said to a daemon: give a number, a word, or a time")


def _json(given: Mapping[str, Any]) -> bytes:
    try:
        return to_json(dict(given), bytes_mode="base64", fallback=_plain)
    except (PydanticSerializationError, TypeError, ValueError):
        raise InvalidInputError("an argument cannot be written as JSON") from None


def answered(signature: Signature, body: bytes) -> Any:
    """Return what an answer says, as the method would have given it; raises StorageError for what no daemon says."""
    if signature.answer is None:
        return None
    try:
        return getattr(signature.answer.model_validate_json(body), signature.item or "root")
    except ValidationError:
        raise StorageError(NOT_OURS) from None


def believed(hint: Any, text: bytes) -> Any:
    """Return what a daemon says as a value of type `hint`; raises StorageError for what none says."""
    try:
        return _adapter(hint).validate_json(text)
    except ValidationError:
        raise StorageError(NOT_OURS) from None


def document(body: bytes) -> Any:
    """Return a body as JSON; None for what is none."""
    try:
        return from_json(body)
    except ValueError:
        return None


def header_document(value: Any) -> str:
    """Return a value as JSON that may stand in a header (ASCII)."""
    return json.dumps(from_json(line(value)), ensure_ascii=True, separators=(",", ":"))
