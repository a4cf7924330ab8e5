"""The registry of reasons: everything that Towpath reports about a service, with the text that users read.

Each entry is a word for programs and a text for people: the problem in one sentence, the fix in another
(docs/style.md). What is particular to a case, a name or a number, is the ``detail`` of an ``Exclusion`` or a
``Caution``. ``make docs`` generates docs/reasons.md from this module.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """A word for programs; ``text`` is the problem and the fix."""

    text: str

    def __new__(cls, value: str, problem: str, fix: str = "") -> Reason:
        """Attach the text to the member: what is the case, and what to do about it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = f"{problem} {fix}" if fix else problem
        return member


class ExclusionReason(Reason):
    """Why a cluster that a ServiceExport reaches does not export, from the most to the least fundamental."""

    NOT_A_MEMBER = "NotAMember", "Karmada has no member cluster with this name."
    NAMESPACE_RESERVED = (
        "NamespaceReserved",
        "Karmada never propagates objects of this namespace.",
        "Export the Service from another namespace.",
    )
    NAME_TAKEN = (
        "NameTaken",
        "A ServiceExport of another API group has the same name, and Karmada cannot tell them apart.",
        "Delete or rename one.",
    )
    SERVICE_NOT_BOUND = (
        "ServiceNotBound",
        "The Service is not propagated to this cluster.",
        "Check the PropagationPolicy of the Service.",
    )
    NOT_APPLIED_YET = (
        "NotAppliedYet",
        "Karmada has not applied the ServiceExport and the Service in the cluster yet.",
    )
    SUSPENDED = (
        "Suspended",
        "The PropagationPolicy suspends dispatching to the cluster, which never received the objects.",
        "Remove the cluster from spec.suspension of the policy.",
    )
    APPLY_FAILED = (
        "ApplyFailed",
        "Karmada cannot apply the ServiceExport or the Service in the cluster.",
        "Remove the cause that Karmada reports.",
    )
    SERVICE_GOING = "ServiceBeingDeleted", "The Service is being deleted."
    EXTERNAL_NAME = (
        "InvalidServiceType",
        "A Service of type ExternalName has no endpoints to export.",
        "Export a Service of another type.",
    )
    NO_MATCHING_PORT = (
        "NoMatchingPort",
        "No rule of the ServiceExport names a port of the Service.",
        "Set portNumber to a port of the Service.",
    )
    PATH_CLAIMED = (
        "PathClaimed",
        "An older ServiceExport already uses this path on the cluster's gateway.",
        "Set another path in the rule.",
    )
    REFUSED_IN_MEMBER = (
        "RefusedInMember",
        "The member cluster reports the ServiceExport as not valid.",
        "See its status in that cluster.",
    )
    NO_GATEWAY = (
        "NoGateway",
        "No gateway is known for this cluster.",
        "Annotate the Karmada Cluster with towpath.io/gateway, or create a flomesh Cluster of the same name.",
    )
    GATEWAY_URL = (
        "GatewayURL",
        "The gateway is a URL or has a path.",
        "Set a host with or without a port, for example 10.0.2.4:80.",
    )
    GATEWAY_SEVERAL = (
        "GatewaySeveralAddresses",
        "The gateway names several addresses, and FSM connects to one.",
        "Set one address, for example that of a load balancer.",
    )
    GATEWAY_NOT_IPV4 = (
        "GatewayNotIPv4",
        "The gateway is an IPv6 address, and FSM connects to IPv4 addresses only.",
        "Set an IPv4 address, or a DNS name that has one.",
    )
    GATEWAY_PORT = (
        "GatewayPortInvalid",
        "The port of the gateway is not a number from 1 to 65535.",
        "Correct the port.",
    )
    GATEWAY_MALFORMED = (
        "GatewayMalformed",
        "The gateway is neither an IPv4 address nor a DNS name.",
        "Set one of them, for example 10.0.2.4 or gateway.example.com.",
    )
    GATEWAY_UNRESOLVED = (
        "GatewayUnresolved",
        "The DNS name of the gateway has no IPv4 address.",
        "Correct the name, or set an IPv4 address.",
    )
    GATEWAY_NOT_ROUTABLE = (
        "GatewayNotRoutable",
        "The address of the gateway is a loopback, unspecified, link-local, multicast or broadcast address.",
        "Set an address that other clusters can reach.",
    )
    DRAINED = (
        "Drained",
        "The annotation towpath.io/drain drains the cluster.",
        "Remove the annotation to export again.",
    )
    UNREACHABLE = (
        "Unreachable",
        "Karmada cannot reach the cluster for longer than towpath.io/when-unreachable allows.",
        "The endpoints return when the cluster is Ready.",
    )
    TYPE_CONFLICT = (
        "TypeConflict",
        "The Service is headless here and not in the oldest exporting cluster, or the reverse.",
        "Use one type in all clusters.",
    )


