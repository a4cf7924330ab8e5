"""Each alert fires in a real Prometheus' judgement when it should, and is silent when all is well."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import aiohttp
import pytest

from tests.datapath.test_alerts import OF_DATA_PATHS
from tests.e2e.test_alerts_live import OF_PLUGINS
from tests.support import prometheus
from tests.support.certificates import HOSTS, authority, identity, written
from tests.support.prometheus import ALERTS, RULES, expecting, judged
from tests.support.reviews import RULE, document, question
from towpath.local.ports import free_ports
from towpath_webhook.admission.hooks import VALIDATE_EXPORTS
from towpath_webhook.http.dispatch import PLUGIN_UNAVAILABLE

OF_WEBHOOKS = {
    *("TowpathCertificateExpires", "TowpathNoLeader", "TowpathWebhookWithoutPlugin"),
    *("TowpathWebhookFails", "TowpathWebhookSlow"),
}
LEADER = 'towpath_leader{instance="a"}'
DAY = 86400


class Case(NamedTuple):
    """Series by which an alert fires, and its labels then."""

    series: dict[str, str]
    labels: Mapping[str, str] = MappingProxyType({})


PATH = 'direction="egress", namespace="shop", service="web", port="8080", cluster="cluster-2"'
CONFLICTS = 'towpath_write_failures_total{instance="a", kind="ServiceImport", verb="apply", error="Conflict"}'


WELL = {
    LEADER: "1x150",
    'towpath_leader{instance="b"}': "0x150",
    'towpath_services_behind{instance="a", cluster="cluster-1"}': "0x150",
    # a standby plugin does not follow the members
    'towpath_services_behind{instance="b", cluster="cluster-1"}': "3x150",
    'towpath_clusters{instance="a", state="lost"}': "0x150",
    'towpath_clusters{instance="a", state="ready"}': "3x150",
    'towpath_guard_refusals_total{instance="a", cause="too_many"}': "0x150",
    'towpath_exports{instance="a", condition="Valid", status="False"}': "0x150",
    'towpath_exports{instance="a", condition="Valid", status="True"}': "5x150",
    'towpath_queue_oldest_seconds{instance="a"}': "0x150",
    CONFLICTS: "2x150",
    'towpath_webhook_answer_seconds_bucket{instance="w", path="/mutate", le="0.005"}': "0+60x150",
    'towpath_webhook_answer_seconds_bucket{instance="w", path="/mutate", le="+Inf"}': "0+60x150",
    'towpath_webhook_answer_seconds_count{instance="w", path="/mutate"}': "0+60x150",
    'towpath_webhook_answers_total{instance="w", path="/mutate", outcome="allowed"}': "0+60x150",
    'towpath_webhook_plugin_failures_total{instance="w", code="UNAVAILABLE"}': "0x150",
    'towpath_webhook_certificate_expiry_timestamp_seconds{certificate="serving"}': f"{20 * DAY}x150",
    'towpath_credentials_expiry_timestamp_seconds{job="towpath-plugin"}': f"{300 * DAY}x150",
    f"towpath_net_gateway_reachable{{{PATH}}}": "1x150",
    f"towpath_net_requests_total{{{PATH}}}": "0+600x150",
    f"towpath_net_request_errors_total{{{PATH}}}": "0+6x150",
    'towpath_net_rejections_total{type="CLUSTER"}': "0x150",
}
"""A fleet in which all is well, sampled once a minute."""

CASES = {
    "TowpathNoLeader": Case({LEADER: "0x150"}),
    "TowpathSeveralLeaders": Case(
        {'towpath_leader{instance="b"}': "1x150"}
        | {'towpath_services_behind{instance="b", cluster="cluster-1"}': "0x150"}
    ),
    "TowpathMemberBehind": Case(
        {'towpath_services_behind{instance="a", cluster="cluster-1"}': "2x150"}, {"cluster": "cluster-1"}
    ),
    "TowpathMemberLost": Case({'towpath_clusters{instance="a", state="lost"}': "1x150"}),
    "TowpathDeletionWithheld": Case(
        {'towpath_guard_refusals_total{instance="a", cause="too_many"}': "0+1x150"}, {"cause": "too_many"}
    ),
    "TowpathExportsInvalid": Case(
        {'towpath_exports{instance="a", condition="Valid", status="False"}': "1x150"}
    ),
    "TowpathWritesFail": Case({CONFLICTS: "0+30x150"}, {"kind": "ServiceImport", "error": "Conflict"}),
    "TowpathQueueStuck": Case({'towpath_queue_oldest_seconds{instance="a"}': "61x150"}),
    "TowpathWebhookSlow": Case(
        {'towpath_webhook_answer_seconds_bucket{instance="w", path="/mutate", le="0.005"}': "0+6x150"}
        | {'towpath_webhook_answer_seconds_bucket{instance="w", path="/mutate", le="2.5"}': "0+60x150"}
    ),
    "TowpathWebhookFails": Case(
        {'towpath_webhook_answers_total{instance="w", path="/mutate", outcome="failed"}': "0+1x150"},
        {"path": "/mutate"},
    ),
    "TowpathWebhookWithoutPlugin": Case(
        {'towpath_webhook_plugin_failures_total{instance="w", code="UNAVAILABLE"}': "0+1x150"},
        {"code": "UNAVAILABLE"},
    ),
    "TowpathCertificateExpires": Case(
        {'towpath_webhook_certificate_expiry_timestamp_seconds{certificate="serving"}': f"{6 * DAY}x150"},
        {"certificate": "serving"},
    ),
    "TowpathCredentialsExpire": Case(
        {'towpath_credentials_expiry_timestamp_seconds{job="towpath-plugin"}': f"{13 * DAY}x150"},
        {"job": "towpath-plugin"},
    ),
    "TowpathGatewayUnreachable": Case(
        {f"towpath_net_gateway_reachable{{{PATH}}}": "0x150"},
        {"cluster": "cluster-2", "namespace": "shop", "service": "web"},
    ),
    "TowpathDataPathErrors": Case(
        {f"towpath_net_request_errors_total{{{PATH}}}": "0+60x150"},
        {"cluster": "cluster-2", "namespace": "shop", "service": "web"},
    ),
    "TowpathDataPathRejected": Case(
        {'towpath_net_rejected_resources{type="CLUSTER", resource="egress/shop/web:80"}': "1x150"},
        {"type": "CLUSTER"},
    ),
}


def test_prometheus_accepts_the_rules() -> None:
    argv = [str(prometheus.program("promtool")), "check", "rules", str(ALERTS)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    assert not judged(tmp_path, expecting("well", WELL, {}))


def test_every_alert_has_a_case() -> None:
    assert CASES.keys() == RULES.keys()


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_alone(alert: str, tmp_path: Path) -> None:
    case = CASES[alert]

    assert not judged(tmp_path, expecting(alert, WELL | case.series, {alert: case.labels}))


def test_an_alert_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    assert "TowpathNoLeader" in judged(tmp_path, expecting("none", WELL, {"TowpathNoLeader": {}}))


@asynccontextmanager
async def running(*module: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *module, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield started
    finally:
        started.kill()
        await started.wait()


async def ask(url: str, trust: ssl.SSLContext, *, pause: float = 0) -> AsyncIterator[str]:
    """Ask a webhook about exports, for ever, as users apply them; yields its answers."""
    body = question(document("ServiceExport", {"rules": [RULE]}))
    connector, headers = aiohttp.TCPConnector(ssl=trust), {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        while True:
            try:
                async with session.post(url + VALIDATE_EXPORTS, data=body) as answer:
                    assert answer.status == 200
                    yield await answer.text()
                await asyncio.sleep(pause)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)  # it does not listen yet


async def listen(answers: AsyncIterator[str]) -> None:
    async for _ in answers:
        pass


def test_a_running_prometheus_fires_each_of_them() -> None:
    """On metrics of real runs: of webhooks here, of plugins, and of a data path."""
    assert sorted(OF_WEBHOOKS | OF_PLUGINS | OF_DATA_PATHS) == sorted(RULES)


async def test_those_of_a_real_webhook_fire(tmp_path: Path) -> None:
    """Its certificate ends in a day, its plugin has stopped answering, and no plugin leads.

    Another has a defect.
    """
    made = authority("alerts")
    files = written(tmp_path / "webhook", identity(made, "webhook", serves=HOSTS), made)
    port, health, other_port, other_health = free_ports(4)
    socket, addresses = tmp_path / "plugin.sock", f"127.0.0.1:{health} 127.0.0.1:{other_health}"
    tls = (f"--tls-cert={files.certificate}", f"--tls-key={files.key}", "--drain=0")
    webhook = ("serve", "webhook", *tls, f"--plugin-socket={socket}")
    async with AsyncExitStack() as stack:
        plugin = await stack.enter_async_context(running("tests.bench.webhook_plugin", str(socket)))
        assert plugin.stdout is not None
        assert await plugin.stdout.readuntil(b"serving\n")
        for program, serves, reports in (
            ("towpath", port, health),
            ("tests.support.broken_webhook", other_port, other_health),
        ):
            here = (f"--port={serves}", f"--health=127.0.0.1:{reports}")
            await stack.enter_async_context(running(program, *webhook, *here))
        judge = await stack.enter_async_context(
            prometheus.prometheus(tmp_path / "prometheus", towpath_webhook=addresses)
        )
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        trust = ssl.create_default_context(cafile=str(files.ca))
        answers = ask(f"https://127.0.0.1:{port}", trust)
        async for answer in answers:
            if PLUGIN_UNAVAILABLE not in answer:
                break
        os.kill(plugin.pid, signal.SIGSTOP)
        # One that fails is quick: seldom, so that the other's answers count.
        others = ask(f"https://127.0.0.1:{other_port}", trust, pause=1)
        asking = [tasks.create_task(listen(each)) for each in (answers, others)]
        await judge.fires(*OF_WEBHOOKS)
        for task in asking:
            task.cancel()
