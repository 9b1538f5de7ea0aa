"""The store that a module's tests share, by each of its doors."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator

import pytest
from acceptance_house import DOORS, House, Side, house


@pytest.fixture(scope="module")
async def shared_house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture(params=DOORS)
def side(request: pytest.FixtureRequest, shared_house: House) -> Iterator[Side]:
    """Give a door; afterwards it is looked whether the test asked there for what it says it asks for."""
    before = len(shared_house.served)
    made = Side(shared_house, request.param)
    yield made
    said = set(getattr(request.function, "walks", ()))
    if made.is_remote:
        assert said <= {name for name, _ in shared_house.served[before:]}


@pytest.fixture(autouse=True)
def _quiet_engine() -> None:
    """The cold tier says at its opening which of its engine's warnings it knows of; pytest forgets it after a test."""
    warnings.filterwarnings("ignore", message=r"optimize\(cleanup_older_than=0\)")
