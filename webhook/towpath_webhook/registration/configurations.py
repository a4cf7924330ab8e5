"""The configurations that make the apiserver and Karmada call the webhook: pure functions of the table in
``hooks``.

``Settings`` are the address of the webhook and what it is called for. ``towpath install`` stores them in a
ConfigMap of Karmada, and creates the configurations last, once the webhook answers. From then on the webhook
keeps their CAs up to date (``certificates.keeper``). It never creates a configuration: deleting them is the
way to disable the webhook."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

from towpath.errors import InvalidObject, UsageError
from towpath.model.ownership import MANAGED_BY, is_own
from towpath_webhook.admission import hooks
from towpath_webhook.admission import probe as probing
from towpath_webhook.admission.hooks import FailurePolicy, Hook

NAME = "towpath"
"""The name of each of the three configurations."""
MUTATING, VALIDATING = "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
INTERPRETING = "ResourceInterpreterWebhookConfiguration"
_ADMISSION, _INTERPRETER = "admissionregistration.k8s.io/v1", "config.karmada.io/v1alpha1"
_HTTPS = 443
_CANDIDATE = "candidate"
"""Key of an address in the settings that is being tried."""
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_TOKEN_BYTES = 16
_TOKEN = re.compile(r"([0-9a-f]{32})?")
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

Object = dict[str, Any]


class Interpreter(StrEnum):
    """What interprets exports for Karmada: the webhook, Lua inside Karmada, or nothing."""

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
    """The address of the webhook, and what it is called for. ``failure_policy`` None: that of each hook."""

    address: str | Service
    interpreter: Interpreter = Interpreter.WEBHOOK
    failure_policy: FailurePolicy | None = None
    version: str = ""
    """The version of Towpath whose table the configurations were built from."""
    token: str = ""
    """A random part of the URLs, by which the webhook recognizes its callers (``http.access``)."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the server that its certificate must have."""
        if isinstance(self.address, Service):
            host = f"{self.address.name}.{self.address.namespace}.svc"
            return (host, f"{host}.cluster.local")
        return (str(urlsplit(self.address).hostname),)

    def client_config(self, path: str, bundle: bytes) -> Object:
        """Return the clientConfig for a path."""
        path = f"/{self.token}{path}" if self.token else path
        trust = {"caBundle": base64.b64encode(bundle).decode()} if bundle else {}
        if isinstance(self.address, Service):
            service = {"namespace": self.address.namespace, "name": self.address.name}
            return {**trust, "service": {**service, "path": path, "port": self.address.port}}
        return {**trust, "url": self.address + path}

    def dump(self) -> dict[str, str]:
        """Return the data of a ConfigMap."""
        address = self.address
        target = (
            {"service": f"{address.namespace}/{address.name}:{address.port}"}
            if isinstance(address, Service)
            else {"url": address}
        )
        optional = {"failurePolicy": self.failure_policy.value} if self.failure_policy else {}
        if self.token:
            optional["token"] = self.token
        return {**target, "interpreter": self.interpreter.value, **optional, "version": self.version}

    def as_candidate(self, present: Mapping[str, str]) -> dict[str, str]:
        """Return the data of a ConfigMap that has settings already, with this address as the candidate.

        The webhook issues a certificate for it, and nothing else follows from it.
        """
        data = self.dump()
        return {**present, _CANDIDATE: data.get("url") or data["service"]}

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> Self:
        """Parse the data of a ConfigMap. Raises InvalidObject naming the invalid key."""
        try:
            service = data.get("service")
            return cls(
                parse_service(service) if service else parse_url(data.get("url", "")),
                Interpreter(data.get("interpreter", Interpreter.WEBHOOK)),
                FailurePolicy(data["failurePolicy"]) if "failurePolicy" in data else None,
                data.get("version", ""),
                _parse_token(data.get("token", "")),
            )
        except (ValueError, UsageError) as error:
            raise InvalidObject(f"webhook settings: {error}") from None


def new_token() -> str:
    """Return a random token for the URLs of a registration."""
    return secrets.token_hex(_TOKEN_BYTES)


def _parse_token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise UsageError("token: The value is not a hexadecimal number. Run `towpath install`.")
    return text


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
        raise InvalidObject(f"webhook settings: {error}") from None


def parse_url(text: str) -> str:
    """Return ``https://host[:port]`` unchanged. Raises UsageError for anything else."""
    parts = urlsplit(text)
    try:
        is_complete = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError:  # an invalid port
        is_complete = False
    if (
        not is_complete
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or parts.username is not None
    ):
        raise UsageError(f"webhook URL: {text!r} is not a base URL. Use https://HOST:PORT.")
    return text.rstrip("/")