class NotImportedReason(Reason):
    """Why a member does not import a service."""

    NOT_SERVED = (
        "NotServed",
        "The member cluster does not serve ServiceImport of this API group.",
        "Install its CRD there.",
    )
    NO_NAMESPACE = (
        "NoNamespace",
        "The namespace does not exist in the member cluster, because Karmada does not propagate it there.",
        "Propagate it there, or remove its label namespace.karmada.io/skip-auto-propagation.",
    )
    NO_EXPORTER = "NoExporter", "No cluster exports the service."
    ONLY_EXPORTER = "OnlyExporter", "The cluster is the only one that exports the service."
    OUT_OF_SCOPE = (
        "OutOfScope",
        "No other exporter lists this cluster in targetClusters.",
        "Add its cluster key, or remove targetClusters.",
    )
    PORTS_CLASH = (
        "PortsClash",
        "All ports of the other exporters conflict with ports of an older exporter.",
        "Use the same port names and numbers in all clusters.",
    )


class Conflicting(Reason):
    """In what the exporters of one service disagree: the reasons of mcs-api v0.5, and two of FSM's."""

    TYPE = "TypeConflict", "Some Services are headless and some are not."
    PORTS = "PortConflict", "The exported ports differ in number, name, protocol or appProtocol."
    SESSION_AFFINITY = "SessionAffinityConflict", "The Services differ in sessionAffinity."
    SESSION_AFFINITY_CONFIG = "SessionAffinityConfigConflict", "The Services differ in sessionAffinityConfig."
    INTERNAL_TRAFFIC_POLICY = "InternalTrafficPolicyConflict", "The Services differ in internalTrafficPolicy."
    TRAFFIC_DISTRIBUTION = "TrafficDistributionConflict", "The Services differ in trafficDistribution."
    SERVICE_ACCOUNT = "ServiceAccountConflict", "The ServiceExports differ in serviceAccountName."
    PATH = "PathConflict", "An older ServiceExport of another service uses the same path on the same gateway."


class ConditionReason(Reason):
    """Reasons of conditions that are not one of the above."""

    VALID = "Valid", "At least one cluster exports the service."
    NO_SERVICE = (
        "NoService",
        "The Service does not exist.",
        "Create a Service with the name and namespace of the ServiceExport.",
    )
    SERVICE_NOT_PROPAGATED = (
        "ServiceNotPropagated",
        "No cluster that the ServiceExport reaches has the Service.",
        "Create a PropagationPolicy that selects the Service, or correct its placement.",
    )
    NOT_PROPAGATED = (
        "NotPropagated",
        "Karmada has not bound the ServiceExport or its Service to a cluster.",
        "Check the PropagationPolicy.",
    )
    BEING_DELETED = (
        "BeingDeleted",
        "The ServiceExport is being deleted and is withdrawn.",
        "A finalizer keeps the object. Remove the finalizer to complete the deletion.",
    )
    NO_CONFLICTS = "NoConflicts", "The exporting clusters agree."
    EXPORTED = "Exported", "Every importing cluster has the import."
    NOT_IMPORTED = "NotImported", "No cluster imports the service."
    PENDING = "Pending", "Some importing clusters do not have the import yet."
    CLUSTER_LOST = (
        "ClusterLost",
        "Karmada cannot reach the cluster.",
        "The import arrives when the cluster is Ready.",
    )
    NOT_REPORTED = (
        "NotReported",
        "No member cluster reports the import that it has.",
        "Run `towpath install` to let Karmada collect it.",
    )
    WITHHELD = (
        "WithdrawalWithheld",
        "Deletion withheld: too many imports would be removed at once, or Karmada returned an empty list.",
        "Retrying.",
    )
    VIEW_TOO_LARGE = (
        "ViewTooLarge",
        "An import is larger than Karmada can carry, so nothing is written and existing objects stay.",
        "Export fewer ports, from fewer clusters, or to fewer clusters with targetClusters.",
    )
    OVERRIDDEN = (
        "ImportOverridden",
        "An override policy also reaches the derived ServiceImport.",
        "Add resourceSelectors that exclude ServiceImport to the policy.",
    )
    LEFT_IN_MEMBER = (
        "LeftInMember",
        "A ServiceImport that Karmada does not manage exists in the cluster.",
        "Delete it, or set the annotation towpath.io/conflict-resolution to Overwrite.",
    )
    NOT_APPLIED = "NotApplied", "Karmada cannot apply the import in the cluster."
    IMPORT_NAME_TAKEN = (
        "ImportNameTaken",
        "A ServiceImport of another API group has the same name, and Karmada cannot tell them apart.",
        "Delete or rename one.",
    )
    CLAIMED_ELSEWHERE = (
        "ClaimedElsewhere",
        "Another policy controls the placement of this ServiceImport.",
        "Exclude ServiceImports from it.",
    )


