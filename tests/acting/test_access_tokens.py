"""Access tokens: only what the issuer signed for this service, and what is good now, is accepted."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_issuer import AUDIENCE, ISSUER, Issuer, encoded, private_key, public_jwk

from tiered_memory.daemon.claims import TokenRules
from tiered_memory.daemon.tokens import Tokens, looks_like_token
from tiered_memory.errors import IssuerUnavailableError, UnauthenticatedError
from tiered_memory.principals import Grant
from tiered_memory.privacy.api_keys import key_text
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


# --- what is accepted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_token_of_the_issuer_is_accepted(tokens: Tokens, issuer: Issuer, algorithm: str) -> None:
    found = await tokens.verify(issuer.token(algorithm, scope="memories:read rights other"))
    assert (found.name, found.user, found.tenant) == ("alice", "alice", "default")
    assert found.grants == {Grant.READ, Grant.RIGHTS}


async def test_one_of_several_audiences_is_this_one(tokens: Tokens, issuer: Issuer) -> None:
    await tokens.verify(issuer.token(aud=["elsewhere", AUDIENCE]))


async def test_without_a_key_id_the_only_key_is_meant(clock: ManualClock, issuer: Issuer) -> None:
    several = Tokens(RULES, clock, issuer.fetch)
    await refused(several, issuer.token(kid=None))
    issuer.keys = [public_jwk("RS256", None)]
    only = Tokens(RULES, clock, issuer.fetch)
    await only.verify(issuer.token(kid=None))
    await refused(only, issuer.token(kid="other"))


async def test_keys_are_read_from_a_file_and_from_it_again(
    tmp_path: Path, clock: ManualClock, issuer: Issuer
) -> None:
    path = tmp_path / "jwks.json"
    tokens = Tokens(replace(RULES, jwks_file=str(path)), clock)
    with pytest.raises(IssuerUnavailableError):
        await tokens.verify(issuer.token())
    issuer.publish(path)
    clock.advance(RULES.refetch_seconds)
    await tokens.verify(issuer.token())


# --- what is not ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "elsewhere"},
        {"aud": ["elsewhere"]},
        {"aud": []},
        {"aud": None},
        {"iss": "https://id.example/"},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
    ],
)
async def test_claims_that_are_not_for_here_and_now_are_refused(
    tokens: Tokens, issuer: Issuer, changed: dict[str, Any]
) -> None:
    await refused(tokens, issuer.token("EdDSA", **changed))
    await tokens.verify(issuer.token("EdDSA"))


async def test_it_expires(tokens: Tokens, issuer: Issuer, clock: ManualClock) -> None:
    token = issuer.token("ES256", exp=issuer.now + 60)
    clock.advance(60 + RULES.leeway_seconds - 1)
    await tokens.verify(token)
    clock.advance(1)
    await refused(tokens, token)


async def test_none_is_no_algorithm(tokens: Tokens, issuer: Issuer) -> None:
    for word in ("none", "None", "NONE", ""):
        header = encoded({"alg": word, "kid": "RS256", "typ": "JWT"})
        for signature in ("", encoded(b"x")):
            await refused(tokens, f"{header}.{encoded(issuer.claims())}.{signature}")


async def test_a_public_key_is_no_shared_secret(tokens: Tokens, issuer: Issuer) -> None:
    """The classic confusion of algorithms: what everybody knows, used to sign with HMAC."""
    public = [json.dumps(one).encode() for one in issuer.keys] + [_pem("RS256"), _pem("ES256"), b""]
    for secret in public:
        for kid in ("RS256", "ES256", None):
            header = encoded({"alg": "HS256", **({"kid": kid} if kid else {})})
            signed = f"{header}.{encoded(issuer.claims())}"
            mac = hmac.digest(secret, signed.encode(), "sha256")
            await refused(tokens, f"{signed}.{encoded(mac)}")


def _pem(algorithm: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = (
        private_key(algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return pem


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_forged_signature_is_refused(tokens: Tokens, issuer: Issuer, algorithm: str) -> None:
    await refused(tokens, issuer.token(algorithm, key=private_key(algorithm, 1)))
    head, body, signature = issuer.token(algorithm).split(".")
    richer = encoded(issuer.claims(scope="admin"))
    await refused(tokens, f"{head}.{richer}.{signature}")
    await refused(tokens, f"{head}.{body}.")
    await refused(tokens, f"{head}.{body}.{encoded(bytes(64))}")


async def test_a_key_of_another_algorithm_verifies_nothing(tokens: Tokens, issuer: Issuer) -> None:
    await refused(tokens, issuer.token("EdDSA", kid="RS256"))
    await refused(tokens, issuer.token("RS256", kid="ES256"))


async def test_an_algorithm_that_is_not_allowed_is_refused(clock: ManualClock, issuer: Issuer) -> None:
    tokens = Tokens(replace(RULES, algorithms=("ES256",)), clock, issuer.fetch)
    await tokens.verify(issuer.token("ES256"))
    await refused(tokens, issuer.token("RS256"))
    ps256 = jwt.encode(issuer.claims(), private_key("RS256"), algorithm="PS256", headers={"kid": "RS256"})
    await refused(Tokens(RULES, clock, issuer.fetch), ps256)


async def test_a_token_brings_no_key_and_no_address_of_its_own(tokens: Tokens, issuer: Issuer) -> None:
    forged = private_key("RS256", 1)
    jwk = public_jwk("RS256", "mine", key=forged)
    for header in ({"jwk": jwk}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example"}):
        for kid in ("RS256", "mine"):
            token = jwt.encode(issuer.claims(), forged, algorithm="RS256", headers={"kid": kid, **header})
            await refused(tokens, token)


async def test_what_a_token_says_must_be_understood_must_be(tokens: Tokens, issuer: Issuer) -> None:
    headers = {"kid": "RS256", "crit": ["exp"], "exp": 1}
    await refused(tokens, jwt.encode(issuer.claims(), private_key("RS256"), "RS256", headers=headers))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        None,
        7,
        b"a.b.c",
        "é.é.é",
        "x" * 20_000,
        encoded(b"[" * 9_000) + ".e30.e30",
        encoded(b"[]") + ".e30.e30",
        encoded({"alg": ["RS256"]}) + ".e30.e30",
        encoded({"alg": {}}) + ".e30.e30",
        encoded({"alg": "RS256", "kid": {}}) + ".e30.e30",
        encoded({"alg": "RS256", "kid": 7}) + ".e30.e30",
        encoded({"kid": "RS256"}) + ".e30.e30",
        key_text("0" * 16, bytes(32)),
    ],
)
async def test_what_is_no_token_is_refused(tokens: Tokens, token: Any) -> None:
    await refused(tokens, token)


async def test_a_signed_payload_that_is_no_claims_is_refused(tokens: Tokens) -> None:
    for payload in (b"[]", b"7", b"null", b"\xff", b"[" * 9_000, b'{"exp": "' + b"9" * 40 + b'"}'):
        signed = f"{encoded({'alg': 'EdDSA', 'kid': 'EdDSA'})}.{encoded(payload)}"
        signature = private_key("EdDSA").sign(signed.encode())
        await refused(tokens, f"{signed}.{encoded(signature)}")


async def test_whatever_is_wrong_the_answer_is_the_same(tokens: Tokens, issuer: Issuer) -> None:
    wrong = [
        issuer.token(aud="elsewhere"),
        issuer.token(exp=1),
        issuer.token(kid="unknown"),
        issuer.token(key=private_key("RS256", 1)),
        "a.b.c",
    ]
    assert len({await refused(tokens, one) for one in wrong}) == 1


@given(data=st.data())
def test_no_flipped_character_goes_unnoticed(data: st.DataObject) -> None:
    clock = ManualClock()
    issuer = Issuer(clock.now().timestamp())
    token = issuer.token("EdDSA")
    at = data.draw(st.integers(0, len(token) - 1))
    put = data.draw(st.sampled_from("ABCXYZabcxyz019-_.é\x00 "))
    changed = token[:at] + put + token[at + 1 :]

    async def look() -> None:
        tokens = Tokens(RULES, clock, issuer.fetch)
        try:
            found = await tokens.verify(changed)
        except UnauthenticatedError:
            return
        # The last character of a part has bits to spare: another spelling of the same bytes.
        assert (found.user, found.grants) == ("alice", {Grant.READ})

    anyio.run(look)


def test_a_token_is_told_from_an_api_key() -> None:
    assert looks_like_token(Issuer(0).token("EdDSA"))
    assert not looks_like_token(key_text("0" * 16, bytes(32)))
