{{- /* Names, labels and images. */ -}}

{{- define "traffic-signs.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* The beginning of all names: short enough that the longest ending fits into 63 letters. A longer one ends with a
hash of the whole, so that two releases whose names begin alike do not get the same objects. A release that is called as
the chart is has no name twice; one whose name merely holds the chart's has both, since another alias may be in it, too. */ -}}
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

{{- /* Labels of an object. Takes root and component, and more: labels that come before the common ones. Pods have the
selector's alone, so that a new version of the chart does not start them anew. */ -}}
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

{{- /* Address of an image. Takes root, and images: the first that names a repository counts. */ -}}
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

{{- /* What all pods have in common. */ -}}
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

{{- /* The versions that the champion's pods serve, as JSON. */ -}}
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

{{- /* Numbers of a model's versions, as 3 or 3,4. */ -}}
{{- define "traffic-signs.numbers" -}}
{{- $texts := list -}}
{{- range kindIs "slice" . | ternary . (list .) }}{{ $texts = append $texts (int . | toString) }}{{ end -}}
{{- join "," $texts -}}
{{- end -}}

{{- /* Key of a model's version, as --set of Helm wants it. */ -}}
{{- define "traffic-signs.versionKey" -}}
{{- printf "models.versions.%s" (toString . | replace "." "\\.") -}}
{{- end -}}

{{- /* The model that a user of the release asks; empty where it serves neither. */ -}}
{{- define "traffic-signs.asked" -}}
{{- if hasKey .Values.models.versions "sign_recognizer" -}}sign_recognizer
{{- else if hasKey .Values.models.versions "sign_classifier" -}}sign_classifier
{{- end -}}
{{- end -}}

{{- /* The least number of the champion's pods. */ -}}
{{- define "traffic-signs.championReplicas" -}}
{{- eq .Values.autoscaling.type "none" | ternary .Values.triton.replicas .Values.autoscaling.minReplicas | int -}}
{{- end -}}

{{- /* Pods of the challenger: as many beside the champion's as its weight asks for, at least one; behind a route, which
does not lead to the champion when the challenger has no pod, two. */ -}}
{{- define "traffic-signs.challengerReplicas" -}}
{{- $champion := include "traffic-signs.championReplicas" . | float64 -}}
{{- $weight := float64 .Values.canary.weight -}}
{{- if .Values.canary.replicas -}}
{{- int .Values.canary.replicas -}}
{{- else -}}
{{- max (eq .Values.canary.split "route" | ternary 2 1) (divf (mulf $champion $weight) (subf 100 $weight) | ceil | int) -}}
{{- end -}}
{{- end -}}

{{- /* "true" where a route weighs the challenger by a Service of its own. */ -}}
{{- define "traffic-signs.weighed" -}}
{{- if and (eq .Values.canary.state "running") (eq .Values.canary.split "route") }}true{{ end -}}
{{- end -}}

{{- define "traffic-signs.adminSecret" -}}
{{- default (printf "%s-admin" (include "traffic-signs.fullname" .)) .Values.triton.restrictedApi.existingSecret -}}
{{- end -}}

{{- define "traffic-signs.tritonUrl" -}}
{{- default (printf "%s-triton-headless.%s.svc:8001" (include "traffic-signs.fullname" .) .Release.Namespace) .Values.gateway.tritonUrl -}}
{{- end -}}

{{- /* Mean time in the queue of a request, in microseconds: summed over models before it is divided, so that idle
models do not water it down, and with a denominator of at least one request a second, so that it is a number always. */ -}}
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
