"""The inspector as the daemon serves it: its logins, its figures, its jobs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from starlette.types import ASGIApp

from tiered_memory.daemon.serving import Serving
from tiered_memory.inspector import Options, inspector_app
from tiered_memory.inspector.series import Sample
from tiered_memory.principals import Principal
from tiered_memory.prometheus_observer import PrometheusObserver


def window(serving: Serving, observer: PrometheusObserver) -> ASGIApp:
    """Return the inspector over the memory that is served."""

    async def verify(key: str) -> Principal:
        return serving.opened().api_keys.verify(key)

    async def recheck(principal: Principal) -> bool:
        return serving.opened().api_keys.good(principal)

    def samples() -> Iterable[Sample]:
        return chain.from_iterable(one.samples for one in observer.registry.collect())

    options = Options(
        verify=verify,
        recheck=recheck,
        samples=samples,
        people=lambda: serving.people,
        hosts=serving.settings.allowed_hosts,
        clock=serving.clock,
    )
    return inspector_app(serving.opened, options=options)
