{{- /* How the pods of a Deployment of Triton are replaced. */ -}}
{{- define "traffic-signs.tritonRollout" -}}
{{- $rollout := .Values.triton.rollout -}}
strategy:
  type: RollingUpdate
  rollingUpdate: {maxUnavailable: {{ $rollout.maxUnavailable }}, maxSurge: {{ $rollout.maxSurge }}}
minReadySeconds: {{ int $rollout.minReadySeconds }}
progressDeadlineSeconds: {{ int $rollout.progressDeadlineSeconds }}
revisionHistoryLimit: {{ int $rollout.revisionHistoryLimit }}
{{- end -}}
