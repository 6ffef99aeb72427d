{{- /* Rolling update of a Deployment of Triton. */ -}}
{{- define "traffic-signs.tritonRollout" -}}
{{- $rollout := .Values.triton.rollout -}}
strategy:
  type: RollingUpdate
  rollingUpdate: {maxUnavailable: {{ $rollout.maxUnavailable }}, maxSurge: {{ $rollout.maxSurge }}}
minReadySeconds: {{ int $rollout.minReadySeconds }}
{{- /* While a pod builds engines, the Deployment sees no progress. */}}
progressDeadlineSeconds: {{ add $rollout.progressDeadlineSeconds (.Values.engineBuilder.enabled | ternary .Values.engineBuilder.timeoutSeconds 0) }}
revisionHistoryLimit: {{ int $rollout.revisionHistoryLimit }}
{{- end -}}
