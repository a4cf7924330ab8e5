"""The registry of reasons: everything that Towpath reports about a service, with the text that users read.

Each entry is a word for programs and a text for people: the problem in one sentence, the fix in another
(docs/style.md). What is particular to a case, a name or a number, is the ``detail`` of an ``Exclusion`` or a
``Caution``. ``make docs`` generates docs/reasons.md from this module.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self


class Reason(StrEnum):
    """A word for programs; ``text`` is the problem and the fix."""

    text: str

    def __new__(cls, value: str, problem: str, fix: str = "") -> Reason:
        """Attach the text to the member: what is the case, and what to do about it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = f"{problem} {fix}" if fix else problem
        return member

    @classmethod
    def of(cls, word: str) -> Self:
        """Return the reason of a word."""
        return next(reason for reason in cls if reason == word)


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
    NOT_REPORTED_YET = (
        "NotReportedYet",
        "Karmada reports the object as applied, and the cluster does not report it.",
        "Annotate the object to have Karmada apply it again.",
    )
    CATCHING_UP = (
        "CatchingUp",
        "The cluster is Ready again, and Karmada does not know yet that it holds the objects.",
        "Wait three minutes. Karmada finds them by itself.",
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
    PATH_OUTSIDE = (
        "PathOutsideNamespace",
        "Towpath is installed with --paths namespaced, and the path does not begin with the namespace.",
        "Set a path that begins with /<namespace>/.",
    )
    PATH_CLAIMED = (
        "PathClaimed",
        "Another ServiceExport claimed this path on the cluster's gateway earlier.",
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
        "The address of the gateway is a loopback, link-local, multicast, broadcast or reserved address.",
        "Set an address that other clusters can reach.",
    )
    DRAINED = (
        "Drained",
        "The annotation towpath.io/drain drains the cluster.",
        "Remove the annotation to export again.",
    )
    UNREACHABLE = (
        "Unreachable",
        "Karmada lost the cluster before it exported, or for longer than towpath.io/when-unreachable allows.",
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
    RELEASED = (
        "Released",
        "The annotation towpath.io/released leaves the import of this cluster to another control plane.",
        "Run `towpath migrate apply` to take it over.",
    )
    NO_EXPORTER = "NoExporter", "No cluster exports the service."
    ONLY_EXPORTER = "OnlyExporter", "The cluster is the only one that exports the service."
    OUT_OF_SCOPE = (
        "OutOfScope",
        "No other exporter lists this cluster in targetClusters.",
        "Add its cluster key to targetClusters, or remove targetClusters.",
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
    PATH = "PathConflict", "Another ServiceExport claimed the same path on the same gateway earlier."


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
    SERVING = "Serving", "The Service has a ready pod."
    NOT_IMPORTED = "NotImported", "No cluster imports the service."
    PENDING = "Pending", "Some importing clusters do not have the import yet."
    CLUSTER_LOST = (
        "ClusterLost",
        "Karmada cannot reach the cluster.",
        "The import arrives when the cluster is Ready.",
    )
    CATCHING_UP = (
        "CatchingUp",
        "The cluster is Ready again, and Karmada does not know yet that it holds the import.",
        "Wait three minutes. Karmada finds it by itself.",
    )
    NOT_REPORTED = (
        "NotReported",
        "No member cluster reports the import that it has.",
        "Run `towpath install` to let Karmada collect it.",
    )
    WITHHELD = (
        "WithdrawalWithheld",
        "Deletion withheld: too many imports would be removed at once, or Karmada returned an empty list.",
        "Annotate the ServiceExport with towpath.io/allow-withdrawal: true to delete the import at once.",
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
    NAME_IN_USE = (
        "DerivedNameInUse",
        "Towpath derives an object of this name, and another one exists, so nothing is written.",
        "Delete or rename the other object.",
    )
    CLAIMED_ELSEWHERE = (
        "ClaimedElsewhere",
        "Another policy controls the placement of this ServiceImport.",
        "Exclude ServiceImports from it.",
    )


class ChainReason(Reason):
    """Why a link of a service's chain is broken, or what an answer leaves out, where none of the reasons
    above says it."""

    NOT_CARRIED = (
        "NotCarried",
        "Changes to the ServiceExport or the Service do not reach every cluster.",
        "Correct the override policy or the suspension.",
    )
    EXPORTER_LOST = (
        "ExporterLost",
        "Karmada cannot reach the cluster, and its endpoints stay until the grace ends.",
        "Restore the connection, or drain the cluster.",
    )
    NAMESAKE = (
        "Namesake",
        "Another ServiceExport has the same name, and this answer is not about it.",
        "Name its API group with --dialect to see it, and delete or rename one.",
    )
    NOT_WRITTEN = (
        "NotWritten",
        "The object in Karmada differs from what is derived.",
        "Check with `towpath check` that a plugin runs.",
    )
    NOT_BOUND = (
        "NotBound",
        "Karmada has not bound the ServiceImport to the cluster yet.",
        "If that lasts, read the log of karmada-scheduler.",
    )
    GATEWAY_DOWN = (
        "GatewayDown",
        "No pod of the data path is ready in the exporting cluster, so its gateway does not answer.",
        "Check the DaemonSet towpath-net in the namespace towpath-system there.",
    )
    NOT_READ = (
        "NotRead",
        "The cluster cannot be read, so nothing is known of its pods and its gateway.",
        "Name a context of the cluster in --members, or allow the user to use Karmada's cluster proxy.",
    )
    SERVICE_NOT_APPLIED = (
        "ServiceNotApplied",
        "Karmada cannot apply the Service in the cluster, so its name does not resolve there.",
        "Remove the cause that Karmada reports.",
    )
    SERVICE_ON_ITS_WAY = (
        "ServiceOnItsWay",
        "Karmada has not applied the Service in the cluster yet, so its name does not resolve there.",
        "If that lasts, read the ResourceBinding of the Service.",
    )


class CallReason(Reason):
    """Why calls are not answered, as ``towpath verify`` finds it or the data path reports it, or not made."""

    NO_DATA_PATH = (
        "NoDataPath",
        "Towpath carries no calls of pods in this cluster, so none is made there.",
        "Run `towpath install --data-path`, or test with a client of its own mesh.",
    )
    CLUSTER_LOST = (
        "ClusterLost",
        "Karmada cannot reach the cluster, so no pod is created there.",
        "Restore the connection.",
    )
    NO_ACCESS = (
        "NoAccess",
        "The apiserver of the cluster does not run the pod.",
        "Name a context of the cluster in --members, or allow the user to use Karmada's cluster proxy.",
    )
    NO_NODE = "NoNode", "The cluster has no Ready node, so no pod can run there.", "Add a node."
    POD_NOT_RUN = (
        "PodNotRun",
        "The pod that makes the calls does not run to its end.",
        "Correct what the cluster reports, or name another image with --image.",
    )
    NO_ANSWER = (
        "NoAnswer",
        "The gateway of the exporting cluster does not answer.",
        "Check that it runs, and that the nodes of the calling cluster reach its address and port.",
    )
    NO_ROUTE = (
        "NoRoute",
        "The gateway of the exporting cluster has no route to the service.",
        "Check the ServiceExport and the Service in the exporting cluster.",
    )
    NO_READY_POD = (
        "NoReadyPod",
        "The Service has no ready pod in the exporting cluster.",
        "Check the pods that the Service selects there.",
    )
    POD_NOT_REACHED = (
        "PodNotReached",
        "The gateway of the exporting cluster cannot connect to a pod of the Service.",
        "Check targetPort of the Service, and the network policies there.",
    )
    SERVER_ERROR = (
        "ServerError",
        "The answer is an error of the gateway or of the application.",
        "Check the application, or name a path that it serves with --path.",
    )
    NOT_FOUND = (
        "NotFound",
        "The gateway of the exporting cluster does not tell whether it or the application lacks the path.",
        "Name a path that the application serves with --path.",
    )
    NAME_NOT_ANSWERED = (
        "NameNotAnswered",
        "A call to the name of the Service is not answered.",
        "Read the log of the pod towpath-net on the node, and compare with the calls to each gateway.",
    )


class RouteReason(Reason):
    """Why calls do not reach a service by the gateway that a member has of its own ("route rule")."""

    MALFORMED = (
        "RouteMalformed",
        "The annotation towpath.io/gateway-route of the Karmada Cluster cannot be read.",
        "Set HTTPRoute/<namespace>/<gateway>, or Ingress/<class>.",
    )
    NO_HTTP_PORT = (
        "NoHTTPPort",
        "The cluster exports no HTTP port, and routes carry HTTP only.",
        "Export an HTTP port.",
    )
    TOO_MANY_RULES = "TooManyRules", "An HTTPRoute has at most 16 rules.", "Export fewer ports."
    PATH_STAYS = (
        "PathStays",
        "An Ingress cannot take the path of the rule off.",
        "Annotate the ServiceExport with towpath.io/keep-path: true, or use an HTTPRoute.",
    )
    REWRITE = (
        "RewriteNotPossible",
        "The route of the cluster cannot rewrite paths as spec.pathRewrite of the ServiceExport says.",
        "Write a rewrite that docs/datapath.md lists for HTTPRoutes, or remove it.",
    )
    NOT_ACCEPTED = (
        "RouteNotAccepted",
        "The gateway of the cluster does not accept the route.",
        "Correct the Gateway there, or towpath.io/gateway-route of the Karmada Cluster.",
    )
    NOT_APPLIED = (
        "RouteNotApplied",
        "Karmada cannot apply the route in the cluster.",
        "Remove the cause that Karmada reports.",
    )
    NAME_IN_USE = (
        "RouteNameInUse",
        "A policy of a user has the name of a derived one.",
        "Delete or rename the policy.",
    )
    PENDING = (
        "RoutePending",
        "The gateway of the cluster has not reported the route yet.",
        "If that lasts, check that the gateway runs, and that it reads routes of this kind.",
    )
    NOT_SERVED = (
        "RouteNotServed",
        "The cluster does not serve the kind of the route, as far as Karmada knows.",
        "Install the CRDs of the kind in the cluster, or correct towpath.io/gateway-route.",
    )


class TrafficReason(Reason):
    """Why the requests between clusters are unknown."""

    NO_PROMETHEUS = (
        "NoPrometheus",
        "The plugin has no Prometheus to ask for the traffic.",
        "Pass --prometheus to `towpath serve plugin`, or set plugin.prometheus.url in the chart.",
    )
    NOT_MEASURED_YET = "NotMeasuredYet", "Prometheus has not answered the plugin yet."
    NOT_REPORTED = (
        "NotReported",
        "The plugin has reported no traffic.",
        "If it is of an older version, update it.",
    )
    PLUGIN_LOST = "PluginLost", "The plugin has not reported for a minute."
    UNREACHABLE = (
        "PrometheusUnreachable",
        "Prometheus does not answer the plugin.",
        "Check that it runs, and that the pods of the plugin reach its address and trust its certificate.",
    )
    REFUSED = (
        "PrometheusRefuses",
        "Prometheus does not answer the query.",
        "Pass a URL without /api/v1 that does not redirect, and check the token.",
    )
    BAD_CREDENTIALS = (
        "InvalidCredentials",
        "The token or the CA for Prometheus cannot be used.",
        "Check --prometheus-token-file and --prometheus-ca.",
    )
    INVALID_ANSWER = (
        "InvalidAnswer",
        "The answer is not that of a Prometheus to this query, or it is too large.",
        "Check the URL, and the line 'traffic not measured' in the log of the plugin.",
    )
    NO_SERIES = (
        "NoSeries",
        "Prometheus has no requests of the data path between two members.",
        "Check that it scrapes the agents, and that --prometheus-cluster-label names the label of a member.",
    )


class MigrationReason(Reason):
    """Why an endpoint that another control plane has written would be missing from Karmada's import."""

    NO_EXPORT = (
        "NoExport",
        "Karmada has no ServiceExport of this name.",
        "Apply the ServiceExport and its Service to Karmada, with a policy for every cluster that exports.",
    )
    OTHER_GROUP = (
        "OtherAPIGroup",
        "Karmada has the ServiceExport in another API group than the member has the import.",
        "Apply it in the group of the import: flomesh.io up to FSM 1.2, multicluster.flomesh.io from 1.3 on.",
    )
    UNKNOWN_CLUSTER = (
        "UnknownCluster",
        "No member of Karmada has this cluster key.",
        "Join the cluster, or set region and zone of its Karmada Cluster and towpath.io/group as in the key.",
    )
    EXCLUDED = "Excluded", "The cluster does not export the service."
    NOT_PROPAGATED = (
        "NotPropagated",
        "Karmada does not propagate the ServiceExport and the Service to the cluster.",
        "Add the cluster to their policy.",
    )
    MOVED = (
        "OtherAddress",
        "The cluster exports with another address or path.",
        "Set its gateway with `towpath gateway set`, or the path of the rule, as the member has it.",
    )
    OTHER_PORT = (
        "OtherPort",
        "The cluster exports other ports.",
        "Add a rule for the port to the ServiceExport.",
    )
    NOT_OFFERED = (
        "NotOffered",
        "The cluster exports the service, and not to this member.",
        "Remove targetClusters, which ErieCanal ignores, or agree on the port in all clusters.",
    )
    NOT_IMPORTED = "NotImported", "Karmada carries no import to this member."


class OwnReason(Reason):
    """What becomes of an export or a traffic policy in a member that Karmada does not manage."""

    EXPORT_ONLY = (
        "ExportOnlyInMember",
        "Karmada has no ServiceExport of this name, so no further member gets the endpoints of this cluster.",
        "Apply it and its Service to Karmada, with conflictResolution: Overwrite in their policy.",
    )
    EXPORT_GROUP = (
        "ExportInOtherAPIGroup",
        "Karmada has the ServiceExport in another API group than the member.",
        "Apply it in the group of the member's imports.",
    )
    EXPORT_EXCLUDED = "ExportExcluded", "The cluster does not export the service in Karmada."
    EXPORT_ELSEWHERE = (
        "ExportNotPropagated",
        "Karmada does not propagate its ServiceExport or the Service to this member.",
        "Add the cluster to their policy, with conflictResolution: Overwrite.",
    )
    EXPORT_DIFFERS = (
        "ExportDiffers",
        "The ServiceExport of Karmada has other rules, and replaces this one.",
        "Change the rules in Karmada to those of the member if they are to stay.",
    )
    POLICY_ONLY = (
        "PolicyOnlyInMember",
        "The GlobalTrafficPolicy keeps its effect in this member, and Karmada does not have it.",
        "Apply it to Karmada, with conflictResolution: Overwrite in its policy.",
    )
    POLICY_GROUP = (
        "PolicyInOtherAPIGroup",
        "Karmada has the GlobalTrafficPolicy in another API group than the member.",
        "Apply it in the group of the member's imports.",
    )
    POLICY_ELSEWHERE = (
        "PolicyNotPropagated",
        "Karmada does not propagate its GlobalTrafficPolicy to this member, which keeps its own.",
        "Add the cluster to its policy, with conflictResolution: Overwrite.",
    )
    POLICY_DIFFERS = (
        "PolicyDiffers",
        "The GlobalTrafficPolicy of Karmada has other targets or another lbType, and replaces this one.",
        "Change the one in Karmada to that of the member if it is to stay.",
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
    OTHER_PROTOCOL = (
        "OtherProtocol",
        "Gateways route HTTP only, and the name or the number of the port is that of another protocol.",
        "Export an HTTP port, or set its appProtocol to http.",
    )
    UNROUTED_PROTOCOL = (
        "UnroutedProtocol",
        "FSM creates no route for this appProtocol.",
        "Set appProtocol to http or grpc, or remove it.",
    )
    NOT_TCP = "NotTCP", "Gateways support TCP only.", "Export a TCP port."
    EXACT_PATH = (
        "ExactPath",
        "Importing clusters put the path of the rule before that of the request, so Exact never matches.",
        "Set pathType to Prefix.",
    )
    ROOT_PATH = (
        "RootPath",
        "FSM puts the path of the rule before the path of the request, so requests arrive with '//'.",
        "Set another path than '/'.",
    )
    PATH_NESTED = (
        "PathNested",
        "A gateway sends requests below a path to the longest path that matches, here of another namespace.",
        "Set a path that neither contains the other nor is in it.",
    )
    NO_TUNNEL = (
        "NoTunnel",
        "The bytes of this port travel in a tunnel of towpath-net, which other gateways do not have.",
        "Use the data path in all exporting clusters, or export an HTTP port.",
    )
    HEADLESS_EXPORTER = (
        "HeadlessExporter",
        "The Service is headless in a cluster with towpath-net, so its clients there use local pods only.",
        "Use a Service with a cluster IP in the exporting clusters.",
    )
    TARGET_PORT_DIFFERS = (
        "TargetPortDiffers",
        "The sidecar of FSM admits the gateway by the port of the Service.",
        "In a mesh, set port and targetPort to the same number.",
    )
    NO_IMPORTER_IN_SCOPE = (
        "NoImporterInScope",
        "No cluster in targetClusters can import the service.",
        "Add the key of a cluster to targetClusters.",
    )
    STALE_EXPORT = (
        "StaleExport",
        "Karmada reports the ServiceExport as applied, and the cluster holds another version or none.",
        "Retrying.",
    )
    FROZEN = (
        "Frozen",
        "No policy selects the Service any more, so changes to it no longer reach the member clusters.",
        "Create a PropagationPolicy that selects the Service.",
    )
    SHARED_GATEWAY = (
        "SharedGateway",
        "Several clusters have the same gateway address and port, and only one of them receives traffic.",
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
        "The targets are ignored when lbType is Locality, and only the local cluster is used.",
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
        "Use the key of an exporter.",
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
        "The weight 0 counts as 100, so the cluster receives traffic.",
        "To exclude the cluster, remove it from targets.",
    )
    WEIGHT_IGNORED = (
        "WeightIgnored",
        "Weights count only when lbType is ActiveActive, or inside a failover tier of towpath-net.",
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
    is_error: bool = False


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
