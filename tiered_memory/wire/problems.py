"""Errors over HTTP: problem details (RFC 9457) whose `error` names the class, so that a client raises the same one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from tiered_memory import errors
from tiered_memory.errors import InvalidInputError, TieredMemoryError
from tiered_memory.policy.pii_types import PiiType
from tiered_memory.privacy.holds import OnHoldError
from tiered_memory.privacy.pii_masking import PiiRefusedError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:tiered-memory:problem:"


class MalformedError(InvalidInputError):
    """The body is not JSON. Clients hear of it as an InvalidInputError."""


STATUSES: dict[type[TieredMemoryError], int] = {
    MalformedError: 400,
    InvalidInputError: 422,
    errors.NotFoundError: 404,
    errors.TenantUnknownError: 404,
    errors.ConflictError: 409,
    errors.QuotaExceededError: 409,
    OnHoldError: 409,
    errors.UnauthenticatedError: 401,
    errors.AgentNotAllowedError: 403,
    errors.ConsentRequiredError: 403,
    errors.AccessDeniedError: 403,
    errors.SubjectErasedError: 410,
    errors.RestrictedError: 423,
    errors.ObjectionNotApplicableError: 422,
    errors.ConfirmationRequiredError: 409,
    errors.ConfigurationError: 409,
    errors.StorageError: 503,
    errors.DiskFullError: 507,
    errors.OutcomeUnknownError: 504,
    errors.CorruptionError: 500,
    errors.ClosedError: 503,
    TieredMemoryError: 500,
}
"""The nearest class in an error's line of descent decides (RFC 9110 section 15; 423 and 507: RFC 4918)."""

RETRY_SECONDS = 1
"""What `Retry-After` says where repeating the request may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Problem details: `error` is the name of the error's class, `request_id` that of the request's line in the log."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    request_id: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    types: tuple[str, ...] = ()
    """Of text that the policy refuses: what sorts of personal data it holds."""

    def document(self) -> dict[str, Any]:
        """Return it as the answer's JSON."""
        shown = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "error": self.error,
        }
        more = {"request_id": self.request_id, "types": list(self.types)}
        return shown | {name: one for name, one in more.items() if one}


def status_of(error: type[BaseException]) -> int:
    """Return the status an error is answered with; 500 for what is none of ours."""
    return next((STATUSES[kind] for kind in error.__mro__ if kind in STATUSES), 500)


def problem_of(error: TieredMemoryError, request_id: str = "") -> Problem:
    """Return an error as problem details. Messages of our errors hold no content and no id."""
    kind = InvalidInputError if isinstance(error, MalformedError) else type(error)
    name, status = kind.__name__, status_of(type(error))
    again = status in {429, 503, 504}
    headers = (("Retry-After", str(RETRY_SECONDS)),) if again else ()
    told = problem(status, str(error), error=name, request_id=request_id, headers=headers)
    return replace(told, types=error.types) if isinstance(error, PiiRefusedError) else told


def problem(
    status: int,
    detail: str,
    *,
    error: str = "",
    request_id: str = "",
    headers: tuple[tuple[str, str], ...] = (),
) -> Problem:
    """Return problem details for a status; without `error` it is one of HTTP itself."""
    slug = _slug(error) if error else HTTPStatus(status).phrase.lower().replace(" ", "-")
    return Problem(
        type=TYPE_PREFIX + slug,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        error=error,
        request_id=request_id,
        headers=headers,
    )


def error_of(status: int, document: Any) -> TieredMemoryError:
    """Return the error that an answer tells of; a StorageError for what no version of ours would say."""
    told = document if isinstance(document, dict) else {}
    detail = told.get("detail")
    kind = _named(TieredMemoryError, str(told.get("error")))
    if kind is PiiRefusedError:
        return PiiRefusedError(_pii_types(told.get("types")))
    if kind is not None:
        return kind(detail if isinstance(detail, str) else None)
    return _by_status(status, detail if isinstance(detail, str) else f"the daemon answered {status}")


def _pii_types(told: Any) -> list[PiiType]:
    """A daemon of a later version may know more of them."""
    known = set(PiiType)
    return [PiiType(one) for one in told if one in known] if isinstance(told, list) else []


def _by_status(status: int, detail: str) -> TieredMemoryError:
    kinds: dict[int, type[TieredMemoryError]] = {
        401: errors.UnauthenticatedError,
        403: errors.AccessDeniedError,
        404: errors.NotFoundError,
        412: errors.ConflictError,
        504: errors.OutcomeUnknownError,
    }
    if status in kinds:
        return kinds[status](detail)
    caller_errs = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in {
        408,
        429,
    }
    return InvalidInputError(detail) if caller_errs else errors.StorageError(detail)


def _named(kind: type[TieredMemoryError], name: str) -> type[TieredMemoryError] | None:
    """Only what descends from our root can be named by an answer, and so be raised here."""
    if kind.__name__ == name:
        return kind
    found = (_named(one, name) for one in kind.__subclasses__())
    return next((one for one in found if one is not None), None)


def _slug(name: str) -> str:
    words = name.removesuffix("Error")
    return "".join(f"-{one.lower()}" if one.isupper() else one for one in words).lstrip("-")
