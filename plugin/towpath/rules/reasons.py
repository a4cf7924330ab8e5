"""The registry: everything that Towpath can say about a service, with the text that users read.

Each entry is a word for programs and a sentence for people. What is particular to a case, a name or a
number, is added by whoever says it: ``Exclusion`` and ``Caution`` carry it as ``detail``. The page
docs/reasons.md is made from this module.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """A word, and as its ``text`` what it means and what to do."""

    text: str

    def __new__(cls, value: str, text: str) -> Reason:
        """Attach the text to the member."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member


class ExclusionReason(Reason):
    """Why a cluster that a ServiceExport reaches does not export, from the most to the least fundamental."""

    NOT_A_MEMBER = "NotAMember", "Karmada has no member of that name"
    NAME_TAKEN = (
        "NameTaken",
        "a ServiceExport of another API group has this name, and Karmada mixes them up: delete one",
    )
    SERVICE_NOT_BOUND = (
        "ServiceNotBound",
        "the Service is not propagated to this cluster: check its PropagationPolicy",
    )
    SERVICE_GOING = "ServiceBeingDeleted", "the Service is being deleted"
    EXTERNAL_NAME = "InvalidServiceType", "a Service of type ExternalName has no endpoints to export"
    NO_MATCHING_PORT = "NoMatchingPort", "no rule of the ServiceExport names a port of the Service"
    PATH_CLAIMED = (
        "PathClaimed",
        "an older export has this path on the cluster's gateway already: give the rule another path",
    )
    REFUSED_IN_MEMBER = "RefusedInMember", "the cluster itself reports the ServiceExport as not valid"
    NO_GATEWAY = (
        "NoGateway",
        "no gateway is known for this cluster: annotate it with towpath.io/gateway or add a flomesh Cluster",
    )
    GATEWAY_NOT_IPV4 = (
        "GatewayNotIPv4",
        "FSM connects to IPv4 addresses only: give the gateway's IPv4 address",
    )
    GATEWAY_UNRESOLVED = (
        "GatewayUnresolved",
        "the gateway's name has no IPv4 address: correct the name or give the address",
    )
    GATEWAY_LOCAL = (
        "GatewayLocal",
        "the gateway's address means the caller itself: give one that other clusters can reach",
    )
    DRAINED = "Drained", "drained by the annotation towpath.io/drain: remove it to export again"
    UNREACHABLE = (
        "Unreachable",
        "Karmada has lost the cluster for longer than towpath.io/when-unreachable allows",
    )
    TYPE_CONFLICT = (
        "TypeConflict",
        "the Service is headless and the oldest exporter's is not, or the other way round: make them alike",
    )


class NotImportedReason(Reason):
    """Why a member does not import a service."""

    NOT_SERVED = "NotServed", "the member does not serve ServiceImport of this API group: install its CRD"
    NO_EXPORTER = "NoExporter", "no cluster exports the service"
    ONLY_EXPORTER = "OnlyExporter", "it is the only cluster that exports the service"
    OUT_OF_SCOPE = "OutOfScope", "targetClusters of no other exporter lists this cluster's key"
    PORTS_CLASH = "PortsClash", "the other exporters' ports clash with those of an older one and are left out"


class Conflicting(Reason):
    """In what the exporters of one service disagree: the reasons of mcs-api v0.5, and two of FSM's."""

    TYPE = "TypeConflict", "some Services are headless and some are not"
    PORTS = "PortConflict", "the exported ports differ in number, name, protocol or appProtocol"
    SESSION_AFFINITY = "SessionAffinityConflict", "the Services differ in sessionAffinity"
    SESSION_AFFINITY_CONFIG = (
        "SessionAffinityConfigConflict",
        "the Services differ in sessionAffinityConfig",
    )
    INTERNAL_TRAFFIC_POLICY = (
        "InternalTrafficPolicyConflict",
        "the Services differ in internalTrafficPolicy",
    )
    TRAFFIC_DISTRIBUTION = "TrafficDistributionConflict", "the Services differ in trafficDistribution"
    SERVICE_ACCOUNT = "ServiceAccountConflict", "the exports differ in serviceAccountName"
    PATH = "PathConflict", "an older export of another service has a path of this one on the same gateway"