class PolicyReason(Reason):
    """Reasons of the conditions of traffic policies and of flomesh Clusters."""

    ACCEPTED = "Accepted", "The policy is valid."
    RESOLVED = "Resolved", "Every cluster in spec.targets exports the service."
    MANAGED = "Managed", "Karmada has a member cluster with this name and can reach it."
    NO_MEMBER = (
        "NoMember",
        "Karmada has no member cluster with this name.",
        "Rename the Cluster to the name of a member.",
    )
    MEMBER_LOST = "MemberLost", "Karmada cannot reach the member cluster with this name."


class Advice(Reason):
    """What is legal and yet does not do what it says, because of how FSM consumes it."""

    # exports and their imports
    BAD_ANNOTATION = "BadAnnotation", "The default is used."
    UNKNOWN_TARGET_CLUSTER = (
        "UnknownTargetCluster",
        "No member cluster has this cluster key.",
        "Correct the key.",
    )
    RULE_WITHOUT_PORT = (
        "RuleWithoutPort",
        "The Service has no such port, so the rule has no effect.",
        "Set portNumber to a port of the Service.",
    )
    REPEATED_RULE = "RepeatedRule", "Several rules name this port.", "Only the last one is used."
    SEVERAL_PORTS = (
        "SeveralPorts",
        "FSM routes every port of an import to the endpoints of the first port.",
        "Export one Service for each port.",
    )
    SEVERAL_PROTOCOLS = (
        "SeveralProtocols",
        "FSM identifies ports by number alone.",
        "Of two ports with one number, only one is exported.",
    )
    NOT_HTTP = (
        "NotHTTP",
        "FSM forwards the bytes of this port unchanged to an HTTP gateway, which cannot route them.",
        "Export an HTTP port.",
    )
    UNROUTED_PROTOCOL = (
        "UnroutedProtocol",
        "FSM creates no route for this appProtocol.",
        "Set appProtocol to http or grpc, or remove it.",
    )
    NOT_TCP = "NotTCP", "Gateways support TCP only.", "Export a TCP port."
    EXACT_PATH = (
        "ExactPath",
        "FSM puts the path of the rule before the path of the request, so pathType Exact never matches.",
        "Set pathType to Prefix.",
    )
    ROOT_PATH = (
        "RootPath",
        "FSM puts the path of the rule before the path of the request, so requests arrive with '//'.",
        "Set another path than '/'.",
    )
    TARGET_PORT_DIFFERS = (
        "TargetPortDiffers",
        "The sidecar of FSM admits the gateway by the port of the Service.",
        "In a mesh, set port and targetPort to the same number.",
    )
    FROZEN = (
        "Frozen",
        "No policy selects the Service any more, so changes to it no longer reach the member clusters.",
        "Create a PropagationPolicy that selects the Service.",
    )
    SHARED_GATEWAY = (
        "SharedGateway",
        "Several clusters have the same gateway address and port, and FSM keeps only the last one.",
        "Set a gateway of its own for each cluster.",
    )
    JOINED_TWICE = (
        "JoinedTwice",
        "One cluster is joined to Karmada under several names, so it can import from itself.",
        "Unjoin all but one of them.",
    )
    IMPORT_OVERRIDDEN = (
        "ImportOverridden",
        "An override policy also changes the derived ServiceImport, so the cluster imports something else.",
        "Add resourceSelectors that exclude ServiceImport to the policy.",
    )
    IMPORT_OVERRIDE_FAILS = (
        "ImportOverrideFails",
        "An override policy also reaches the derived ServiceImport, and Karmada cannot apply it.",
        "Add resourceSelectors that exclude ServiceImport to the policy.",
    )
    # traffic policies
    NOT_EXPORTED = "NotExported", "No cluster exports a service with this name, so the policy has no effect."
    LOCALITY_TARGET = (
        "LocalityTarget",
        "FSM ignores targets when lbType is Locality and uses the local cluster only.",
        "Set lbType to FailOver or ActiveActive.",
    )
    UNKNOWN_KEY = (
        "UnknownClusterKey",
        "No member cluster has this cluster key, so it receives no traffic.",
        "Correct the key.",
    )
    NOT_AN_EXPORTER = (
        "TargetDoesNotExport",
        "The cluster does not export the service, so it receives no traffic.",
    )
    REPEATED_KEY = (
        "RepeatedClusterKey",
        "The cluster is listed more than once.",
        "Only the last entry is used.",
    )
    OWN_KEY = (
        "OwnClusterKey",
        "The only cluster with this policy does not import from itself.",
        "Its local endpoints always take part.",
    )
    WEIGHT_ZERO = (
        "WeightZero",
        "FSM treats weight 0 as 100, so the cluster receives traffic.",
        "To exclude the cluster, remove it from targets.",
    )
    WEIGHT_IGNORED = (
        "WeightIgnored",
        "FSM uses weights only when lbType is ActiveActive.",
        "Remove the weight.",
    )
    UNEQUAL_GATEWAY_PORTS = (
        "UnequalGatewayPorts",
        "FSM splits traffic equally between gateway ports, and weights count only within one port.",
        "Use one gateway port in all clusters.",
    )
    LOCAL_TAKES_PART = "LocalTakesPart", "Local endpoints always take part, with weight 100."
    FAIL_OVER_OLD_FSM = (
        "FailOverNeedsFSM147",
        "FSM before 1.4.7 gives every remote cluster weight 0 and may never use it.",
        "Use FSM 1.4.7 or newer.",
    )
    FAIL_OVER_PORT = (
        "FailOverSamePort",
        "The gateway port equals the local targetPort, so FSM retries with the local path.",
        "Use different port numbers.",
    )

    # policies of Karmada
    FREEZES = (
        "FreezesService",
        "Changes of the object no longer reach the member clusters, unless another policy selects it.",
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
"""Warnings that follow from an object alone."""


class InvalidReason(Reason):
    """What no FSM can do, refused by the CRDs and again where objects come from files."""

    LOCALITY_TARGETS = (
        "LocalityTargets",
        "Traffic stays in the local cluster when lbType is Locality.",
        "Remove targets, or set lbType to ActiveActive or FailOver.",
    )
    FAIL_OVER_TARGETS = (
        "FailOverTargets",
        "FailOver needs at least one cluster.",
        "Add the clusterKey of each cluster to fall back to.",
    )
    NEGATIVE_WEIGHT = "NegativeWeight", "Set a weight of 0 or more."
    MALFORMED_KEY = (
        "MalformedClusterKey",
        "Write region/zone/group/cluster, for example default/default/default/cluster-1.",
    )


INVALID_VALUES = frozenset(
    {Advice.BAD_ANNOTATION, InvalidReason.MALFORMED_KEY, InvalidReason.NEGATIVE_WEIGHT}
)
"""Reasons whose detail is a value and what is wrong with it."""


class Exclusion(NamedTuple):
    """Why one cluster does not export, and what is particular to it: an object, an address, a message."""

    reason: ExclusionReason
    detail: str = ""

    @property
    def text(self) -> str:
        """The message: what it is about, the problem, the fix."""
        return f"{self.detail}: {self.reason.text}" if self.detail else self.reason.text


class Finding(NamedTuple):
    """A warning or an error about an object: the reason for programs, the field, the message for people."""

    reason: str
    field: str
    text: str


class Caution(NamedTuple):
    """Something legal that surprises, or with ``InvalidReason`` something refused.

    ``field`` is a field of the object or empty, ``detail`` what is particular to the case.
    """

    reason: Advice | InvalidReason
    field: str
    detail: str = ""

    @property
    def text(self) -> str:
        """The message: the field, the problem, the fix."""
        if self.reason in INVALID_VALUES or not self.detail:
            place = self.field
        else:
            place = f"{self.field} ({self.detail})" if self.field else self.detail
        return f"{place}: {self.problem}" if place else self.problem

    @property
    def finding(self) -> Finding:
        """The same without the parts that only rules need."""
        return Finding(self.reason.value, self.field, self.text)

    @property
    def problem(self) -> str:
        """The message without the field."""
        invalid = self.detail and self.reason in INVALID_VALUES
        return f"Invalid value {self.detail}. {self.reason.text}" if invalid else self.reason.text
