"""An issuer's keys are fetched once, again when they are old or unknown, and never oftener than allowed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import anyio
import pytest
from token_issuer import AUDIENCE, ISSUER, JWK_OF, Issuer, encoded, private_key, public_jwk, serving

from tiered_memory.daemon.claims import TokenRules
from tiered_memory.daemon.key_set import MOST_BYTES, keys_in
from tiered_memory.daemon.tokens import Tokens
from tiered_memory.errors import IssuerUnavailableError, UnauthenticatedError
from tiered_memory.testing import ManualClock

pytestmark = pytest.mark.anyio

RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE, jwks_file="unread.json")
KEYS = RULES.algorithms


@pytest.fixture
def issuer(clock: ManualClock) -> Issuer:
    return Issuer(clock.now().timestamp())


@pytest.fixture
def tokens(issuer: Issuer, clock: ManualClock) -> Tokens:
    return Tokens(RULES, clock, issuer.fetch)


async def refused(tokens: Tokens, token: Any) -> str:
    with pytest.raises(UnauthenticatedError) as told:
        await tokens.verify(token)
    return str(told.value)


async def test_keys_are_fetched_once_and_again_when_they_are_old(
    tokens: Tokens, issuer: Issuer, clock: ManualClock
) -> None:
    for _ in range(5):
        await tokens.verify(issuer.token("EdDSA"))
    assert issuer.asked == 1
    clock.advance(RULES.keys_seconds)
    await tokens.verify(issuer.token("EdDSA", exp=issuer.now + 10_000))
    assert issuer.asked == 2


async def test_a_new_key_is_found_and_a_withdrawn_one_forgotten(
    tokens: Tokens, issuer: Issuer, clock: ManualClock
) -> None:
    fresh = private_key("ES256", 1)
    await tokens.verify(issuer.token("ES256"))
    issuer.keys = [public_jwk("ES256", "next", key=fresh)]
    clock.advance(RULES.refetch_seconds)
    await tokens.verify(issuer.token("ES256", kid="next", key=fresh))
    assert issuer.asked == 2
    await refused(tokens, issuer.token("ES256"))


async def test_unknown_key_ids_ask_the_issuer_no_oftener_than_allowed(
    tokens: Tokens, issuer: Issuer, clock: ManualClock
) -> None:
    await tokens.verify(issuer.token("EdDSA"))
    for second in range(100):
        await refused(tokens, issuer.token("EdDSA", kid=f"guess {second}"))
        clock.advance(1)
    assert issuer.asked <= 1 + 100 / RULES.refetch_seconds
    await tokens.verify(issuer.token("EdDSA"))


async def test_many_at_once_ask_the_issuer_once(tokens: Tokens, issuer: Issuer) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(tokens.verify, issuer.token("EdDSA"))
    assert issuer.asked == 1


async def test_an_issuer_that_is_down_stops_nobody_for_a_while(
    tokens: Tokens, issuer: Issuer, clock: ManualClock
) -> None:
    token = issuer.token("EdDSA", exp=issuer.now + 10 * RULES.stale_seconds)
    await tokens.verify(token)
    issuer.status = 503
    clock.advance(RULES.stale_seconds - 1)
    await tokens.verify(token)
    clock.advance(1)
    with pytest.raises(IssuerUnavailableError):
        await tokens.verify(token)
    issuer.status = 200
    clock.advance(RULES.refetch_seconds)
    await tokens.verify(token)


async def test_who_has_keys_does_not_wait_for_a_slow_issuer(clock: ManualClock, issuer: Issuer) -> None:
    asked, answer = anyio.Event(), anyio.Event()

    async def slow() -> bytes:
        if issuer.asked:
            asked.set()
            await answer.wait()
        return await issuer.fetch()

    tokens = Tokens(RULES, clock, slow)
    await tokens.verify(issuer.token("EdDSA"))
    clock.advance(RULES.keys_seconds)
    token = issuer.token("EdDSA", exp=issuer.now + 10_000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tokens.verify, token)
        await asked.wait()
        with anyio.fail_after(5):
            await tokens.verify(token)
        answer.set()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [7, null, {}]}',
        b'{"keys": ' + b"[" * 100_000,
        json.dumps({"keys": [{"kty": "RSA"}] * 101}).encode(),
    ],
)
async def test_what_is_no_set_of_keys_takes_no_set_s_place(
    tokens: Tokens, issuer: Issuer, clock: ManualClock, body: bytes
) -> None:
    await tokens.verify(issuer.token("EdDSA"))
    issuer.body = body
    clock.advance(RULES.keys_seconds)
    await tokens.verify(issuer.token("EdDSA", exp=issuer.now + 10_000))
    assert issuer.asked == 2


def test_only_public_strong_signing_keys_are_taken_up() -> None:
    secret = {"kty": "oct", "k": encoded(b"k" * 32), "kid": "oct", "alg": "HS256"}
    private = {**json.loads(JWK_OF["EdDSA"].to_jwk(private_key("EdDSA"))), "kid": "private"}
    weak = public_jwk("RS256", "weak", key=private_key("RS256", 0, 1024))
    others = [
        public_jwk("RS256", "enc", use="enc"),
        public_jwk("RS256", "ps", alg="PS256"),
        public_jwk("RS256", "confused", alg="HS256"),
        {**public_jwk("EdDSA", None), "kid": 7},
    ]
    good = [public_jwk(one, one, use="sig") for one in KEYS]
    document = json.dumps({"keys": [secret, private, weak, *others, *good]}).encode()
    assert keys_in(document, KEYS).keys() == set(KEYS)
    with pytest.raises(ValueError, match="no key"):
        keys_in(json.dumps({"keys": [secret, private, weak, *others]}).encode(), KEYS)


async def test_keys_are_fetched_over_http(clock: ManualClock, issuer: Issuer) -> None:
    with serving(issuer) as url:
        tokens = Tokens(replace(RULES, jwks_file=None, jwks_url=url), clock)
        await tokens.verify(issuer.token("RS256"))
        await tokens.verify(issuer.token("ES256"))
        assert issuer.asked == 1
        fresh = private_key("EdDSA", 1)
        issuer.keys.append(public_jwk("EdDSA", "next", key=fresh))
        clock.advance(RULES.refetch_seconds)
        await tokens.verify(issuer.token("EdDSA", kid="next", key=fresh))
        assert issuer.asked == 2


@pytest.mark.parametrize(("status", "padding"), [(302, 0), (404, 0), (500, 0), (200, MOST_BYTES)])
async def test_an_answer_that_is_none_gives_no_keys(
    clock: ManualClock, issuer: Issuer, status: int, padding: int
) -> None:
    issuer.status, issuer.body = status, issuer.document() + b" " * padding
    with serving(issuer) as url:
        tokens = Tokens(replace(RULES, jwks_file=None, jwks_url=url), clock)
        with pytest.raises(IssuerUnavailableError):
            await tokens.verify(issuer.token())
        assert issuer.asked == 1


async def test_an_issuer_that_is_not_there_gives_no_keys(clock: ManualClock, issuer: Issuer) -> None:
    with serving(issuer) as url:
        pass
    tokens = Tokens(replace(RULES, jwks_file=None, jwks_url=url), clock)
    with pytest.raises(IssuerUnavailableError):
        await tokens.verify(issuer.token())