class ConditionReason(Reason):
    """Reasons of conditions that are not one of the above."""

    VALID = "Valid", "at least one cluster exports the service"
    NO_SERVICE = "NoService", "no cluster that the ServiceExport reaches has the Service"
    NOT_PROPAGATED = "NotPropagated", "Karmada has bound the ServiceExport to no cluster"
    NO_CONFLICTS = "NoConflicts", "the exporters agree"
    EXPORTED = "Exported", "every importing cluster has the import that was derived for it"
    NOT_IMPORTED = "NotImported", "no cluster imports the service"
    PENDING = "Pending", "some cluster does not have the import yet"
    CLUSTER_LOST = "ClusterLost", "Karmada cannot reach it"
    NOT_REPORTED = (
        "NotReported",
        "no member reports what it holds: run towpath install, which lets Karmada reflect it",
    )
    WITHHELD = (
        "WithdrawalWithheld",
        "the import should go, but too many should at once, or Karmada lists nothing: it stays for now",
    )
    VIEW_TOO_LARGE = (
        "ViewTooLarge",
        "an import would be larger than Karmada can carry: nothing is written, what is there stays",
    )

    LEFT_IN_MEMBER = (
        "LeftInMember",
        "a ServiceImport is there that is not Karmada's: delete it, or see towpath.io/conflict-resolution",
    )
    NOT_APPLIED = "NotApplied", "Karmada cannot write the import"
    IMPORT_NAME_TAKEN = (
        "ImportNameTaken",
        "a ServiceImport of another API group has this name, and Karmada mixes them up: delete one",
    )
    CLAIMED_ELSEWHERE = (
        "ClaimedElsewhere",
        "another policy has claimed the import, which goes where that says: let none select ServiceImports",
    )


class PolicyReason(Reason):
    """Reasons of the conditions of traffic policies and of flomesh Clusters."""

    ACCEPTED = "Accepted", "the policy can do what it says"
    RESOLVED = "Resolved", "every cluster that it names exports the service"
    MANAGED = "Managed", "Karmada has a member of this name and reaches it"
    NO_MEMBER = "NoMember", "Karmada has no member of this name: give the Cluster the name of one"
    MEMBER_LOST = "MemberLost", "Karmada cannot reach the member of this name"


