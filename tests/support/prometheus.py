"""A real Prometheus: the programs of Debian's package, unpacked into the cache folder and not installed."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.checkout import TOP
from tests.support.waiting import until
from towpath.local.cachefolder import cache_root, make_folder
from towpath.local.ports import free_ports

ALERTS = TOP / "deploy" / "charts" / "towpath" / "files" / "alerts.yaml"
RULES = {rule["alert"]: rule for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]}
_PACKAGE = "prometheus"
_SUFFIXES = ("_bucket", "_count", "_sum")
_SELECTED = re.compile(r"\b(towpath_[a-z_]+)(?:\{([^}]*)\})?")
_GROUPED = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")
_LABEL = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"')
_RANGE = re.compile(r"\[(\d+)m\]")
_RANGE_SECONDS = 3
"""What a minute of a range becomes: the agent of the data path reads Envoy's counters every five seconds."""
_FIRING_PATIENCE = 60.0


def program(name: str) -> Path:
    """Return ``promtool`` or ``prometheus``, downloaded first where they are missing."""
    folder = cache_root() / "prometheus" / "debian"
    found = folder / "usr" / "bin" / name
    if not found.is_file():
        make_folder(folder, complete=found.is_file, fill=_unpack, waiting=lambda: None)
    return found


def _unpack(folder: Path) -> None:
    download = folder / "download"
    download.mkdir(mode=0o777)
    subprocess.run(["apt-get", "download", "-q", _PACKAGE], cwd=download, check=True, capture_output=True)
    (package,) = download.glob("*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    shutil.rmtree(download)


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Return the metrics that an expression reads, each with the labels by which it selects."""
    return [(name, set(_LABEL.findall(labels))) for name, labels in _SELECTED.findall(expression)]


def groupings(expression: str) -> set[str]:
    """Return the labels by which an expression groups or matches."""
    return {label.strip() for group in _GROUPED.findall(expression) for label in group.split(",")}


def family(name: str, histograms: set[str]) -> str:
    """Return the metric that a series belongs to: a histogram has several."""
    for suffix in _SUFFIXES:
        if name.removesuffix(suffix) in histograms:
            return name.removesuffix(suffix)
    return name


def expecting(name: str, series: dict[str, str], firing: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Return a test of promtool: after two hours these alerts fire, and no other does."""
    alerts = [
        {
            "eval_time": "2h",
            "alertname": alert,
            "exp_alerts": [{"exp_labels": {**RULES[alert]["labels"], **firing[alert]}}]
            if alert in firing
            else [],
        }
        for alert in RULES
    ]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": alerts,
    }


def judged(folder: Path, *tests: dict[str, Any]) -> str:
    """Return what promtool says, without annotations: the empty string if every test passes."""
    bare = [{k: v for k, v in rule.items() if k != "annotations"} for rule in RULES.values()]
    _write_rules(folder, bare)
    (folder / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": list(tests)})
    )
    argv = [str(program("promtool")), "test", "rules", "tests.yaml"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str, session: aiohttp.ClientSession, log: Path) -> None:
        self.url, self._session, self._log = url, session, log

    async def firing(self) -> set[str]:
        """Return the alerts that fire; none while it starts."""
        try:
            async with self._session.get(f"{self.url}/api/v1/alerts") as answer:
                alerts = (await answer.json())["data"]["alerts"]
        except aiohttp.ClientError:
            return set()
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    async def fires(self, *alerts: str) -> None:
        """Wait until alerts fire together."""
        try:
            await until(self.firing, {*alerts}.issubset, patience=_FIRING_PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{sorted(alerts)}: {error}\n{self._log.read_text()[-2000:]}") from None


@asynccontextmanager
async def prometheus(
    folder: Path, *jobs: Mapping[str, Any], rate: str = "1s", **targets: str
) -> AsyncIterator[Prometheus]:
    """Run Prometheus with the alerts of the chart, of which each waits seconds in place of minutes and hours.

    ``jobs`` are scrape configurations, ``targets`` the addresses of processes, by job, and ``rate`` is how
    often they are scraped.
    """
    folder.mkdir()
    _write_rules(folder, [_hurried(rule) for rule in RULES.values()])
    scraped = [dict(job) for job in jobs] + [
        {"job_name": job.replace("_", "-"), "static_configs": [{"targets": addresses.split()}]}
        for job, addresses in targets.items()
    ]
    often = {"scrape_interval": rate, "scrape_timeout": rate, "evaluation_interval": "500ms"}
    document = {"global": often, "rule_files": ["alerts.yaml"], "scrape_configs": scraped}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(document))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            await asyncio.to_thread(program, "prometheus"),
            *("--config.file=prometheus.yaml", "--storage.tsdb.path=data", f"--web.listen-address={address}"),
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(f"http://{address}", session, folder / "log")
    finally:
        process.terminate()
        await process.wait()


def _hurried(rule: Mapping[str, Any]) -> dict[str, Any]:
    expression = _RANGE.sub(lambda minutes: f"[{int(minutes[1]) * _RANGE_SECONDS}s]", rule["expr"])
    if rule["alert"] == "TowpathQueueStuck":
        expression = expression.replace("> 60", "> 1")
    return {**rule, "expr": expression, "for": f"{rule.get('for', '0')[:-1] or 0}s"}


def _write_rules(folder: Path, rules: list[dict[str, Any]]) -> None:
    document = {"groups": [{"name": "towpath", "rules": rules}]}
    (folder / "alerts.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
