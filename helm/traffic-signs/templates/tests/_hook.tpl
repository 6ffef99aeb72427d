{{- /* Annotations of a `helm test` pod. Helm 4.1 and newer deletes the pod after the test. An older one would delete it
before it prints the logs, so there the pod stays until the next test. */ -}}
{{- define "traffic-signs.testHook" -}}
helm.sh/hook: test
{{- if semverCompare ">=4.1.0-0" .Capabilities.HelmVersion.Version }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
helm.sh/hook-output-log-policy: hook-failed
{{- else }}
helm.sh/hook-delete-policy: before-hook-creation
{{- end }}
{{- end -}}

{{- /* Common to these pods. */ -}}
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
