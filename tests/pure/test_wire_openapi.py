"""The API's description: well-formed, complete, what the codec says, and the committed copy is up to date."""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_values import drawn

from scripts.api_changes import changes, main, operations, resolved
from tiered_memory.wire.codec import answer
from tiered_memory.wire.faces import method_of
from tiered_memory.wire.openapi import STATUSES, description
from tiered_memory.wire.operation import Carries, Operation
from tiered_memory.wire.problems import STATUSES as OF_ERRORS
from tiered_memory.wire.problems import problem_of, status_of
from tiered_memory.wire.signatures import signature_of
from tiered_memory.wire.table import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = json.loads(description())
BY_ID = {one["operationId"]: one for _, one in operations(DOCUMENT)}
FEW = settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
ANSWERING = [one for one in OPERATIONS if signature_of(one, method_of(one)).answer is not None]


def test_the_committed_copy_is_what_the_daemon_says() -> None:
    assert (ROOT / "docs" / "openapi.json").read_bytes() == description(), "run `make docs`"


def test_every_operation_is_described_once() -> None:
    named = Counter(one["operationId"] for _, one in operations(DOCUMENT))
    assert set(named) == {one.name for one in OPERATIONS}
    assert set(named.values()) == {1}


def references(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > len(OPERATIONS)
    assert all(resolved(DOCUMENT, one) for one in found)


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(DOCUMENT["components"]["schemas"][name])
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)


@pytest.mark.parametrize(
    ("where", "one"), list(operations(DOCUMENT)), ids=[where for where, _ in operations(DOCUMENT)]
)
def test_an_operation_is_well_formed(where: str, one: dict[str, Any]) -> None:
    in_path = {each["name"] for each in one["parameters"] if each["in"] == "path"}
    assert in_path == set(re.findall(r"{(\w+)}", where))
    assert all(each["required"] for each in one["parameters"] if each["in"] == "path")
    named = Counter((each["in"], each["name"]) for each in one["parameters"])
    assert set(named.values()) <= {1}
    for each in one["parameters"]:
        jsonschema.Draft202012Validator.check_schema(each["schema"])
        assert each["schema"], each["name"]
    assert one["summary"]
    assert len([code for code in one["responses"] if code.startswith("2")]) == 1
    assert set(STATUSES) <= set(one["responses"])


def test_every_status_of_an_error_is_described() -> None:
    assert {str(status_of(kind)) for kind in OF_ERRORS} <= set(STATUSES)
    told = problem_of(next(iter(OF_ERRORS))("what"), "r1").document()
    validator(DOCUMENT["components"]["schemas"]["Problem"]).validate(told)


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize("one", ANSWERING, ids=lambda one: one.name)
@FEW
@given(st.data())
def test_answers_are_as_described(one: Operation, data: st.DataObject) -> None:
    signature = signature_of(one, method_of(one))
    assert signature.answer is not None
    value = data.draw(drawn(signature.answer.model_fields[signature.item or "root"].annotation))
    schema = BY_ID[one.name]["responses"][str(one.status)]["content"][Carries.JSON.value]["schema"]
    validator(schema).validate(json.loads(answer(signature, value)))


def test_what_only_owners_may_do_says_so() -> None:
    local = {one.name for one in OPERATIONS if one.local}
    assert {name for name, one in BY_ID.items() if "socket only" in one["description"]} == local


# --- what changed --------------------------------------------------------------------------------------------


def changed(edit: Any) -> set[tuple[str, bool]]:
    new = copy.deepcopy(DOCUMENT)
    edit(new)
    return {(one.what, one.breaks) for one in changes(DOCUMENT, new)}


SEARCH = "/v1/tenants/{tenant}/users/{user}/search"


def body_of(document: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = resolved(
        document, document["paths"][SEARCH]["post"]["requestBody"]["content"]["application/json"]["schema"]
    )
    return schema


def test_nothing_changes_by_itself() -> None:
    assert changed(lambda _: None) == set()


@pytest.mark.parametrize(
    ("edit", "what", "breaks"),
    [
        (lambda one: one["paths"].pop(SEARCH), "is gone", True),
        (
            lambda one: one["paths"].update({"/v1/new": {"get": one["paths"]["/v1/stats"]["get"]}}),
            "is new",
            False,
        ),
        (lambda one: body_of(one)["properties"].pop("limit"), "takes no field limit any more", True),
        (
            lambda one: body_of(one)["required"].append("limit"),
            "asks for field limit, which could be left out",
            True,
        ),
        (lambda one: body_of(one)["properties"].update(more={"type": "string"}), "takes field more", False),
        (
            lambda one: body_of(one)["properties"].update(question={"type": "integer"}),
            "takes another field question",
            True,
        ),
        (
            lambda one: one["paths"][SEARCH]["post"].update(operationId="found"),
            "is called found now",
            True,
        ),
        (
            lambda one: one["paths"][SEARCH]["post"]["responses"].update(
                {"202": one["paths"][SEARCH]["post"]["responses"].pop("200")}
            ),
            "answers no status 200 any more",
            True,
        ),
    ],
)
def test_changes_are_told(edit: Any, what: str, breaks: bool) -> None:
    assert (what, breaks) in changed(edit)


def test_the_script_fails_over_what_breaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(DOCUMENT))
    less = copy.deepcopy(DOCUMENT)
    del less["paths"][SEARCH]
    new.write_text(json.dumps(less))
    assert main([str(old), str(new)]) == 1
    assert capsys.readouterr().out == f"BREAKS POST {SEARCH} is gone\n"
    assert main([str(new), str(old)]) == 0
