"""Who gets in: keys on public addresses, guesses, a unix socket, TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support import opened

pytest.importorskip("uvicorn", reason="needs the extra server")

from live_daemon import LiveDaemon, client

from tiered_memory import TieredMemory
from tiered_memory.errors import UnauthenticatedError
from tiered_memory.principals import Grant

pytestmark = pytest.mark.anyio
FAILURES = 5
BOUNDS = {
    "TIERED_MEMORY_DAEMON__FAILURES": str(FAILURES),
    "TIERED_MEMORY_DAEMON__FAILURES_PER_MINUTE": "0.001",
}


async def keyed(folder: Path) -> str:
    """Make a store with one key; return its secret."""
    async with opened(folder / "data", settings={"redis_url": "local"}) as memory:
        return (await memory.api_keys.create("ops", grants=list(Grant))).secret


def bearing(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[LiveDaemon, str]]:
    """A daemon that everybody could reach, and its key."""
    folder = tmp_path_factory.mktemp("public")
    secret = await keyed(folder)
    with LiveDaemon(folder, "--host", "0.0.0.0", "--port", "0", **BOUNDS) as live:
        yield live, secret
        assert secret not in live.log
        assert "Traceback" not in live.log


async def address_of(live: LiveDaemon) -> str:
    return (await live.ready()).replace("0.0.0.0", "127.0.0.1")


async def test_a_public_address_is_served_to_bearers_of_a_key_only(house: tuple[LiveDaemon, str]) -> None:
    live, secret = house
    async with client(await address_of(live)) as http:
        assert (await http.get("/livez")).status_code == 200
        for path in ("/v1/stats", "/metrics", "/v1/api-keys", "/v1/nowhere"):
            refusal = await http.get(path)
            assert refusal.status_code == 401
            assert refusal.headers["www-authenticate"].startswith("Bearer")
            assert refusal.json()["error"] == "UnauthenticatedError"
        found = await http.get("/v1/stats", headers=bearing(secret))
        assert found.status_code == 200
        # With a key no name of a host and no page's origin matters: a page cannot have the key.
        elsewhere = {"host": "memory.example", "origin": "https://app.example", **bearing(secret)}
        assert (await http.get("/v1/stats", headers=elsewhere)).status_code == 200


async def test_guesses_are_slowed_down_and_all_answered_alike(house: tuple[LiveDaemon, str]) -> None:
    live, secret = house
    known = secret.rpartition("_")[0]
    async with client(await address_of(live)) as http:
        assert (await http.get("/v1/stats", headers=bearing(secret))).status_code == 200
        told = set()
        for guess in (
            f"{known}_{'A' * 43}",
            "tm_0000000000000000_" + "A" * 43,
            "nonsense",
            "a.b.c",
            secret[:-1],
        ):
            refusal = await http.get("/v1/stats", headers=bearing(guess))
            assert refusal.status_code == 401
            told.add((refusal.json()["detail"], tuple(sorted(set(refusal.headers) - {"date"}))))
        assert len(told) == 1
        late = await http.get("/v1/stats", headers={**bearing("another"), "x-forwarded-for": "203.0.113.9"})
        assert late.status_code == 429
        assert int(late.headers["retry-after"]) > 1
        assert late.json()["detail"]
        # Whoever has a key goes on, though it is the same address.
        assert (await http.get("/v1/stats", headers=bearing(secret))).status_code == 200
        new = {"name": "new", "grants": ["audit"]}
        made = (await http.post("/v1/api-keys", json=new, headers=bearing(secret))).json()["secret"]
        assert (await http.get("/v1/stats", headers=bearing(made))).status_code == 200
        assert (await http.get("/v1/stats", headers=bearing("a.b.d"))).status_code == 429
        counted = (await http.get("/metrics", headers=bearing(secret))).text
    assert 'tiered_memory_http_rejected_total{reason="rate_limited"} 2.0' in counted


async def test_a_unix_socket_is_for_its_owner_who_needs_no_key(tmp_path: Path) -> None:
    await keyed(tmp_path)
    path = tmp_path / "sock"
    with LiveDaemon(tmp_path, "--socket", str(path)) as live:
        address = await live.ready()
        assert address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        async with TieredMemory.open(address) as memory:
            assert (await memory.health()).ready
        async with client(address, headers={"host": "whatever"}) as http:
            assert (await http.get("/v1/stats")).status_code == 200
        status, _ = await live.stop()
        assert status == 0


async def test_a_socket_of_a_dead_daemon_is_replaced_and_one_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with LiveDaemon(tmp_path / "a", "--socket", str(path)) as one:
        await one.ready()
        with LiveDaemon(tmp_path / "b", "--socket", str(path)) as two:
            assert await two.status() == 1
            assert two.lines[-1]["error"] == "ConfigurationError"
        one.process.kill()
        await one.status()
        with LiveDaemon(tmp_path / "c", "--socket", str(path)) as three:
            async with TieredMemory.open(await three.ready()) as memory:
                assert (await memory.health()).ready


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]),
    )
    now = dt.datetime.now(dt.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    written, kept = folder / "cert.pem", folder / "key.pem"
    written.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    kept.write_bytes(key.private_bytes(*form))
    return written, kept


async def test_tls_is_spoken_where_a_certificate_is_given(tmp_path: Path) -> None:
    written, kept = certificate(tmp_path)
    tls = {"TIERED_MEMORY_DAEMON__TLS_CERTIFICATE": str(written), "TIERED_MEMORY_DAEMON__TLS_KEY": str(kept)}
    with LiveDaemon(tmp_path, **tls) as live:
        address = await live.ready()
        assert address.startswith("https://127.0.0.1:")
        async with client(address, verify=ssl.create_default_context(cafile=str(written))) as http:
            assert (await http.get("/readyz")).status_code == 200
        async with client(address) as http:
            with pytest.raises(httpx2.ConnectError):
                await http.get("/readyz")
        async with client(address.replace("https", "http")) as http:
            with pytest.raises(httpx2.TransportError):
                await http.get("/readyz")
        status, _ = await live.stop()
        assert status == 0


async def test_a_client_without_a_key_is_told_so(house: tuple[LiveDaemon, str]) -> None:
    live, secret = house
    address = await address_of(live)
    async with TieredMemory.open(address) as memory:
        with pytest.raises(UnauthenticatedError):
            await memory.stats()
    async with TieredMemory.open(address, api_key=secret) as memory:
        assert (await memory.health()).ready


async def test_whoever_erases_the_person_of_the_only_key_leaves_no_open_door(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings={"redis_url": "local"}) as memory:
        bound = {"tenant": "acme", "user": "ana"}
        made = await memory.api_keys.create("ana", grants=["subjects:erase", "rights"], **bound)
        await memory.user("ana", "acme").consent.grant("personalization", notice="n1")
    for erases in (True, False):
        with LiveDaemon(tmp_path) as live:
            async with client(await live.ready()) as http:
                if erases:
                    asked = {"json": {"reason": "asked"}, "headers": bearing(made.secret)}
                    done = await http.post("/v1/tenants/acme/users/ana/erasure", **asked)
                    assert done.status_code == 200
                for path in ("/v1/api-keys", "/v1/stats", "/metrics"):
                    assert (await http.get(path)).status_code == 401


async def test_whoever_listens_much_leaves_others_their_requests(tmp_path: Path) -> None:
    most = {"TIERED_MEMORY_DAEMON__MOST_REQUESTS": "16"}
    async with opened(tmp_path / "data", settings={"redis_url": "local"}) as memory:
        one, other = [await memory.api_keys.create(name, grants=["audit"]) for name in ("one", "other")]
    with LiveDaemon(tmp_path, **most) as live:
        address = await live.ready()
        async with client(address, headers=bearing(one.secret)) as http, AsyncExitStack() as stack:
            for _ in range(2):
                heard = await stack.enter_async_context(http.stream("GET", "/v1/events"))
                assert heard.status_code == 200
            refusal = await http.get("/v1/events")
            assert (refusal.status_code, refusal.headers["retry-after"]) == (429, "10")
            assert (await http.get("/v1/stats")).status_code == 200
            async with http.stream("GET", "/v1/events", headers=bearing(other.secret)) as others:
                assert others.status_code == 200
            await stack.aclose()

            async def free() -> bool:
                async with http.stream("GET", "/v1/events") as again:
                    return again.status_code == 200

            with anyio.fail_after(20):
                while not await free():
                    await anyio.lowlevel.checkpoint()


async def test_a_busy_daemon_still_tells_that_it_lives(tmp_path: Path) -> None:
    with LiveDaemon(tmp_path, TIERED_MEMORY_DAEMON__MOST_REQUESTS="1") as live:
        async with client(await live.ready()) as http, http.stream("GET", "/v1/events") as heard:
            assert heard.status_code == 200
            assert (await http.get("/v1/stats")).status_code == 503
            for probe in ("/livez", "/readyz", "/startupz"):
                assert (await http.get(probe)).status_code == 200
