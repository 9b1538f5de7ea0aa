"""The unit, the container file and the compose file are well-formed, closed, and name what there is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import tiered_memory
from tiered_memory.config import load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "tiered-memory.service"
COMPOSE = DEPLOY / "compose.yaml"
CONTAINER = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
PROGRAM = "/usr/local/lib/tiered-memory/bin/tiered-memory"
SECRET_WORDS = re.compile(r"password|token|secret|root_key(?!_file)", re.IGNORECASE)
HARDENING = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictNamespaces": "yes",
    "CapabilityBoundingSet": "",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}


def run(*command: str | Path, **given: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False, **given)


def unit() -> dict[str, dict[str, list[str]]]:
    """Return the unit's settings, each with its values in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(section, {}).setdefault(key, []).append(value)
    return found


# --- systemd -------------------------------------------------------------------------------------------------


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not on this machine")
    return found


def test_the_unit_says_what_the_daemon_keeps_to() -> None:
    service = unit()["Service"]
    assert {key: service[key][-1] for key in HARDENING} == HARDENING
    assert service["Type"] == ["notify"]
    assert service["Restart"] == ["on-failure"]
    assert service["TimeoutStopSec"] == ["10"]
    assert service["KillMode"] == ["mixed"]
    assert float(service["WatchdogSec"][0]) >= 10


def test_the_unit_s_commands_are_commands(tmp_path: Path) -> None:
    service = unit()["Service"]
    for line in (*service["ExecStartPre"], *service["ExecStart"]):
        program, *arguments = shlex.split(line)
        assert program == PROGRAM
        helped = run(sys.executable, "-m", "tiered_memory", *arguments, "--help", cwd=ROOT)
        assert helped.returncode == 0, helped.stderr


def test_systemd_takes_the_unit(analyze: str, tmp_path: Path) -> None:
    """Its program and its user are not on this machine: others stand in for them."""
    path = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8").replace(PROGRAM, sys.executable)
    path.write_text(re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.MULTILINE), encoding="utf-8")
    done = run(analyze, "verify", "--man=no", path)
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert said == []
    wrong = tmp_path / "wrong.service"
    wrong.write_text(path.read_text().replace("Restart=on-failure", "Restart=sometimes"))
    assert "wrong.service" in run(analyze, "verify", "--man=no", wrong).stderr


