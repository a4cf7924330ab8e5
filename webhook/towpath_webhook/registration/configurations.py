"""What makes apiserver and Karmada ask the webhook: pure functions from the table to the configurations.

``Settings`` say where the webhook is and what it is asked. ``towpath install`` keeps them in a ConfigMap of
Karmada and creates the configurations, last, when the webhook answers. From then on each webhook compares
them with what they should be, and writes back what differs (``certificates_keeping``). It never makes one
anew: who deletes a configuration is out of any trouble with the webhook, and nothing brings that back.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

from towpath.errors import InvalidObject, UsageError
from towpath_webhook.admission import hooks as registry
from towpath_webhook.admission import probe as probing
from towpath_webhook.admission.hooks import Failure, Hook
from towpath_webhook.admission.match_conditions import MANAGED_BY, TOWPATH

NAME = "towpath"
"""Of each of the three configurations."""
MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
INTERPRETING = "ResourceInterpreterWebhookConfiguration"
_ADMISSION, _INTERPRETER = "admissionregistration.k8s.io/v1", "config.karmada.io/v1alpha1"
_HTTPS = 443
_CANDIDATE = "candidate"
"""Key of an address in the settings that is being tried."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

Object = dict[str, Any]


class Interpreter(StrEnum):
    """Who tells Karmada what came of an export: the webhook, Lua inside of Karmada, or nobody."""

    WEBHOOK = "webhook"
    LUA = "lua"
    NONE = "none"


@dataclass(frozen=True)
class Service:
    """A Service that the apiserver can resolve."""

    namespace: str
    name: str
    port: int = _HTTPS


@dataclass(frozen=True)
class Settings:
    """Where the webhook is asked, and for what. ``failure`` None: what the table says for each."""

    address: str | Service
    interpreter: Interpreter = Interpreter.WEBHOOK
    failure: Failure | None = None
    version: str = ""
    """Of Towpath, by whose table the configurations were made."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which clients know the server: its certificate must hold them."""
        if isinstance(self.address, Service):
            host = f"{self.address.name}.{self.address.namespace}.svc"
            return (host, f"{host}.cluster.local")
        return (str(urlsplit(self.address).hostname),)

    def client_config(self, path: str, bundle: bytes) -> Object:
        """Return how to reach a path, and whom to trust."""
        trust = {"caBundle": base64.b64encode(bundle).decode()} if bundle else {}
        if isinstance(self.address, Service):
            service = {"namespace": self.address.namespace, "name": self.address.name}
            return {**trust, "service": {**service, "path": path, "port": self.address.port}}
        return {**trust, "url": self.address + path}

    def dump(self) -> dict[str, str]:
        """Return the data of a ConfigMap."""
        address = self.address
        where = (
            {"service": f"{address.namespace}/{address.name}:{address.port}"}
            if isinstance(address, Service)
            else {"url": address}
        )
        failure = {"failurePolicy": self.failure.value} if self.failure else {}
        return {**where, "interpreter": self.interpreter.value, **failure, "version": self.version}

    def as_candidate(self, present: Mapping[str, str]) -> dict[str, str]:
        """Return the data of a ConfigMap that has settings already, with this address as the candidate.

        The webhook issues a certificate for it, and nothing else follows from it.
        """
        data = self.dump()
        return {**present, _CANDIDATE: data.get("url") or data["service"]}

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Self:
        """Read a ConfigMap's data. Raises InvalidObject naming the key that is wrong."""
        try:
            service = data.get("service")
            return cls(
                parse_service(service) if service else parse_url(data.get("url", "")),
                Interpreter(data.get("interpreter", Interpreter.WEBHOOK)),
                Failure(data["failurePolicy"]) if "failurePolicy" in data else None,
                data.get("version", ""),
            )
        except (ValueError, UsageError) as error:
            raise InvalidObject(f"the webhook's settings: {error}") from None


