"""Alerts on the metrics of a running plugin, as Prometheus would store them, judged by promtool."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Plane
from tests.e2e.shop import Shop
from tests.support.cli import TOWPATH
from tests.support.prometheus import expecting, judged
from tests.support.waiting import until
from towpath.local.ports import free_ports

INVALID = ("towpath_exports", frozenset({("condition", "Valid"), ("status", "False")}))
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
async def health(plane: Plane) -> AsyncIterator[str]:
    """Run a plugin with a health server, and give its URL."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    argv = (*TOWPATH, "serve", "plugin", f"--kubeconfig={plane.env.plugin}", f"--health={address}")
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    yield f"http://{address}"
    process.terminate()
    await process.wait()


async def samples(url: str) -> Samples:
    """Return what the plugin reports; nothing while it starts."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
            text = await answer.text()
    except aiohttp.ClientError:
        return {}
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def stored(reported: Samples) -> dict[str, str]:
    """Return series that stay as they are for two hours, as Prometheus stores those of one instance."""
    series = {}
    for (name, labels), value in reported.items():
        if name.startswith("towpath_"):
            pairs = ", ".join(f'{key}="{text}"' for key, text in sorted({*labels, ("instance", "a")}))
            series[f"{name}{{{pairs}}}"] = f"{value:g}x150"
    return series


async def test_an_export_without_a_service_fires_its_alert(
    plane: Plane, namespace: str, health: str, tmp_path: Path
) -> None:
    shop = Shop(plane, namespace)
    shop.apply(shop.export(), shop.policy())

    reported = await until(lambda: samples(health), lambda seen: seen.get(INVALID, 0) > 0)

    firing = {"TowpathExportsInvalid": dict[str, str]()}
    test = expecting("live", stored(reported), firing)
    judged_here = {"TowpathExportsInvalid", "TowpathNoLeader", "TowpathSeveralLeaders", "TowpathQueueStuck"}
    test["alert_rule_test"] = [case for case in test["alert_rule_test"] if case["alertname"] in judged_here]
    assert not judged(tmp_path, test)