def test_systemd_finds_the_service_well_closed(analyze: str) -> None:
    done = run(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", UNIT)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


# --- settings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["settings.toml", "container.toml"])
def test_the_settings_are_taken(name: str) -> None:
    settings = load_settings(DEPLOY / name)
    assert settings.daemon.log_format == "json"
    assert settings.daemon.public or settings.daemon.require_credentials


# --- the container file --------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", CONTAINER))
    return [
        (word, rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)
    ]


def values(word: str) -> list[str]:
    return [rest for one, rest in instructions() if one == word]


def test_images_are_of_named_versions() -> None:
    images = [value.split()[0] for value in values("FROM")]
    assert len(images) == 2
    for image in [*images, *(one["image"] for one in services().values())]:
        version = image.partition(":")[2]
        assert re.search(r"\d+\.\d+", version), image
        assert "latest" not in version


def test_it_runs_as_nobody_special_and_takes_its_signal() -> None:
    assert values("USER") == ["10001:10001"]
    assert json.loads(values("ENTRYPOINT")[0]) == ["tiered-memory"]
    assert values("STOPSIGNAL") == ["SIGTERM"]
    assert values("EXPOSE") == ["8765"]
    check = values("HEALTHCHECK")[0].partition("CMD ")[2]
    assert json.loads(check)[:2] == ["tiered-memory", "health"]
    assert json.loads(values("CMD")[0])[0] == "serve"


def test_no_secret_is_built_in() -> None:
    assert [value for word in ("ENV", "ARG") for value in values(word) if SECRET_WORDS.search(value)] == []


def test_only_pinned_wheels_are_installed() -> None:
    installs = [json.loads(value) for value in values("RUN") if "install" in value and value.startswith("[")]
    from_files = [one for one in installs if "-r" in one]
    assert {one[one.index("-r") + 1] for one in from_files} == {
        "requirements/core.txt",
        "requirements/server.txt",
    }
    assert all({"--require-hashes", "--only-binary", "--no-deps"} <= set(one) for one in from_files)
    [own] = [one for one in installs if "-r" not in one]
    assert {"--no-deps", "--no-build-isolation"} <= set(own)


def copied() -> list[str]:
    found = [value.split() for value in values("COPY") if not value.startswith("--from")]
    return [source for one in found for source in one[:-1]]


def test_the_wheel_builds_from_what_is_copied(tmp_path: Path) -> None:
    for source in copied():
        target = tmp_path / "src" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    built = run(
        sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=tmp_path / "src"
    )
    assert built.returncode == 0, built.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert "tiered_memory/policies/default.toml" in names
    assert "tiered_memory/dashboards/overview.json" in names


def test_the_server_s_pins_are_those_that_are_tested() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        return dict(re.findall(r"(?m)^([a-z0-9-]+)==([^\s;]+)", text))

    server, tested = pins("server"), {**pins("core"), **pins("test")}
    assert {"starlette", "uvicorn", "httpx2", "jinja2", "mcp", "pyjwt", "structlog"} <= set(server)
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"} <= set(server)
    assert server.items() <= tested.items()


# --- the compose file ----------------------------------------------------------------------------------------


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return found


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def test_the_image_bears_the_version() -> None:
    assert services()["tiered-memory"]["image"] == f"tiered-memory:{tiered_memory.__version__}"
    assert f"tiered-memory:{tiered_memory.__version__}" in CONTAINER


def test_every_path_that_is_mounted_is_in_the_repository() -> None:
    volumes = set(compose()["volumes"])
    for name, service in services().items():
        for mount in service.get("volumes", ()):
            source, target = mount.split(":")[:2]
            assert target.startswith("/")
            if source.startswith("."):
                assert (DEPLOY / source).exists(), (name, source)
                assert mount.endswith(":ro")
            else:
                assert source in volumes, (name, source)
    build = services()["tiered-memory"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def test_only_this_machine_reaches_the_daemon_and_grafana() -> None:
    ports = {name: one["ports"] for name, one in services().items() if "ports" in one}
    assert ports == {"tiered-memory": ["127.0.0.1:8765:8765"], "grafana": ["127.0.0.1:3000:3000"]}
    assert services()["redis"]["network_mode"] == "none"


def test_every_service_is_closed() -> None:
    for name, one in services().items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert not one.get("privileged"), name
    assert services()["tiered-memory"]["read_only"] is True
    assert float(services()["tiered-memory"]["stop_grace_period"].removesuffix("s")) > 10


def test_secrets_come_from_files_that_are_not_kept() -> None:
    declared = compose()["secrets"]
    used = {
        one if isinstance(one, str) else one["source"]
        for s in services().values()
        for one in s.get("secrets", ())
    }
    assert used == set(declared)
    for one in declared.values():
        assert one["file"].startswith("./secrets/")
        ignored = run("git", "check-ignore", DEPLOY / one["file"], cwd=ROOT)
        assert ignored.returncode == 0 or not (ROOT / ".git").exists()
    for name, service in services().items():
        for key, value in service.get("environment", {}).items():
            assert not SECRET_WORDS.search(key) or str(value).startswith("/run/secrets/"), (name, key)


def test_what_is_mounted_is_where_the_configurations_look() -> None:
    mounts = {
        name: {mount.split(":")[1]: mount.split(":")[0] for mount in one.get("volumes", ())}
        for name, one in services().items()
    }
    provider = yaml.safe_load(
        (ROOT / "dashboards/provisioning/grafana/dashboards/tiered-memory.yml").read_text()
    )
    boards = mounts["grafana"][provider["providers"][0]["options"]["path"]]
    assert list((DEPLOY / boards).glob("*.json"))
    settings = load_settings(DEPLOY / "container.toml")
    own = mounts["tiered-memory"]
    assert str(settings.backup_dir) in own
    assert str(settings.root_key_file and settings.root_key_file.parent) in own
    socket = settings.redis_url.removeprefix("unix://")
    assert str(Path(socket).parent) in own
    assert own[str(Path(socket).parent)] == mounts["redis"][str(Path(socket).parent)]
    assert socket in services()["redis"]["command"]


def test_prometheus_takes_its_configuration_as_mounted(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool")
    one = services()["prometheus"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in one["command"]
    placed = [mount.split(":")[:2] for mount in one["volumes"] if mount.startswith(".")]
    for source, target in placed:
        place = tmp_path / Path(target).relative_to("/etc/prometheus")
        origin = DEPLOY / source
        shutil.copytree(origin, place) if origin.is_dir() else shutil.copy(origin, place)
    [token] = one["secrets"]
    config = tmp_path / "prometheus.yml"
    text = config.read_text(encoding="utf-8")
    assert token["target"] in text
    (tmp_path / "token").write_text("secret")
    config.write_text(text.replace(token["target"], str(tmp_path / "token")), encoding="utf-8")
    done = run(promtool, "check", "config", config)
    assert done.returncode == 0, done.stderr + done.stdout
    scraped = yaml.safe_load(text)["scrape_configs"][0]["static_configs"][0]["targets"]
    assert scraped == ["tiered-memory:8765"]


def test_the_source_distribution_has_these_files() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert build["targets"]["sdist"] == {"exclude": [".ci"]}
