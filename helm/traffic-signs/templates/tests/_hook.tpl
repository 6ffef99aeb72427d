{{- /* Annotations of a pod of `helm test`. Helm deletes it afterwards, before an uninstall could leave it behind; but up to
4.0 it would do so before it prints the logs, so there the pod stays until the next test. */ -}}
{{- define "traffic-signs.testHook" -}}
helm.sh/hook: test
{{- if semverCompare ">=4.1.0-0" .Capabilities.HelmVersion.Version }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
helm.sh/hook-output-log-policy: hook-failed
{{- else }}
helm.sh/hook-delete-policy: before-hook-creation
{{- end }}
{{- end -}}

{{- /* What these pods have in common. */ -}}
{{- define "traffic-signs.testBasics" -}}
{{ include "traffic-signs.podBasics" . }}
restartPolicy: Never
{{- with .Values.tests.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tests.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
