"""The API's description (OpenAPI 3.1), made from the table; `docs/openapi.json` is its committed copy."""

from __future__ import annotations

import inspect
import json
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from tiered_memory import __version__
from tiered_memory.intake import ID_CHARACTERS
from tiered_memory.model import Interaction, Memory, Receipt
from tiered_memory.wire.bounds import NO_CONTROL
from tiered_memory.wire.faces import method_of
from tiered_memory.wire.headers import ANYTHING, KEY, WORD
from tiered_memory.wire.operation import Carries, Effect, Operation, Root
from tiered_memory.wire.problems import MEDIA_TYPE
from tiered_memory.wire.segments import MARK
from tiered_memory.wire.signatures import FACE_PARAMETERS, Signature, signature_of
from tiered_memory.wire.table import OPERATIONS

REF = "#/components/schemas/{model}"
Schema = dict[str, Any]
NO_FIELD = FieldInfo(annotation=None)
ABOUT = (
    "Memory runtime for AI agents. An id in a path stands as it is when it is made of letters, digits, `_ - @ : .` and"
    f" does not begin with a dot; any other is `{MARK}` and the base64url of its UTF-8 without padding."
)
KEYS = "An API key or an access token. On loopback and over the owner's socket none is asked for while there is no key."
PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {"type": "string", "description": "The class of the error in the library, or empty."},
        "request_id": {"type": "string"},
        "types": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Of text that the policy refuses: the sorts of personal data it holds.",
        },
    },
}
GIVEN: dict[str, str] = {
    "ETag": "The version of the memory, for If-Match and If-None-Match.",
    "Link": 'The address of the next page (`rel="next"`), if there may be one.',
    "Idempotent-Replayed": "`true`: this is the answer that the first request with this key got.",
    "Tiered-Memory-Archive": "What the archive is, as JSON.",
    "Retry-After": "Seconds after which it may be repeated.",
    "Allow": "The methods that the path has.",
    "WWW-Authenticate": "That a bearer credential is asked for.",
}
"""Headers of answers."""
OF_STATUS = {
    "401": ("WWW-Authenticate",),
    "405": ("Allow",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}
UNMARKED = f"^(?!{MARK}){NO_CONTROL[1:]}"
ENTITY_TAG = '^(\\*|"[0-9]{1,9}")$'
HEADERS: dict[str, tuple[str, str]] = {
    "Tiered-Memory-Role": (
        WORD,
        "The role of the access table in which the call is made (`agent`, or else the key's own).",
    ),
    "Tiered-Memory-Actor": (WORD, "Who calls, opaque; other text is percent-encoded UTF-8."),
    "Tiered-Memory-Context": (WORD, "In which connection, a category; a space is `%20`."),
}
"""Headers that say who calls: the pattern of those that need no encoding, and what they mean."""
STATUSES = {
    "400": "The body is not JSON.",
    "401": "The credential is missing or not in force.",
    "403": "The credential, the role or a missing consent does not allow it.",
    "404": "There is no such thing.",
    "405": "The path does not take that method.",
    "408": "The body did not come in time.",
    "409": "It conflicts with what is held, or was used before for something else.",
    "410": "The person was erased meanwhile.",
    "412": "It was changed since it was read.",
    "413": "The body is too long.",
    "414": "The path is too long.",
    "415": "The body must be JSON.",
    "422": "Something given is not acceptable; nothing was stored.",
    "423": "The processing of this person's data is restricted.",
    "429": "This credential asks too often.",
    "431": "The headers are too long.",
    "500": "What is stored does not verify, or an unforeseen error, which the log has.",
    "503": "It cannot be done now; repeat it after a pause.",
    "504": "The outcome is unknown; repeat it with the same key.",
    "507": "The disk is full; nothing was stored.",
}


@cache
def description() -> bytes:
    """Return the description as JSON, the same bytes every time."""
    return json.dumps(document(), indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def document() -> Schema:
    """Return the description."""
    signatures = {one: signature_of(one, method_of(one)) for one in OPERATIONS}
    refs, defined = _schemas(signatures)
    paths: dict[str, Schema] = {}
    for one, signature in signatures.items():
        paths.setdefault(one.template, {})[one.verb.lower()] = _operation(one, signature, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "tiered_memory", "version": __version__, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": defined | {"Problem": PROBLEM},
            "responses": {f"Problem{code}": _problem(code) for code in STATUSES},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": KEYS}},
        },
        "security": [{"key": []}, {}],
    }


Refs = dict[tuple[Any, JsonSchemaMode], Schema]


def _schemas(signatures: dict[Operation, Signature]) -> tuple[Refs, Schema]:
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for one in signatures.values():
        wanted += [(model, "validation") for model in (one.query, one.body) if model is not None]
        wanted += [(one.answer, "serialization")] if one.answer is not None else []
    refs, found = models_json_schema(wanted, ref_template=REF)
    return dict(refs), found.get("$defs", {})


def _operation(one: Operation, signature: Signature, refs: Refs) -> Schema:
    told = inspect.getdoc(method_of(one)) or ""
    shown: Schema = {
        "operationId": one.name,
        "tags": [one.name.partition(".")[0]],
        "summary": told.split("\n\n")[0].replace("\n", " "),
        "description": f"Scope: `{one.grant.value}`."
        + (" Over the owner's socket only." if one.local else ""),
        "parameters": _parameters(one, signature),
        "responses": _responses(one, signature, refs),
    }
    if (body := _body(one, signature, refs)) is not None:
        shown["requestBody"] = body
    return shown


def _parameters(one: Operation, signature: Signature) -> list[Schema]:
    segment = {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS, "pattern": UNMARKED}
    found = [_parameter("path", name, segment) for name in FACE_PARAMETERS[one.root]]
    found += [
        _parameter("path", given.name, TypeAdapter(given.hint).json_schema()) for given in signature.path
    ]
    found += _queried(signature)
    if one.root is Root.SHARED:
        found.append(_parameter("query", "as_user", segment, required=False))
    found += [_header(name, pattern, about) for name, (pattern, about) in HEADERS.items()]
    if one.effect is Effect.ACTS:
        found.append(_header("Idempotency-Key", KEY, "Repeats of a request with the same key act once."))
    if any(given.name == "memory_id" for given in signature.path):
        found.append(_header("If-Match", ENTITY_TAG, "Act on this version alone, else it is a 412."))
    if _is_memory(signature) and one.verb == "GET":
        found.append(_header("If-None-Match", ANYTHING, "What was read before: the same is not sent again."))
    return found


def _is_memory(signature: Signature) -> bool:
    """Tell whether an answer is one memory, which has a version."""
    return (
        signature.answer is not None
        and signature.answer.model_fields.get("root", NO_FIELD).annotation is Memory
    )


def _queried(signature: Signature) -> list[Schema]:
    if signature.query is None:
        return []
    schema = signature.query.model_json_schema()
    required = schema.get("required", [])
    defs = schema.get("$defs", {})
    return [
        _parameter("query", name, _inlined(one, defs), required=name in required)
        for name, one in schema["properties"].items()
    ]


def _inlined(schema: Schema, defs: Schema) -> Schema:
    """A query has no null: what may be None is left out instead."""
    if "$ref" in schema:
        return dict(defs[schema["$ref"].rpartition("/")[2]])
    kinds = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    rest = {name: one for name, one in schema.items() if name not in {"anyOf", "default", "title"}}
    if len(kinds) == 1:
        return rest | _inlined(kinds[0], defs)
    return rest | ({"anyOf": kinds} if kinds else {})


def _parameter(where: str, name: str, schema: Schema, *, required: bool = True) -> Schema:
    return {"in": where, "name": name, "required": required, "schema": schema}


def _header(name: str, pattern: str, about: str) -> Schema:
    schema = {"type": "string", "pattern": pattern}
    return _parameter("header", name, schema, required=False) | {"description": about}


def _body(one: Operation, signature: Signature, refs: Refs) -> Schema | None:
    if one.takes is Carries.LINES:
        lines = _content(one.takes.value, {"type": "string"}, f"One {Interaction.__name__} a line, as JSON.")
        return lines | {"required": True}
    if one.takes is Carries.ARCHIVE:
        archive = _content(Carries.ARCHIVE.value, {"type": "string", "format": "binary"}, "An archive.")
        return archive | {"required": True}
    if signature.body is None:
        return None
    required = any(field.is_required() for field in signature.body.model_fields.values())
    return _content(one.takes.value, refs[signature.body, "validation"]) | {"required": required}


def _responses(one: Operation, signature: Signature, refs: Refs) -> Schema:
    found: Schema = {code: {"$ref": f"#/components/responses/Problem{code}"} for code in STATUSES}
    found[str(one.status)] = _success(one, signature, refs) | _headers(*_given(one, signature))
    if _is_memory(signature) and one.verb == "GET":
        found["304"] = {"description": "It is as it was read."} | _headers("ETag")
    return found


def _given(one: Operation, signature: Signature) -> list[str]:
    told = {
        "ETag": _is_memory(signature),
        "Link": "cursor" in one.added,
        "Idempotent-Replayed": one.effect is Effect.ACTS and one.takes is Carries.JSON,
        "Tiered-Memory-Archive": one.gives is Carries.ARCHIVE,
    }
    return [name for name, is_given in told.items() if is_given]


def _headers(*names: str) -> Schema:
    shown = {name: {"description": GIVEN[name], "schema": {"type": "string"}} for name in names}
    return {"headers": shown} if shown else {}


def _success(one: Operation, signature: Signature, refs: Refs) -> Schema:
    if one.gives is Carries.LINES:
        what = {"memories.stream_in": Receipt, "memories.stream_out": Memory}.get(one.name)
        told = f"One {what.__name__ if what else 'MemoryEvent'} a line, as JSON."
        return _content(one.gives.value, {"type": "string"}, told)
    if one.gives is Carries.ARCHIVE:
        archive = _content(Carries.ARCHIVE.value, {"type": "string", "format": "binary"}, "An archive.")
        return archive | {"required": True}
    if signature.answer is None:
        return {"description": "Done."}
    return _content("application/json", refs[signature.answer, "serialization"], "Done.")


def _content(media_type: str, schema: Schema, told: str = "") -> Schema:
    return {"content": {media_type: {"schema": schema}}} | ({"description": told} if told else {})


def _problem(code: str) -> Schema:
    shown = _content(MEDIA_TYPE, {"$ref": REF.format(model="Problem")}, STATUSES[code])
    return shown | _headers(*OF_STATUS.get(code, ()))
