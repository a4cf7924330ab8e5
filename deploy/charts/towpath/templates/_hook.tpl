{{/* A Job that runs `towpath` with an administrator's kubeconfig. Arguments: root, step, hook, account, args. */}}
{{- define "towpath.hook" -}}
{{- $it := dict "root" .root "component" .step }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "towpath.fullname" .root }}-{{ .step }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "towpath.labels" $it | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .hook }}
    # A failed Job stays, and its log says why. helm 4 shows it.
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: hook-failed
spec:
  backoffLimit: 3
  # Exit code 2: the kubeconfig, the user or the Karmada does not fit, and a second attempt would fail as well.
  podFailurePolicy:
    rules:
      - action: FailJob
        onExitCodes: {containerName: towpath, operator: In, values: [2]}
  activeDeadlineSeconds: {{ .root.Values.hooks.deadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "towpath.labels" $it | nindent 8 }}
    spec:
      restartPolicy: Never
      enableServiceLinks: false
      {{- if .account }}
      serviceAccountName: {{ .account }}
      {{- else }}
      automountServiceAccountToken: false
      {{- end }}
      {{- include "towpath.podSecurity" .root | nindent 6 }}
      containers:
        - name: towpath
          image: {{ include "towpath.image" .root | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args:
            {{- toYaml .args | nindent 12 }}
            - --kubeconfig=/admin/kubeconfig
          terminationMessagePolicy: FallbackToLogsOnError
          {{- include "towpath.containerSecurity" .root | nindent 10 }}
          resources:
            requests: {cpu: 50m, memory: 128Mi}
            limits: {memory: 512Mi}
          volumeMounts:
            - {name: admin, mountPath: /admin, readOnly: true}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: admin
          secret:
            secretName: {{ .root.Values.karmada.adminKubeconfig.secretName }}
            # Without the Secret the command says what is missing, and the pod does not wait for it.
            optional: true
            defaultMode: 0440
            items:
              - {key: {{ .root.Values.karmada.adminKubeconfig.key }}, path: kubeconfig}
        - name: tmp
          emptyDir: {sizeLimit: 64Mi}
{{- end }}
