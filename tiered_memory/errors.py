"""One tree of errors, grouped by who must act.

A class's docstring is its default message; the text given to a constructor says what happened this time and what
to do. No message carries content, an id, or a key.
"""

from __future__ import annotations


class TieredMemoryError(Exception):
    """Something went wrong inside the memory runtime."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


# --- the caller must change the call -------------------------------------------------------------------------


class InvalidInputError(TieredMemoryError, ValueError):
    """The call's arguments are not acceptable; nothing was stored."""


class ArchiveError(InvalidInputError):
    """This is no archive, or it was altered; nothing was stored. Get it again from where it was made."""


class NotFoundError(TieredMemoryError, LookupError):
    """No such memory is held for this subject."""


class ConflictError(TieredMemoryError):
    """The operation id was used before with different content; nothing was stored."""


class QuotaExceededError(TieredMemoryError):
    """The subject's quota is used up by protected memories; nothing was stored."""


class TenantUnknownError(TieredMemoryError, LookupError):
    """This tenant is not registered: register it first."""


class AgentNotAllowedError(TieredMemoryError, PermissionError):
    """This agent is not on the tenant's list of allowed agents; nothing was stored."""


class ConsentRequiredError(TieredMemoryError, PermissionError):
    """No lawful basis covers this purpose; grant consent first or leave the memory ephemeral."""


class UnauthenticatedError(TieredMemoryError, PermissionError):
    """The credential is missing, unknown, expired or revoked: present an API key or a token that is in force."""


class AccessDeniedError(TieredMemoryError, PermissionError):
    """The caller's role may not do this; the policy's access table decides it."""


class SubjectErasedError(TieredMemoryError):
    """The subject was erased while this operation was under way; its result was discarded."""


class RestrictedError(TieredMemoryError, PermissionError):
    """The processing of this user's data is restricted (GDPR Art. 18(2)): it is stored, and nothing else happens to it.

    Export, about, consents, requests, decisions and erasure still work; lift the restriction to go on.
    """


class ObjectionNotApplicableError(TieredMemoryError, ValueError):
    """The right to object (GDPR Art. 21) does not apply to what this purpose rests on; nothing was changed."""


class ConfirmationRequiredError(TieredMemoryError):
    """The plan would remove more than the policy allows without a person's confirmation."""


# --- whoever configures the runtime must act -----------------------------------------------------------------


class ConfigurationError(TieredMemoryError, ValueError):
    """A setting is wrong."""


class PolicyError(ConfigurationError):
    """A policy file is wrong."""


class EmbedderMismatchError(ConfigurationError):
    """The store was written with another embedder; open it with that one or re-embed it."""


class ReembeddingUnfinishedError(EmbedderMismatchError):
    """Moving the store to another embedder was interrupted: run `tiered-memory reembed` again to finish it."""


class RootKeyError(ConfigurationError):
    """The root key is missing, unreadable, or not the one this store was made with."""


class RolledBackError(ConfigurationError):
    """The state store is older than it was: somebody put an earlier file in its place.

    What was erased since would come back, what was added since is missing. Restore a backup with
    `tiered-memory restore`, or open with accept_rollback to go on from here; the erased list is applied again.
    """


class DataDirectoryInUseError(ConfigurationError):
    """Another process owns this data directory."""


# --- whoever operates the runtime must act -------------------------------------------------------------------


class StorageError(TieredMemoryError):
    """An engine refused or failed; the operation did not happen."""


class StateStoreError(StorageError):
    """The state store failed: nothing can be acknowledged until it is back."""


class ColdTierError(StorageError):
    """The cold tier failed: acknowledged writes stay in the journal until it is back."""


class DiskFullError(StorageError):
    """No space is left on the device: nothing of the operation was stored. Free some, then repeat it."""


class HotTierError(StorageError):
    """The hot tier failed; memories are unaffected, recent context is served from elsewhere."""


class BacklogFullError(StorageError):
    """The journal has reached its limit; nothing was stored. Retry after a pause."""


class EpochEndedError(StorageError):
    """The key epoch ended while a key was being made; nothing was stored. Repeat the call."""


class OutcomeUnknownError(StorageError):
    """The deadline passed before the outcome was known; repeat the call with the same operation id."""


class TenantUnavailableError(StorageError):
    """This tenant cannot be used now: its own directory could not be opened, or it is being erased."""


class IssuerUnavailableError(StorageError):
    """The token issuer's keys cannot be had: tokens are not accepted until they can. API keys are."""


class ErasureIncompleteError(StorageError):
    """Erasure could not be finished everywhere; the keys are gone, run it again to remove what is left."""


class CorruptionError(TieredMemoryError):
    """Stored bytes do not verify: they were damaged, swapped, or sealed under another key."""


class KeyUnavailableError(CorruptionError):
    """The key of this record is not held any more: it was destroyed, or never written."""


class ClosedError(TieredMemoryError, RuntimeError):
    """The memory runtime is closed."""
