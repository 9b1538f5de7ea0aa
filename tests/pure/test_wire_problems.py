"""Errors over HTTP: every class arrives as the same class, with its words, and nothing else can be raised."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tiered_memory import errors
from tiered_memory.errors import InvalidInputError, StorageError, TieredMemoryError
from tiered_memory.policy.pii_types import PiiType
from tiered_memory.privacy.holds import OnHoldError
from tiered_memory.privacy.pii_masking import PiiRefusedError
from tiered_memory.wire.problems import STATUSES, MalformedError, error_of, problem, problem_of


def every(kind: type[TieredMemoryError]) -> Iterator[type[TieredMemoryError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from every(one)


APART = {MalformedError, PiiRefusedError}
OURS = sorted(set(every(TieredMemoryError)) - APART, key=lambda one: one.__name__)


@pytest.mark.parametrize("kind", OURS, ids=lambda one: one.__name__)
def test_an_error_arrives_as_its_class(kind: type[TieredMemoryError]) -> None:
    told = problem_of(kind("what happened, and what to do"), "r1")
    raised = error_of(told.status, told.document())
    assert type(raised) is kind
    assert str(raised) == "what happened, and what to do"
    assert told.document()["request_id"] == "r1"
    assert told.type == told.type.lower()
    assert 400 <= told.status < 600


def test_a_refusal_of_personal_data_says_of_which_sorts() -> None:
    error = PiiRefusedError([PiiType.EMAIL, PiiType.IBAN])
    told = problem_of(error)
    raised = error_of(told.status, told.document())
    assert isinstance(raised, PiiRefusedError)
    assert (raised.types, str(raised)) == (error.types, str(error))
    later = error_of(told.status, told.document() | {"types": ["EMAIL", "a sort of later", 3]})
    assert later.types == (PiiType.EMAIL,)  # type: ignore[attr-defined]  # it is a PiiRefusedError, as above


def test_there_are_errors_of_every_kind() -> None:
    assert OnHoldError in OURS
    assert len(OURS) > 30


def test_what_is_no_json_is_bad_input_to_clients() -> None:
    told = problem_of(MalformedError())
    assert (told.status, told.error) == (400, "InvalidInputError")
    assert type(error_of(told.status, told.document())) is InvalidInputError


def test_busy_answers_say_when_to_come_back() -> None:
    for kind in OURS:
        told = problem_of(kind())
        assert (dict(told.headers).get("Retry-After") is not None) is (told.status in {503, 504})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, StorageError),
        (400, InvalidInputError),
        (401, errors.UnauthenticatedError),
        (403, errors.AccessDeniedError),
        (404, errors.NotFoundError),
        (408, StorageError),
        (412, errors.ConflictError),
        (413, InvalidInputError),
        (429, StorageError),
        (500, StorageError),
        (502, StorageError),
        (504, errors.OutcomeUnknownError),
    ],
)
@pytest.mark.parametrize(
    "document", [None, [], "x", {"error": "SystemExit", "detail": 3}, {"error": "Exception"}]
)
def test_what_somebody_on_the_way_says_is_typed_by_its_status(
    status: int, kind: type[TieredMemoryError], document: object
) -> None:
    found = error_of(status, document)
    assert type(found) is kind
    assert str(found)


def test_a_problem_of_http_itself_names_no_class() -> None:
    told = problem(405, "not here")
    assert (told.error, told.title) == ("", "Method Not Allowed")
    assert type(error_of(405, told.document())) is InvalidInputError


def test_every_status_is_one_of_an_error() -> None:
    assert set(STATUSES) <= {*OURS, *APART}
