"""Named places at which a test may end the process, to prove that recovery works from each of them.

A place costs one comparison while nothing is armed. `TIERED_MEMORY_FAILPOINT=name` (or `name:3` for the third time
it is reached) arms one for a whole process: it is killed there by SIGKILL, as a power cut would.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "TIERED_MEMORY_FAILPOINT"

POINTS = (
    "append.before",
    "append.after",
    "flush.before_put",
    "flush.after_put",
    "flush.after_trim",
    "cold.after_merge",
    "cold.after_sync",
    "cold.before_compact",
    "cold.after_compact",
    "cold.after_delete",
    "cold.after_rewrite",
    "remove.after_mark",
    "remove.after_cold",
    "remove.after_rows",
    "list.after_entry",
    "erase.before_fence",
    "erase.after_fence",
    "erase.after_checkpoint",
    "erase.after_hot_and_warm",
    "erase.after_cold",
    "erase.after_purge",
    "erase.after_close",
    "withdraw.after_commit",
    "withdraw.after_checkpoint",
    "withdraw.after_removal",
    "grant.after_establish",
    "open.after_resume",
    "open.after_replay",
    "uses.after_write",
)

HOLD_POINTS = (
    "hold.after_place",
    "hold.after_main",
    "hold.after_list",
    "hold.after_release",
    "hold.after_main_release",
    "event.after_entry",
)
"""Those of holds and retention events, which the crash suite's plain course does not pass."""

REEMBED_POINTS = (
    "reembed.after_mark",
    "reembed.after_batch",
    "reembed.before_move",
    "reembed.after_move",
    "reembed.after_drop",
    "reembed.before_end",
    "reembed.after_end",
)
"""Those of moving a store to another embedder: nobody uses the store then, so the crash suite passes none of them."""

CORRECTION_POINTS = (
    "correct.before",
    "correct.after",
    "correct.after_flush",
    "correct.after_scrub",
    "correct.after_checkpoint",
)
"""Those of correcting a memory, which the crash suite's workload does not."""
TENANT_POINTS = (
    "tenant.after_mark",
    "tenant.before_fence",
    "tenant.after_fence",
    "tenant.after_guards",
    "tenant.after_subject",
    "tenant.after_emptied",
    "tenant.after_keys",
    "tenant.after_directory",
    "tenant.after_end",
)
"""Those of erasing a whole tenant; the tests of tenants pass them."""

SHARED_POINTS = ("shared.after_establish", "shared.after_membership", "shared.after_leaving")
"""Those of shared memories, passed by tests of their own."""
KEY_POINTS = (
    "keys.after_guard",
    "keys.after_begin",
    "keys.after_batch",
    "keys.before_end",
    "keys.after_end",
    "keys.after_destroy",
    "keys.after_checkpoint",
)
"""Those of ending a key epoch, passed by the rotation's own tests."""

ROOT_POINTS = (
    "root.after_next",
    "root.after_commit",
    "root.after_state_key",
    "root.after_done",
    "root.after_destroy",
)
"""Those of changing the root key, passed by tests of their own."""

BACKUP_POINTS = ("backup.before_name", "backup.after_name", "backup.after_retire")
"""Those of backups in a series, passed by tests of their own."""

Hook = Callable[[str], None]


class _Armed:
    """What happens at each place; nothing, normally."""

    hook: Hook | None = None


def reach(point: str) -> None:
    """Say that the process has come to `point`, one of those named above."""
    if _Armed.hook is not None:
        _Armed.hook(point)


def arm(hook: Hook | None) -> None:
    """Call `hook` at every place from now on; None disarms."""
    _Armed.hook = hook


def killing(wanted: str, times: int = 1) -> Hook:
    """Return a hook that kills this process the `times`-th time `wanted` is reached."""
    left = times

    def hook(point: str) -> None:
        nonlocal left
        if point == wanted:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _arm_from_environment() -> None:
    given = os.environ.get(VARIABLE)
    if given:
        point, _, times = given.partition(":")
        arm(killing(point, int(times or 1)))


_arm_from_environment()
