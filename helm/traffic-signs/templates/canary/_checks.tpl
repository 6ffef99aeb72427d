{{- /* The checks of files/canary-checks.yaml as a JSON list. Takes root, window, and champion and challenger: label
matchers of their series. */ -}}
{{- define "traffic-signs.filledChecks" -}}
{{- $checks := list -}}
{{- range (.root.Files.Get "files/canary-checks.yaml" | fromYaml).checks -}}
{{- $query := .query | replace "CHAMPION" $.champion | replace "CHALLENGER" $.challenger | replace "WINDOW" $.window | trim -}}
{{- $checks = append $checks (dict "name" .name "severity" .severity "counts" .counts "summary" .summary "query" $query) -}}
{{- end -}}
{{- toJson $checks -}}
{{- end -}}

{{- /* The same for the chart's own canary. */ -}}
{{- define "traffic-signs.canaryChecks" -}}
{{- $labels := printf `namespace="%s",release="%s"` .Release.Namespace (include "traffic-signs.fullname" .) -}}
{{- include "traffic-signs.filledChecks" (dict "root" . "champion" (printf `%s,track="stable"` $labels) "challenger" (printf `%s,track="canary"` $labels) "window" .Values.canary.analysis.window) -}}
{{- end -}}

{{- /* The same for controllers: each query returns 1 if the challenger is worse, 0 if not, and nothing with too few
requests. The check of failures counts failed requests too, so that a challenger that fails them all has enough. Without
a recognizer its checks are left out. */ -}}
{{- define "traffic-signs.numberedChecks" -}}
{{- $filled := include "traffic-signs.filledChecks" . | fromJsonArray -}}
{{- $few := "" -}}
{{- range $filled }}{{ if eq .severity "info" }}{{ $few = .query }}{{ end }}{{ end -}}
{{- $checks := list -}}
{{- range $filled -}}
{{- if and .counts (or (not (hasPrefix "sign_recognizer_" .counts)) (hasKey $.root.Values.models.versions "sign_recognizer")) -}}
{{- $moved := printf "sum(increase(%s{%s}[%s])) > 0 and sum(increase(%s{%s}[%s])) > 0" .counts $.challenger $.window .counts $.champion $.window -}}
{{- $tooFew := $few -}}
{{- if contains "nv_inference_request_failure" .query -}}
{{- $tooFew = printf "(sum(increase(nv_inference_request_failure{%s}[%s])) or vector(0)) + %s" $.challenger $.window $few -}}
{{- end -}}
{{- $query := printf "(1 + 0 * count(%s)\nor 0 * count(%s))\nunless (%s)" .query $moved $tooFew -}}
{{- $checks = append $checks (dict "name" .name "summary" .summary "query" $query) -}}
{{- end -}}
{{- end -}}
{{- toJson $checks -}}
{{- end -}}
