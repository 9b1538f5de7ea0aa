"""Operations on one person's rights."""

from __future__ import annotations

from functools import partial

from tiered_memory.principals import Grant
from tiered_memory.wire.operation import Carries, Effect, Operation, Root
from tiered_memory.wire.signatures import NOTHING

_op = partial(Operation, root=Root.USER, face="", grant=Grant.RIGHTS)
_get = partial(_op, verb="GET")
_post = partial(_op, verb="POST", effect=Effect.ACTS)

CONSENTS = (
    _get(name="consents.current", face="consent", method="current", path="/consents"),
    _get(name="consents.history", face="consent", method="history", path="/consents/history"),
    _get(name="consents.receipt", face="consent", method="receipt", path="/consents/{purpose}/receipt"),
    _post(name="consents.grant", face="consent", method="grant", path="/consents", status=201),
    _post(name="consents.refuse", face="consent", method="refuse", path="/consents/refusals", status=201),
    _post(name="consents.withdraw", face="consent", method="withdraw", path="/consents/{purpose}/withdrawal"),
)

REQUESTS = (
    _get(name="requests.list", face="requests", method="list", path="/requests"),
    _post(name="requests.open", face="requests", method="open", path="/requests", status=201),
    _post(name="requests.extend", face="requests", method="extend", path="/requests/{request_id}/extension"),
    _post(name="requests.close", face="requests", method="close", path="/requests/{request_id}/closing"),
)

DECISIONS = (
    _get(name="decisions.list", face="decisions", method="list", path="/decisions"),
    _post(name="decisions.record", face="decisions", method="record", path="/decisions", status=201),
    _get(name="decisions.explain", face="decisions", method="explain", path="/decisions/{decision_id}"),
    _post(
        name="decisions.request_review",
        face="decisions",
        method="request_review",
        path="/decisions/{decision_id}/review-request",
    ),
    _post(name="decisions.review", face="decisions", method="review", path="/decisions/{decision_id}/review"),
)

PERSON = (
    _get(name="person.about", method="about", path="/about"),
    _get(name="objections.list", method="objections", path="/objections"),
    _post(name="objections.object_to", method="object_to", path="/objections", status=201),
    _post(name="objections.lift", method="lift_objection", path="/objections/{purpose}/lifting"),
    _get(name="restrictions.list", face="rights", method="restrictions", path="/restrictions"),
    _post(name="restrictions.restrict", face="rights", method="restrict", path="/restrictions", status=201),
    _post(name="restrictions.lift", face="rights", method="lift_restriction", path="/restrictions/lifting"),
    _post(name="retention.event", face="retention", method="event", path="/retention-events", status=204),
    _get(
        name="person.export",
        method="export",
        path="/archive",
        gives=Carries.ARCHIVE,
        narrow={"path": NOTHING},
    ),
    _op(
        name="person.import",
        method="import_archive",
        verb="PUT",
        path="/archive",
        takes=Carries.ARCHIVE,
        effect=Effect.IDEMPOTENT,
        narrow={"path": NOTHING},
    ),
    _op(
        name="person.erase",
        method="erase",
        verb="POST",
        path="/erasure",
        grant=Grant.ERASE,
        effect=Effect.IDEMPOTENT,
    ),
)

RIGHTS: tuple[Operation, ...] = (*CONSENTS, *REQUESTS, *DECISIONS, *PERSON)
