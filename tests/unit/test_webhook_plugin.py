"""The hop to the plugin, over a real socket: its word is added, and without it the rules stand alone."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.bodies import interpreted
from tests.reviews import answer, question, response
from tests.unit.inventories import aggregated, clusters, export, exported, invalid, knowing
from tests.unit.plugins import server
from tests.waiting import until
from towpath.issuing import Identity, issue, make_authority
from towpath.rpc.credentials import Files, for_client
from towpath.rpc.server import Port
from towpath_webhook import plugin as hop
from towpath_webhook.endpoints import SILENT
from towpath_webhook.metrics import Call, Metrics
from towpath_webhook.plugin import Address, Plugin
from towpath_webhook.registry import INTERPRET, VALIDATE_EXPORTS, VALIDATE_POLICIES

pytestmark = pytest.mark.timeout(60)
KNOWN = knowing(*clusters("a", "b"), *exported("web", "a", "b"))
TOLD = "spec.targetClusters[0]: r/z/g/nowhere: no member has this cluster key"
DAY = timedelta(days=1)


def written_by_user(path_type: str = "Prefix", target: str = "r/z/g/nowhere") -> dict[str, Any]:
    made = export(targets=[target])
    made["spec"]["rules"][0]["pathType"] = path_type
    return made


EXPORT = written_by_user()


@asynccontextmanager
async def running(path: Path | None, port: Port | None = None) -> AsyncIterator[str]:
    async with server(KNOWN, path, port=port) as made:
        made.in_sync()
        yield f"127.0.0.1:{made.number}" if port else f"unix:{path}"


async def warned(plugin: Plugin, obj: dict[str, Any] = EXPORT) -> list[str]:
    said = await answer(VALIDATE_EXPORTS, question(obj), plugin)
    return list(response(said, question(obj)).get("warnings", []))


async def test_its_word_is_added_each_thing_once(tmp_path: Path) -> None:
    async with running(tmp_path / "s") as target, Plugin(Address(target), Metrics()) as plugin:
        assert await warned(plugin) == [TOLD]
        said = await answer(VALIDATE_POLICIES, question(None, EXPORT), plugin)
        assert response(said, question(None, EXPORT))["allowed"]


async def test_while_it_is_down_one_warning_says_so_and_it_is_asked_again(tmp_path: Path) -> None:
    metrics = Metrics()
    async with Plugin(Address(f"unix:{tmp_path / 's'}"), metrics) as plugin:
        rule, silent = await warned(plugin, written_by_user("Exact"))
        assert rule.startswith("spec.rules[0].pathType: Exact")
        assert silent == SILENT
        assert await warned(plugin, written_by_user(target="x")) == [], "who is refused need not know"
        asked = interpreted(EXPORT, "AggregateStatus", "u-1", [])
        said = json.loads(await answer(INTERPRET, asked, plugin))["response"]
        assert said == {"uid": "u-1", "successful": True}
        assert metrics.plugin_failures["UNAVAILABLE"]._value.get() == 3
        async with running(tmp_path / "s"):
            await until(lambda: warned(plugin), lambda told: told == [TOLD], patience=5)
        await until(lambda: warned(plugin), lambda told: told == [SILENT], patience=5)
        assert metrics.plugin_seconds[Call.REVIEW]._sum.get() > 0


async def test_the_status_of_an_export_is_its_word(tmp_path: Path) -> None:
    async with running(tmp_path / "s") as target, Plugin(Address(target), Metrics()) as plugin:
        asked = interpreted(export(), "AggregateStatus", "u-1", aggregated({"a": invalid("no such port")}))
        said = json.loads(await answer(INTERPRET, asked, plugin))["response"]
        (patch,) = json.loads(base64.b64decode(said["patch"]))
        assert patch["path"] == "/status"
        conditions = {one["type"]: one for one in patch["value"]["conditions"]}
        assert "no such port" in conditions["Valid"]["message"]


def written(folder: Path, identity: Identity, ca: Identity) -> Files:
    folder.mkdir(exist_ok=True)
    files = Files(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    contents = (identity.certificate_pem, identity.key_pem, ca.certificate_pem)
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)
    return files


async def test_by_mutual_tls_with_certificates_that_are_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hop, "RENEWAL", 0.1)
    ours, theirs, strange = (make_authority(name, validity=DAY) for name in ("a", "b", "c"))
    serving = issue(ours, "plugin", validity=DAY, serves=["127.0.0.1"])
    port = Port("127.0.0.1:0", written(tmp_path / "plugin", serving, theirs))
    mine = written(tmp_path / "webhook", issue(strange, "webhook", validity=DAY), ours)
    async with (
        running(None, port) as target,
        Plugin(Address(target, lambda: for_client(mine)), Metrics()) as plugin,
    ):
        assert await warned(plugin) == [SILENT], "a certificate of a stranger"
        written(tmp_path / "webhook", issue(theirs, "webhook", validity=DAY), ours)
        await until(lambda: warned(plugin), lambda told: told == [TOLD], patience=10)