def stated(data: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in a ConfigMap's data, without the candidate of a registration under way."""
    return {key: value for key, value in data.items() if key != _CANDIDATE}


def candidate_names(data: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the address that is being registered, empty if there is none."""
    text = data.get(_CANDIDATE, "")
    if not text:
        return ()
    try:
        return Settings(parse_url(text) if "://" in text else parse_service(text)).names
    except UsageError as error:
        raise InvalidObject(f"the webhook's settings: {error}") from None


def parse_url(text: str) -> str:
    """Return ``https://host[:port]`` as it is. Raises UsageError for anything else."""
    parts = urlsplit(text)
    try:
        whole = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none
        whole = False
    if not whole or parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise UsageError(f"the webhook's URL {text!r}: write https://HOST:PORT")
    return text.rstrip("/")


def parse_service(text: str) -> Service:
    """Read ``namespace/name[:port]``. Raises UsageError."""
    namespace, _, rest = text.partition("/")
    name, colon, port = rest.partition(":")
    number = int(port) if port.isascii() and port.isdecimal() else 0 if colon else _HTTPS
    named = _LABEL.fullmatch(namespace) and _LABEL.fullmatch(name)
    if not named or number not in range(1, 65536):
        raise UsageError(f"the webhook's service {text!r}: write NAMESPACE/NAME:PORT")
    return Service(namespace, name, number)


def configurations(settings: Settings, bundle: bytes) -> list[Object]:
    """Return the configurations for a webhook whose certificates the CAs of ``bundle`` (PEM) sign.

    Selectors are written down although they are the defaults: so one that was added is found.
    """
    wanted = [
        _configuration(_ADMISSION, MUTATING, [_admission(h, settings, bundle) for h in registry.MUTATING]),
        _configuration(
            _ADMISSION, VALIDATING, [_admission(h, settings, bundle) for h in registry.VALIDATING]
        ),
    ]
    for hook in wanted[0]["webhooks"]:
        hook["reinvocationPolicy"] = "Never"
    if settings.interpreter is Interpreter.WEBHOOK:
        wanted.append(_configuration(_INTERPRETER, INTERPRETING, [_interpreter(settings, bundle)]))
    return wanted


def _configuration(api_version: str, kind: str, webhooks: list[Object]) -> Object:
    metadata = {"name": NAME, "labels": {MANAGED_BY: TOWPATH}}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "webhooks": webhooks}


def _admission(hook: Hook, settings: Settings, bundle: bytes) -> Object:
    return {
        "name": hook.name,
        "clientConfig": settings.client_config(hook.path, bundle),
        "rules": [
            {
                "apiGroups": list(asked.groups),
                "apiVersions": list(registry.VERSIONS),
                "resources": list(asked.resources),
                "operations": list(asked.operations),
                "scope": asked.scope,
            }
            for asked in hook.asked
        ],
        "matchConditions": [condition._asdict() for condition in hook.conditions],
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "failurePolicy": (settings.failure or hook.failure).value,
        "sideEffects": "None",
        "timeoutSeconds": hook.timeout,
        "admissionReviewVersions": ["v1"],
    }


def _interpreter(settings: Settings, bundle: bytes) -> Object:
    return {
        "name": registry.INTERPRETER,
        "clientConfig": settings.client_config(registry.INTERPRET, bundle),
        "rules": [
            {
                "operations": list(interpreted.operations),
                "apiGroups": list(registry.DIALECTS),
                "apiVersions": list(registry.VERSIONS),
                "kinds": list(interpreted.kinds),
            }
            for interpreted in registry.INTERPRETING
        ],
        "timeoutSeconds": registry.INTERPRET_TIMEOUT,
        "interpreterContextVersions": ["v1alpha1"],
    }


def probe(settings: Settings, bundle: bytes, nonce: str) -> Object:
    """Return a configuration by which an apiserver calls the webhook about ``probed(nonce)`` and no more."""
    hook = {
        "name": "probe.towpath.io",
        "clientConfig": settings.client_config(probing.PATH, bundle),
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["configmaps"],
                "operations": ["CREATE"],
                "scope": "Namespaced",
            }
        ],
        "objectSelector": {"matchLabels": {probing.LABEL: nonce}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "timeoutSeconds": 3,
        "admissionReviewVersions": ["v1"],
    }
    wanted = _configuration(_ADMISSION, MUTATING, [hook])
    return {**wanted, "metadata": {**wanted["metadata"], "name": f"{NAME}-probe-{nonce}"}}


def probed(nonce: str) -> Object:
    """Return what to create as a dry run: it comes back with the nonce as an annotation."""
    metadata = {"name": f"{NAME}-probe-{nonce}", "labels": {probing.LABEL: nonce}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def is_ours(live: Object) -> bool:
    """Tell whether a configuration is Towpath's to change."""
    labels: Mapping[str, str] = live["metadata"].get("labels") or {}
    return labels.get(MANAGED_BY) == TOWPATH


def repaired(live: Object, wanted: Object) -> Object | None:
    """Return a configuration as it should be, None if it is."""
    if _holds(live.get("webhooks"), wanted["webhooks"]):
        return None
    return {**live, "webhooks": wanted["webhooks"]}


def trusting(live: Object, bundle: bytes) -> Object | None:
    """Return a configuration that another version of Towpath made with the right CAs, None if it has them."""
    encoded = base64.b64encode(bundle).decode()
    hooks = [
        {**hook, "clientConfig": {**hook.get("clientConfig", {}), "caBundle": encoded}}
        for hook in live.get("webhooks") or ()
    ]
    return None if hooks == live.get("webhooks") else {**live, "webhooks": hooks}


def carried(configuration: Object) -> frozenset[bytes]:
    """Return the CAs, each as PEM, that every webhook of a configuration trusts."""
    bundles = [_trusted(hook) for hook in configuration.get("webhooks") or ()]
    return frozenset.intersection(*bundles) if bundles else frozenset()


def _trusted(hook: Object) -> frozenset[bytes]:
    try:
        return frozenset(blocks(base64.b64decode(hook.get("clientConfig", {}).get("caBundle", ""))))
    except (binascii.Error, ValueError):
        return frozenset()


def blocks(pem: bytes) -> list[bytes]:
    """Return the certificates in a file of PEM, each by itself."""
    return _BLOCK.findall(pem)


def _holds(live: object, wanted: object) -> bool:
    """Tell whether everything wanted is in live; lists are compared whole."""
    if isinstance(wanted, Mapping):
        if not wanted:
            return live == {}
        return isinstance(live, Mapping) and all(_holds(live.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        if not isinstance(live, Sequence) or len(live) != len(wanted):
            return False
        return all(map(_holds, live, wanted))
    return live == wanted
