{{- /* Names, labels and images. */ -}}

{{- define "traffic-signs.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Prefix of all names: at most 40 characters, so that every suffix fits into 63. A longer one ends with a hash,
so that two releases with one beginning get different objects. A release named like the chart does not repeat the
name; one that only contains it does, since an alias of the chart may be in it as well. */ -}}
{{- define "traffic-signs.fullname" -}}
{{- $name := include "traffic-signs.name" . -}}
{{- $full := eq $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $full = default $full .Values.fullnameOverride | replace "." "-" -}}
{{- if gt (len $full) 40 -}}
{{- printf "%s-%s" (trunc 31 $full | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- else -}}
{{- trimSuffix "-" $full -}}
{{- end -}}
{{- end -}}

{{- define "traffic-signs.selectorLabels" -}}
app.kubernetes.io/name: {{ include "traffic-signs.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- /* Labels of an object. Takes root, component, and more: labels that take precedence over commonLabels. Pods have
only the selector's labels, so that a new chart version does not restart them. */ -}}
{{- define "traffic-signs.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "traffic-signs.selectorLabels" .root }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: traffic-sign-mlops
{{- with merge (dict) (.more | default dict) .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Reference of an image. Takes root and images, of which the first with a repository counts. */ -}}
{{- define "traffic-signs.image" -}}
{{- $image := dict -}}
{{- range .images }}{{ if and .repository (not $image) }}{{ $image = . }}{{ end }}{{ end -}}
{{- $repository := $image.repository -}}
{{- with .root.Values.image.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "traffic-signs.serviceAccountName" -}}
{{- default (.Values.serviceAccount.create | ternary (include "traffic-signs.fullname" .) "default") .Values.serviceAccount.name -}}
{{- end -}}

{{- /* Common to all pods. */ -}}
{{- define "traffic-signs.podBasics" -}}
serviceAccountName: {{ include "traffic-signs.serviceAccountName" . | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.securityContext.runAsUser }}
  runAsUser: {{ int64 . }}
  {{- end }}
  {{- with .Values.securityContext.runAsGroup }}
  runAsGroup: {{ int64 . }}
  fsGroup: {{ int64 . }}
  {{- end }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "traffic-signs.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Versions that the champion's pods serve, as JSON. */ -}}
{{- define "traffic-signs.championVersions" -}}
{{- if eq .Values.canary.state "promoted" -}}
{{- merge (deepCopy .Values.canary.versions) .Values.models.versions | toJson -}}
{{- else -}}
{{- toJson .Values.models.versions -}}
{{- end -}}
{{- end -}}

{{- define "traffic-signs.challengerVersions" -}}
{{- merge (deepCopy .Values.canary.versions) .Values.models.versions | toJson -}}
{{- end -}}

{{- /* Version numbers of a model: 3, or 3,4. */ -}}
{{- define "traffic-signs.numbers" -}}
{{- $texts := list -}}
{{- range kindIs "slice" . | ternary . (list .) }}{{ $texts = append $texts (int . | toString) }}{{ end -}}
{{- join "," $texts -}}
{{- end -}}

{{- /* Key of a model's version for Helm's --set. */ -}}
{{- define "traffic-signs.versionKey" -}}
{{- printf "models.versions.%s" (toString . | replace "." "\\.") -}}
{{- end -}}

{{- /* The model for `helm test` and NOTES.txt; empty if the release serves neither. */ -}}
{{- define "traffic-signs.asked" -}}
{{- if hasKey .Values.models.versions "sign_recognizer" -}}sign_recognizer
{{- else if hasKey .Values.models.versions "sign_classifier" -}}sign_classifier
{{- end -}}
{{- end -}}

{{- /* Fewest pods of the champion. */ -}}
{{- define "traffic-signs.championReplicas" -}}
{{- eq .Values.autoscaling.type "none" | ternary .Values.triton.replicas .Values.autoscaling.minReplicas | int -}}
{{- end -}}

{{- /* Pods of the challenger: for its weight, at least one. Behind a route at least two: without a pod of the
challenger, its share of the requests would fail. */ -}}
{{- define "traffic-signs.challengerReplicas" -}}
{{- $champion := include "traffic-signs.championReplicas" . | float64 -}}
{{- $weight := float64 .Values.canary.weight -}}
{{- if .Values.canary.replicas -}}
{{- int .Values.canary.replicas -}}
{{- else -}}
{{- max (eq .Values.canary.split "route" | ternary 2 1) (divf (mulf $champion $weight) (subf 100 $weight) | ceil | int) -}}
{{- end -}}
{{- end -}}

{{- /* "true" if a route splits requests between the champion's and the challenger's Service. */ -}}
{{- define "traffic-signs.weighed" -}}
{{- if and (eq .Values.canary.state "running") (eq .Values.canary.split "route") }}true{{ end -}}
{{- end -}}

{{- define "traffic-signs.adminSecret" -}}
{{- default (printf "%s-admin" (include "traffic-signs.fullname" .)) .Values.triton.restrictedApi.existingSecret -}}
{{- end -}}

{{- define "traffic-signs.tritonUrl" -}}
{{- default (printf "%s-triton-headless.%s.svc:8001" (include "traffic-signs.fullname" .) .Release.Namespace) .Values.gateway.tritonUrl -}}
{{- end -}}

{{- /* Mean queue time of a request in microseconds. Summed over models before the division, so that idle models do not
lower it; the denominator is at least one request a second, so that it is always a number. */ -}}
{{- define "traffic-signs.queueTime" -}}
{{- $window := .Values.autoscaling.keda.window -}}
{{- $series := printf `{namespace="%s",release="%s",track="stable"}` .Release.Namespace (include "traffic-signs.fullname" .) -}}
sum(rate(nv_inference_queue_duration_us{{ $series }}[{{ $window }}])) / clamp_min(sum(rate(nv_inference_request_success{{ $series }}[{{ $window }}])), 1)
{{- end -}}

{{- /* The port of a URL. */ -}}
{{- define "traffic-signs.urlPort" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (eq $url.scheme "https" | ternary "443" "80") -}}
{{- end -}}
