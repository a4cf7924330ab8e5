{{/* Values that contradict each other. The schema refuses a value that is wrong by itself. */}}
{{- define "towpath.validate" -}}
{{- $karmada := .Values.karmada -}}
{{- if and (not $karmada.adminKubeconfig.secretName) (not $karmada.credentials.secretName) -}}
{{- fail "karmada.adminKubeconfig.secretName: Required value. Name a Secret of this namespace with a kubeconfig of an administrator of the Karmada apiserver, or set karmada.credentials.secretName." -}}
{{- end -}}
{{- if and (not .Values.hooks.install) (not $karmada.credentials.secretName) -}}
{{- fail "karmada.credentials.secretName: Required value while hooks.install is false. Name the Secret with the files of `towpath install --write-kubeconfig DIR --plugin-host HOST`." -}}
{{- end -}}
{{- if and .Values.dataPath.enabled (not (include "towpath.installs" .)) -}}
{{- fail "dataPath.enabled: The install hook installs the data path, and it does not run. Set karmada.adminKubeconfig.secretName, or run `towpath install --data-path`." -}}
{{- end -}}
{{- if and .Values.paths (not (include "towpath.installs" .)) -}}
{{- fail "paths: The install hook sets it, and it does not run. Set karmada.adminKubeconfig.secretName, or run `towpath install --paths`." -}}
{{- end -}}
{{- with .Values.page -}}
{{- if and .enabled (not .token.secretName) (not .clientCa.secretName) -}}
{{- fail "page.token.secretName: Required value. Name a Secret with a token, or set page.clientCa.secretName." -}}
{{- end -}}
{{- if and .clientCa.secretName (not .tls.secretName) -}}
{{- fail "page.tls.secretName: Required value with page.clientCa.secretName. Name a Secret of the type kubernetes.io/tls." -}}
{{- end -}}
{{- end -}}
{{- range $name := list "token" "ca" -}}
{{- if and (index $.Values.plugin.prometheus $name).secretName (not (hasPrefix "https://" $.Values.plugin.prometheus.url)) -}}
{{- fail (printf "plugin.prometheus.%s.secretName: plugin.prometheus.url has no TLS. Set a URL with https, or remove the value." $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.webhook.service.nodePort (eq .Values.webhook.service.type "ClusterIP") -}}
{{- fail "webhook.service.nodePort: A Service of type ClusterIP has none. Set webhook.service.type to NodePort or LoadBalancer." -}}
{{- end -}}
{{- range $value := list "url" "failurePolicy" -}}
{{- if and (index $.Values.webhook $value) (not $.Values.webhook.enabled) -}}
{{- fail (printf "webhook.%s: The webhook is disabled. Set webhook.enabled, or remove the value." $value) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.image.tag .Values.image.digest -}}
{{- fail "image.tag: The image is that of image.digest. Remove one of the values." -}}
{{- end -}}
{{- end }}
