"""Whatever the public face can do stands in the table of the HTTP API, once, or here with the reason why not."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.wire.faces import FACES, method_of
from tiered_memory.wire.operation import Operation, Root
from tiered_memory.wire.segments import MARK
from tiered_memory.wire.table import OPERATIONS

NOT_SENT = {
    ("STORE", "", "open"): "makes the client itself",
    ("STORE", "", "close"): "closes the client's own connections; a daemon is ended by its operator",
    ("STORE", "", "user"): "names whose face it is: the path begins with it",
    ("STORE", "", "shared"): "names whose face it is: the path begins with it",
    ("STORE", "", "restore"): "makes a data directory, which no daemon serves yet",
    ("STORE", "", "reembed"): "wants the data directory to itself",
    ("STORE", "tenants", "ledger"): "names whose ledger it is: the path begins with it",
    ("STORE", "tenants", "directory"): "is a path of the daemon's machine",
    ("STORE", "ledger", "public_key"): "cannot be awaited: `verification_key` is the same",
    ("LEDGER", "", "public_key"): "cannot be awaited: `verification_key` is the same",
    ("STORE", "api_keys", "verify"): "is what the daemon asks when it lets somebody in",
    ("STORE", "api_keys", "good"): "is what the daemon asks of whom it let in before",
    ("STORE", "api_keys", "any_made"): "is what the daemon asks when it lets somebody in",
    ("STORE", "api_keys", "any_in_force"): "is what the daemon asks when it begins to listen",
    ("USER", "", "subject"): "is known to whoever made the face",
}
PACKAGE = "tiered_memory."


def faces_of(given: Any) -> dict[str, type[Any]]:
    """Return the classes of an object of the public face and of what hangs on it, by attribute."""
    found: dict[str, type[Any]] = {"": type(given)}
    for name in dir(given):
        if name.startswith("_") or inspect.isroutine(inspect.getattr_static(type(given), name, None)):
            continue
        value = getattr(given, name)
        if type(value).__module__.startswith(PACKAGE) and methods_of(type(value)):
            found[name] = type(value)
    return found


def methods_of(kind: type[Any]) -> list[str]:
    """Return the public methods and properties of a class that are of our own making; of plain values there are none."""
    if hasattr(kind, "__dataclass_fields__"):
        return []
    return [name for name in dir(kind) if not name.startswith("_")]


def called(kinds: dict[Root, dict[str, type[Any]]]) -> Iterator[tuple[str, str, str]]:
    """Give every method and property that a caller can reach, but those that lead to another face."""
    for root, faces in kinds.items():
        for attribute, kind in faces.items():
            yield from (
                (root.name, attribute, name)
                for name in methods_of(kind)
                if attribute or name not in faces or name == ""
            )


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[Root, dict[str, type[Any]]]:
    """What hangs on a memory, walked; it need not be open for that."""
    memory = TieredMemory.open(tmp_path_factory.mktemp("walked"))
    return {
        Root.STORE: faces_of(memory),
        Root.USER: faces_of(memory.user("somebody")),
        Root.LEDGER: {"": type(memory.tenants.ledger("tenant"))},
        Root.SHARED: faces_of(memory.shared("plan", caller=Caller(actor="bot"))),
    }


def test_the_faces_are_those_that_a_memory_has(kinds: dict[Root, dict[str, type[Any]]]) -> None:
    assert kinds == FACES


def test_every_method_has_one_line_or_a_reason(kinds: dict[Root, dict[str, type[Any]]]) -> None:
    lines = Counter((one.root.name, one.face, one.method) for one in OPERATIONS if one.remote)
    wanted = {one for one in called(kinds) if one not in NOT_SENT}
    assert set(lines) == wanted
    assert set(lines.values()) == {1}


def test_every_reason_is_about_something(kinds: dict[Root, dict[str, type[Any]]]) -> None:
    assert set(NOT_SENT) <= set(called(kinds))
    assert all(len(reason) > 10 for reason in NOT_SENT.values())


def test_a_second_way_leads_to_a_method_that_has_a_first() -> None:
    first = {(one.root, one.face, one.method) for one in OPERATIONS if one.remote}
    assert {(one.root, one.face, one.method) for one in OPERATIONS if not one.remote} <= first


def test_no_two_operations_share_a_name_or_a_path() -> None:
    assert Counter(one.name for one in OPERATIONS).most_common(1)[0][1] == 1
    assert Counter((one.verb, shape(one)) for one in OPERATIONS).most_common(1)[0][1] == 1


def shape(one: Operation) -> tuple[str, ...]:
    return tuple("{}" if part.startswith("{") else part for part in one.template.split("/"))


def test_no_plain_word_of_a_path_is_an_id_in_disguise() -> None:
    words = {part for one in OPERATIONS for part in one.template.split("/") if not part.startswith("{")}
    assert not any(word.startswith(MARK) for word in words)


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.name)
def test_every_operation_calls_something(one: Operation) -> None:
    method = method_of(one)
    assert inspect.getdoc(method), "the summary of the API's description is the docstring's first paragraph"
    assert one.verb in {"GET", "PUT", "POST", "PATCH", "DELETE"}
    assert inspect.iscoroutinefunction(method) or one.method == "events"


def test_whatever_names_files_is_the_owners_alone() -> None:
    def named(one: Operation) -> set[str]:
        hints = inspect.signature(method_of(one)).parameters
        paths = {name for name, given in hints.items() if "Path" in str(given.annotation)}
        return {name for name in paths if one.narrow.get(name) is str}

    assert {one.name for one in OPERATIONS if named(one)} == {one.name for one in OPERATIONS if one.local}
