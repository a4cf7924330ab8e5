"""An apiserver that does not fit is refused with the fix, and before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.standin import answered_by
from tests.unit.setup.test_checks import BINDINGS
from towpath.errors import TowpathError, Unreachable, Unsuitable
from towpath.karmada.client import Client
from towpath.setup.requirements import require

OLD = {**BINDINGS, "spec": {"versions": [{"name": "v1alpha2", "schema": {}}]}}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Apiserver:
    """Answers as an apiserver of some age, for a user with some rights."""

    def __init__(self, version: str = "v1.35.4", bindings: Any = BINDINGS, status: int = 200) -> None:
        self.version, self.bindings, self.status, self.allowed = version, bindings, status, True
        self.written: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({"gitVersion": self.version})
        if request.path == REVIEWS:
            return web.json_response({"status": {"allowed": self.allowed}})
        if request.method != "GET":
            self.written.append(request.path)
        if self.status != 200:
            refused = {"kind": "Status", "message": 'User "a" cannot get resource "b"'}
            return web.json_response(refused, status=self.status)
        if self.bindings is None:
            return web.json_response({"kind": "Status", "message": "not found"}, status=404)
        return web.json_response(self.bindings)


def without_tokens() -> Apiserver:
    made = Apiserver()
    made.allowed = False
    return made


async def refused(apiserver: Apiserver, folder: Path) -> TowpathError:
    async with answered_by(apiserver.answer, folder) as client:
        with pytest.raises(TowpathError) as found:
            await require(client, issues_tokens=True)
    return found.value


@pytest.mark.parametrize(
    ("apiserver", "fix"),
    [
        (Apiserver(version="v1.29.3"), "Use a Karmada apiserver of 1.30 or newer."),
        (Apiserver(bindings=OLD), "has no spec.suspension.dispatchingOnClusters. Use Karmada 1.11 or newer."),
        (
            Apiserver(bindings=None),
            "Use the kubeconfig of the Karmada apiserver, not that of its host cluster",
        ),
        (Apiserver(status=403), "Use the kubeconfig of an administrator of the Karmada apiserver."),
        (Apiserver(status=401), "Use the kubeconfig of an administrator of the Karmada apiserver."),
        (without_tokens(), "cannot create serviceaccounts/token"),
    ],
    ids=["old Kubernetes", "old Karmada", "no Karmada", "no rights", "unknown user", "no tokens"],
)
async def test_an_unfit_apiserver_is_refused_with_the_fix(
    apiserver: Apiserver, fix: str, tmp_path: Path
) -> None:
    error = await refused(apiserver, tmp_path)

    assert isinstance(error, Unsuitable)
    assert fix in str(error)
    assert str(error).endswith("Nothing was changed.")
    assert apiserver.written == []


async def test_a_karmada_that_fits_is_accepted(tmp_path: Path) -> None:
    async with answered_by(Apiserver().answer, tmp_path) as client:
        await require(client, issues_tokens=True)
    async with answered_by(without_tokens().answer, tmp_path) as client:
        await require(client, issues_tokens=False)


async def test_an_apiserver_that_is_not_there_is_named_with_the_fix(tmp_path: Path) -> None:
    async with answered_by(Apiserver().answer, tmp_path):
        pass
    async with await Client.connect(tmp_path / "kubeconfig", user_agent="towpath-tests") as client:
        with pytest.raises(Unreachable, match="Check the server of the kubeconfig"):
            await require(client, issues_tokens=False)
