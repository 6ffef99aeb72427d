{{- /* How the pods of a Deployment of Triton are replaced. */ -}}
{{- define "traffic-signs.tritonRollout" -}}
{{- $rollout := .Values.triton.rollout -}}
strategy:
  type: RollingUpdate
  rollingUpdate: {maxUnavailable: {{ $rollout.maxUnavailable }}, maxSurge: {{ $rollout.maxSurge }}}
minReadySeconds: {{ int $rollout.minReadySeconds }}
{{- /* A pod that builds engines makes no progress that the Deployment could see. */}}
progressDeadlineSeconds: {{ add $rollout.progressDeadlineSeconds (.Values.engineBuilder.enabled | ternary .Values.engineBuilder.timeoutSeconds 0) }}
revisionHistoryLimit: {{ int $rollout.revisionHistoryLimit }}
{{- end -}}
