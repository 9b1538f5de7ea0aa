"""What is said over the wire is what was meant: every operation's arguments and answers, there and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from likeness import alike
from pydantic import BaseModel
from wire_values import IDS, drawn

from tiered_memory.errors import InvalidInputError
from tiered_memory.model import Interaction, Memory
from tiered_memory.wire.codec import answer, answered, arguments, believed, call, line, parsed
from tiered_memory.wire.faces import method_of
from tiered_memory.wire.openapi import document
from tiered_memory.wire.operation import Carries, Operation
from tiered_memory.wire.segments import from_segment
from tiered_memory.wire.signatures import FACE_PARAMETERS, Signature, signature_of
from tiered_memory.wire.table import OPERATIONS, by_name

FEW = settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
ANSWERING = [one for one in OPERATIONS if one.gives is Carries.JSON]


def signature(one: Operation) -> Signature:
    return signature_of(one, method_of(one))


def given_to(one: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of an operation's method, some of them left out."""
    model = signature(one).body or signature(one).query
    path = {word.name: drawn(word.hint) for word in signature(one).path}
    if model is None:
        return st.fixed_dictionaries(path)
    hints = {name: drawn(field.rebuild_annotation()) for name, field in model.model_fields.items()}
    needed = {name: one for name, one in hints.items() if model.model_fields[name].is_required()}
    others = {name: one for name, one in hints.items() if name not in needed}
    return st.fixed_dictionaries(path | needed, optional=others)


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.name)
@FEW
@given(st.data())
def test_arguments_arrive_as_they_were_given(one: Operation, data: st.DataObject) -> None:
    told = data.draw(given_to(one))
    face = {name: data.draw(IDS) for name in FACE_PARAMETERS[one.root]}
    made = call(one, signature(one), face, told)
    segments = dict(zip(one.template.split("/"), made.path.split("/"), strict=True))
    path = {name[1:-1]: from_segment(text) for name, text in segments.items() if name.startswith("{")}
    assert {name: path[name] for name in face} == face
    heard = arguments(signature(one), path, made.query, made.body or b"")
    wanted = told if made.body is not None else {name: one for name, one in told.items() if one is not None}
    alike({name: heard[name] for name in wanted}, wanted)
    assert heard.keys() == wanted.keys()


@pytest.mark.parametrize("one", ANSWERING, ids=lambda one: one.name)
@FEW
@given(st.data())
def test_answers_arrive_as_they_were_given(one: Operation, data: st.DataObject) -> None:
    model = signature(one).answer
    if model is None:
        assert answered(signature(one), answer(signature(one), None)) is None
        return
    value = data.draw(drawn(model.model_fields[signature(one).item or "root"].annotation))
    alike(answered(signature(one), answer(signature(one), value)), value)


@pytest.mark.parametrize("name", ["memories.add", "memories.page", "api_keys.create"])
def test_unknown_names_are_refused_by_name_alone(name: str) -> None:
    one = by_name()[name]
    query, body = (
        ([("secret", "canary")], b"") if signature(one).body is None else ([], b'{"secret": "canary"}')
    )
    with pytest.raises(InvalidInputError, match="secret") as told:
        arguments(signature(one), {}, query, body)
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"[" * 100_000, b'{"content": 1}', b"\xff", b"null", b'"x"', b'{"content": "\\ud800"}'],
)
def test_bodies_that_are_none_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        arguments(signature(by_name()["memories.add"]), {}, [], body)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("memories.list", b'{"where": {"min_importanc": 0.5}}'),
        ("memories.add_many", b'{"interactions": [{"content": "x", "purpos": "y"}]}'),
        ("memories.add", b'{"content": "x", "provenance": {"sourc": "tool"}}'),
        (
            "holds.place",
            b'{"name":"n","owner":"o","reason":"r","review_at":"2030-01-01T00:00:00Z","scope":{"tennant":"a"}}',
        ),
    ],
)
def test_unknown_names_are_refused_within_values_too(name: str, body: bytes) -> None:
    with pytest.raises(InvalidInputError, match="nexpected keyword"):
        arguments(signature(by_name()[name]), {}, [], body)


@pytest.mark.parametrize(
    "text", [b"{}", b"{},{}", b"", b'{"content": "x"}, {"content": "y"}', b'{"content": "x", "y": 1}', b"]["]
)
def test_lines_that_are_none_are_refused(text: bytes) -> None:
    with pytest.raises(InvalidInputError):
        parsed(Interaction, text)


def test_a_query_says_a_thing_once() -> None:
    with pytest.raises(InvalidInputError, match="twice"):
        arguments(signature(by_name()["memories.page"]), {}, [("limit", "1"), ("limit", "2")], b"")


@pytest.mark.parametrize("value", ["lone \ud800", "\udfff"])
def test_lone_surrogates_are_a_typed_error(value: str) -> None:
    one = by_name()["memories.add"]
    for face, told in (
        ({"tenant": "t", "user": value}, {"content": "x"}),
        ({"tenant": "t", "user": "u"}, {"content": value}),
    ):
        with pytest.raises(InvalidInputError):
            call(one, signature(one), face, told)
    page = by_name()["memories.page"]
    with pytest.raises(InvalidInputError):
        call(page, signature(page), {"tenant": "t", "user": "u"}, {"limit": object()})


@given(st.data())
@FEW
def test_lines_are_one_line_each(data: st.DataObject) -> None:
    for kind in (Interaction, Memory):
        value = data.draw(drawn(kind))
        said = line(value)
        assert said.count(b"\n") == 1
        alike(believed(kind, said), value)
    told = data.draw(drawn(Interaction))
    alike(parsed(Interaction, line(told)), told)


def test_the_description_has_a_schema_for_every_model() -> None:
    named = document()["components"]["schemas"]
    for one in OPERATIONS:
        models: list[type[BaseModel] | None] = [signature(one).body, signature(one).answer]
        assert all(model.__name__ in named for model in models if model is not None)