def parse_service(text: str) -> Service:
    """Parse ``namespace/name[:port]``. Raises UsageError."""
    namespace, _, rest = text.partition("/")
    name, colon, port = rest.partition(":")
    number = int(port) if port.isascii() and port.isdecimal() else 0 if colon else _HTTPS
    has_names = _LABEL.fullmatch(namespace) and _LABEL.fullmatch(name)
    if not has_names or number not in range(1, 65536):
        raise UsageError(f"webhook Service: {text!r} is not a Service. Use NAMESPACE/NAME:PORT.")
    return Service(namespace, name, number)


def configurations(settings: Settings, bundle: bytes) -> list[Object]:
    """Return the configurations. ``bundle`` are the CAs of the webhook's certificate, in PEM.

    Selectors are set explicitly although they are the defaults: so an added one counts as a difference.
    """
    wanted = [
        _configuration(_ADMISSION, MUTATING, [_admission(hook, settings, bundle) for hook in hooks.MUTATING]),
        _configuration(
            _ADMISSION, VALIDATING, [_admission(hook, settings, bundle) for hook in hooks.VALIDATING]
        ),
    ]
    for hook in wanted[0]["webhooks"]:
        hook["reinvocationPolicy"] = "Never"
    if settings.interpreter is Interpreter.WEBHOOK:
        wanted.append(_configuration(_INTERPRETER, INTERPRETING, [_interpreter(settings, bundle)]))
    return wanted


def _configuration(api_version: str, kind: str, webhooks: list[Object]) -> Object:
    metadata = {"name": NAME, "labels": dict(MANAGED_BY)}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "webhooks": webhooks}


def _admission(hook: Hook, settings: Settings, bundle: bytes) -> Object:
    return {
        "name": hook.name,
        "clientConfig": settings.client_config(hook.path, bundle),
        "rules": [
            {
                "apiGroups": list(rule.groups),
                "apiVersions": list(hooks.VERSIONS),
                "resources": list(rule.resources),
                "operations": list(rule.operations),
                "scope": rule.scope,
            }
            for rule in hook.resources
        ],
        "matchConditions": [condition._asdict() for condition in hook.conditions],
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "failurePolicy": (settings.failure_policy or hook.failure_policy).value,
        "sideEffects": "None",
        "timeoutSeconds": hook.timeout_seconds,
        "admissionReviewVersions": ["v1"],
    }


def _interpreter(settings: Settings, bundle: bytes) -> Object:
    return {
        "name": hooks.INTERPRETER,
        "clientConfig": settings.client_config(hooks.INTERPRET, bundle),
        "rules": [
            {
                "operations": list(rule.operations),
                "apiGroups": list(hooks.DIALECTS),
                "apiVersions": list(hooks.VERSIONS),
                "kinds": list(rule.kinds),
            }
            for rule in hooks.INTERPRETER_RULES
        ],
        "timeoutSeconds": hooks.INTERPRET_TIMEOUT_SECONDS,
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
    """Return whether a configuration belongs to Towpath."""
    return is_own(live)


def repaired(live: Object, wanted: Object) -> Object | None:
    """Return a configuration with the wanted webhooks, None if it has them."""
    if _holds(live.get("webhooks"), wanted["webhooks"]):
        return None
    return {**live, "webhooks": wanted["webhooks"]}


def with_bundle(live: Object, bundle: bytes) -> Object | None:
    """Return a configuration with these CAs and otherwise unchanged, None if it has them."""
    encoded = base64.b64encode(bundle).decode()
    hooks = [
        {**hook, "clientConfig": {**hook.get("clientConfig", {}), "caBundle": encoded}}
        for hook in live.get("webhooks") or ()
    ]
    return None if hooks == live.get("webhooks") else {**live, "webhooks": hooks}


def trusted_authorities(configuration: Object) -> frozenset[bytes]:
    """Return the CAs, each in PEM, that every webhook of a configuration has."""
    bundles = [_trusted(hook) for hook in configuration.get("webhooks") or ()]
    return frozenset.intersection(*bundles) if bundles else frozenset()


def _trusted(hook: Object) -> frozenset[bytes]:
    try:
        return frozenset(split_pem(base64.b64decode(hook.get("clientConfig", {}).get("caBundle", ""))))
    except (binascii.Error, ValueError):
        return frozenset()


def split_pem(pem: bytes) -> list[bytes]:
    """Return each certificate of a PEM file."""
    return _BLOCK.findall(pem)


def _holds(live: object, wanted: object) -> bool:
    """Return whether everything wanted is in live; lists are compared as a whole."""
    if isinstance(wanted, Mapping):
        if not wanted:
            return live == {}
        return isinstance(live, Mapping) and all(_holds(live.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        if not isinstance(live, Sequence) or len(live) != len(wanted):
            return False
        return all(map(_holds, live, wanted))
    return live == wanted
