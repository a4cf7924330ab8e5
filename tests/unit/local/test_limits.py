"""What a local Karmada needs of the machine is checked before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from towpath.errors import BootFailed
from towpath.local import limits
from towpath.local.limits import Machine, check, problems

SYSCTL = "fs.inotify.max_user_instances"
ROOT = Path("/srv/karmada")
ENOUGH = Machine(inotify_limit=128, inotify_used=20, files=1024, disk_mib=4000)


def test_a_machine_with_enough_has_no_problem() -> None:
    assert not [*problems(ENOUGH, ROOT, 3, nodes=True)]


@pytest.mark.parametrize(
    ("machine", "nodes", "message"),
    [
        (
            ENOUGH._replace(inotify_used=115),
            False,
            f"{SYSCTL}: 115 of 128 are in use, and 17 more are needed. Run `sudo sysctl {SYSCTL}=256`.",
        ),
        (
            ENOUGH._replace(inotify_used=80),
            True,
            f"{SYSCTL}: 80 of 128 are in use, and 56 more are needed. Run `sudo sysctl {SYSCTL}=256`.",
        ),
        (
            ENOUGH._replace(files=256),
            False,
            "Open files: The limit is 256, and 1024 are needed. Run `ulimit -n 4096`.",
        ),
        (
            ENOUGH._replace(disk_mib=200),
            False,
            "/srv/karmada: 200 MiB are free, and 300 MiB are needed. Free space, or pass --root.",
        ),
        (
            ENOUGH._replace(disk_mib=1000),
            True,
            "/srv/karmada: 1000 MiB are free, and 1200 MiB are needed. Free space, or pass --root.",
        ),
    ],
    ids=["inotify", "inotify of nodes", "files", "disk", "disk of nodes"],
)
def test_what_is_missing_is_named_with_the_fix(machine: Machine, nodes: bool, message: str) -> None:
    assert [*problems(machine, ROOT, 3, nodes=nodes)] == [message]


def test_karmada_in_pods_takes_more_inotify_instances() -> None:
    just_enough = ENOUGH._replace(inotify_used=128 - 24)

    assert not [*problems(just_enough, ROOT, 1, nodes=True)]
    [message] = problems(just_enough, ROOT, 1, nodes=True, on_host=True)
    assert "29 more are needed" in message


def test_all_that_is_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILES", 10**9)
    monkeypatch.setattr(limits, "DISK_MIB", 10**9)
    with pytest.raises(BootFailed, match=r"Open files: .*ulimit.* MiB are free"):
        check(tmp_path / "not" / "there", 1, nodes=False)
    assert not [*tmp_path.iterdir()]
