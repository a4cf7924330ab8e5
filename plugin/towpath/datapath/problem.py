"""What the data path cannot do with an object: one problem never affects other objects."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from towpath.model.keys import ServiceKey

IMPORT, EXPORT, POLICY = "ServiceImport", "ServiceExport", "GlobalTrafficPolicy"


class ProblemReason(StrEnum):
    """Why an object, or a part of it, has no effect on the data path."""

    RESERVED = "ReservedName"
    NO_SERVICE = "NoService"
    HEADLESS = "HeadlessService"
    EXTERNAL_NAME = "ExternalName"
    NO_SUCH_PORT = "NoSuchPort"
    NOT_TCP = "NotTCP"
    BAD_ADDRESS = "BadAddress"
    BAD_PATH = "BadPath"
    BAD_REWRITE = "BadPathRewrite"
    SHARED_GATEWAY = "SharedGateway"
    PATH_TAKEN = "PathTaken"
    NAME_TAKEN = "NameTaken"
    NO_PORT_LEFT = "NoPortLeft"
    BAD_WEIGHT = "BadWeight"
    BAD_TIERS = "BadTiers"


class Problem(NamedTuple):
    """An object with a field that has no effect, and what to do about it."""

    kind: str
    key: ServiceKey
    reason: ProblemReason
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.key.namespace}/{self.key.name}: {self.message}"
