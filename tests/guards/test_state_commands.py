"""Every command of the state store has a handler, which the type checker cannot see."""

from __future__ import annotations

from tiered_memory.state import commands, consents, forgetting, paging, register, revising
from tiered_memory.state.base import Read, Write
from tiered_memory.state.sqlite_verbs import HANDLERS, READERS


def values_of(verb: type) -> set[type]:
    modules = (commands, forgetting, paging, register, consents, revising)
    named = {name: value for module in modules for name, value in vars(module).items()}
    every = [value for value in named.values() if isinstance(value, type)]
    return {value for value in every if issubclass(value, verb) and value is not verb}


def test_every_change_has_a_handler() -> None:
    assert set(HANDLERS) == values_of(Write)


def test_every_question_has_a_reader() -> None:
    assert set(READERS) == values_of(Read)
    assert len(values_of(Read)) > 10