class Advice(Reason):
    """What is legal and yet does not do what it says, because of how FSM consumes it."""

    # exports and their imports
    BAD_ANNOTATION = "BadAnnotation", "the annotation means nothing and its default is used"
    UNKNOWN_TARGET_CLUSTER = "UnknownTargetCluster", "no member has this cluster key"
    RULE_WITHOUT_PORT = "RuleWithoutPort", "the Service has no such port: the rule does nothing there"
    REPEATED_RULE = "RepeatedRule", "of several rules on one port the last counts"
    SEVERAL_PORTS = (
        "SeveralPorts",
        "FSM routes every port of an import to the first port's endpoints: export one Service a port",
    )
    SEVERAL_PROTOCOLS = (
        "SeveralProtocols",
        "FSM knows ports by number alone: of two ports with one number only one is exported",
    )
    NOT_HTTP = (
        "NotHTTP",
        "FSM sends the port's bytes as they are to an HTTP gateway, which cannot use them",
    )
    UNROUTED_PROTOCOL = (
        "UnroutedProtocol",
        "FSM makes no route for this appProtocol: use http or grpc, or leave it out",
    )
    NOT_TCP = "NotTCP", "gateways speak TCP only"
    EXACT_PATH = (
        "ExactPath",
        "FSM puts the rule's path in front of the request's, so pathType Exact never matches: use Prefix",
    )
    ROOT_PATH = (
        "RootPath",
        "FSM puts the path in front of the request's, so requests arrive with '//': give a path",
    )
    TARGET_PORT_DIFFERS = (
        "TargetPortDiffers",
        "FSM's sidecar admits the gateway by the Service's port: make port and targetPort the same in a mesh",
    )
    FROZEN = (
        "Frozen",
        "no policy selects the Service any more: members keep it as it is, and no change reaches them",
    )
    SHARED_GATEWAY = (
        "SharedGateway",
        "several clusters have the same gateway address and port: FSM keeps the last of them only",
    )
    # traffic policies
    NOT_EXPORTED = "NotExported", "nothing exports a service of this name, so the policy has no effect"
    LOCALITY_TARGET = (
        "LocalityTarget",
        "FSM ignores the target of Locality and uses the own cluster only: use FailOver or ActiveActive",
    )
    UNKNOWN_KEY = "UnknownClusterKey", "no member has this cluster key: no traffic goes there"
    NOT_AN_EXPORTER = "TargetDoesNotExport", "this cluster does not export the service: no traffic goes there"
    REPEATED_KEY = "RepeatedClusterKey", "the cluster is named more than once: the last entry counts"
    OWN_KEY = (
        "OwnClusterKey",
        "the only cluster with this policy never imports from itself: its own endpoints take part anyway",
    )
    WEIGHT_ZERO = (
        "WeightZero",
        "weight 0 counts as 100 and attracts traffic: to take a cluster out, leave it out of targets",
    )
    WEIGHT_IGNORED = "WeightIgnored", "FSM uses weights with ActiveActive only"
    UNEQUAL_GATEWAY_PORTS = (
        "UnequalGatewayPorts",
        "weights mean nothing between gateways on different ports: FSM splits equally between the ports",
    )
    LOCAL_TAKES_PART = (
        "LocalTakesPart",
        "where the client's own cluster runs the Service, that takes part with weight 100, like it or not",
    )
    FAIL_OVER_OLD_FSM = (
        "FailOverNeedsFSM147",
        "FSM before 1.4.7 gives every remote cluster weight 0 and may never use it",
    )
    FAIL_OVER_PORT = (
        "FailOverSamePort",
        "a gateway port equals the local targetPort: FSM then retries with the local path",
    )

    # policies of Karmada
    FREEZES = (
        "FreezesService",
        "unless another policy selects it, it stays as members have it: no change of it reaches them",
    )


PLAIN = frozenset(
    {
        Advice.REPEATED_RULE,
        Advice.EXACT_PATH,
        Advice.ROOT_PATH,
        Advice.LOCALITY_TARGET,
        Advice.REPEATED_KEY,
        Advice.WEIGHT_ZERO,
        Advice.WEIGHT_IGNORED,
    }
)
"""What an object tells by itself: nothing else needs to be known for it."""


class InvalidReason(Reason):
    """What no FSM can do, refused by the CRDs and again where objects come from files."""

    LOCALITY_TARGETS = (
        "LocalityTargets",
        "Locality stays in the own cluster: remove targets, or set lbType to ActiveActive or FailOver",
    )
    FAIL_OVER_TARGETS = (
        "FailOverTargets",
        "FailOver needs at least one cluster: add the clusterKey of each cluster to fall back to",
    )
    NEGATIVE_WEIGHT = "NegativeWeight", "a weight is 0 or more"
    MALFORMED_KEY = "MalformedClusterKey", "a cluster key has four parts: write region/zone/group/cluster"


class Exclusion(NamedTuple):
    """Why one cluster does not export, and what is particular to it."""

    reason: ExclusionReason
    detail: str = ""

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.detail}: {self.reason.text}" if self.detail else self.reason.text


class Caution(NamedTuple):
    """Something legal that surprises, or with ``InvalidReason`` something refused. ``field`` says where."""

    reason: Advice | InvalidReason
    field: str
    detail: str = ""

    @property
    def text(self) -> str:
        """The whole sentence: field, what is wrong there, what it means."""
        return ": ".join(part for part in (self.field, self.detail, self.reason.text) if part)
