"""What people's rights do to a running memory and to its oracle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from expected import CONSENTED, Consent, Person
from sayings import Saying, interaction
from twin import Twin

from tiered_memory.errors import InvalidInputError, NotFoundError, RestrictedError


async def refuse(twin: Twin, name: str, purpose: str) -> None:
    """Refuse a purpose: after a consent that is its end, and nothing is kept for it from then on."""
    user, person = twin.user(name), twin.touch(name)
    if purpose not in CONSENTED:
        with pytest.raises(InvalidInputError):
            await user.consent.refuse(purpose, notice="notice 1")
        return
    await user.consent.refuse(purpose, notice="notice 1")
    person.established = True
    person.withdraw(purpose)
    person.consents[purpose] = Consent(open=False)


async def correct(twin: Twin, name: str, memory_id: str) -> None:
    """Correct what a memory says: its text is another one everywhere, and nothing else of it changes."""
    user, person = twin.user(name), twin.touch(name)
    item = person.items.get(memory_id)
    content = f"{name} w{next(twin.words)} says hello"
    if item is None or item.purge_us is not None:
        with pytest.raises(NotFoundError):
            await user.update(memory_id, content, reason="it was wrong")
        return
    done = await user.update(memory_id, content, reason="it was wrong")
    assert (done.memory.id, done.memory.content) == (memory_id, content)
    assert [one.memory.content for one in await user.history(memory_id)][-2:] == [item.content, content]
    item.content = content
    _reword(person, memory_id, content)


def _reword(person: Person, memory_id: str, content: str) -> None:
    for session in person.sessions.values():
        session.turns = [
            replace(one, content=content) if one.id == memory_id else one for one in session.turns
        ]
        session.perhaps += [replace(one, content=content) for one in session.perhaps if one.id == memory_id]


async def freeze_and_free(twin: Twin, name: str) -> None:
    """While a user is restricted nothing is served or taken in; afterwards all is as it was."""
    user, person = twin.user(name), twin.touch(name)
    await user.rights.restrict(reason="contested")
    person.established = True
    person.write()
    with pytest.raises(RestrictedError):
        await user.list()
    with pytest.raises(RestrictedError):
        await user.search("hello")
    with pytest.raises(RestrictedError):
        await user.add_many([interaction(f"{name} says in vain", Saying())])
    await twin.memory.drain()
    await user.rights.lift_restriction(reason="settled")
    for one in twin.people.values():
        one.write()


async def keep_apart_and_release(twin: Twin, name: str, memory_id: str) -> None:
    """What is quarantined is not listed; released it is what it was, and in no session."""
    user, person = twin.user(name), twin.touch(name)
    item = person.items.get(memory_id)
    if item is None or item.state is None or item.purge_us is not None:
        with pytest.raises(NotFoundError):
            await user.quarantine.put(memory_id, reason="odd")
        return
    await user.quarantine.put(memory_id, reason="odd")
    assert memory_id not in {one.id for one in await user.list(limit=10_000)}
    assert [one.id for one in await user.quarantine.list()] == [memory_id]
    assert (await user.quarantine.release(memory_id, reason="fine")).content == item.content
    for session in person.sessions.values():
        session.doubt([turn for turn in session.turns if turn.id == memory_id])
