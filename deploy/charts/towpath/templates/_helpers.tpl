{{/* The name that everything in the release begins with. */}}
{{- define "towpath.fullname" -}}
{{- if contains "towpath" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-towpath" (.Release.Name | trunc 32 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{/* Labels of every object. Argument: a dict of root and component. */}}
{{- define "towpath.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "towpath.selector" . }}
{{- end }}

{{/* Labels that never change, by which pods are selected. */}}
{{- define "towpath.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "towpath.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The Secret with the credentials of plugin and webhook: given, or written by the install hook. */}}
{{- define "towpath.credentials" -}}
{{- .Values.karmada.credentials.secretName | default (printf "%s-credentials" (include "towpath.fullname" .)) -}}
{{- end }}

{{/* Whether the hooks run `towpath install` and `towpath uninstall`. */}}
{{- define "towpath.installs" -}}
{{- if and .Values.hooks.install .Values.karmada.adminKubeconfig.secretName -}}true{{- end -}}
{{- end }}

{{- define "towpath.pluginHost" -}}
{{- printf "%s-plugin.%s.svc" (include "towpath.fullname" .) .Release.Namespace -}}
{{- end }}

{{/* Where Karmada's apiserver reaches the webhook. */}}
{{- define "towpath.webhookUrl" -}}
{{- with .Values.webhook -}}
{{- if .url -}}
{{ .url }}
{{- else -}}
{{- printf "https://%s-webhook.%s.svc.%s:%d" (include "towpath.fullname" $) $.Release.Namespace $.Values.network.clusterDomain (int .service.port) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What every pod has: no rights on the node, and no credentials of the host cluster. */}}
{{- define "towpath.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "towpath.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Replicas on nodes and zones of their own, as far as there are any. */}}
{{- define "towpath.spread" -}}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "towpath.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{ toJson . }}
{{- end }}
{{- end }}

{{/* A process that is late to start is not restarted, and one that hangs is. */}}
{{- define "towpath.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  failureThreshold: 60
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  failureThreshold: 3
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 3
  failureThreshold: 2
  timeoutSeconds: 3
{{- end }}
