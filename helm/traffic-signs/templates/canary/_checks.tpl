{{- /* The checks of files/canary-checks.yaml, as JSON: a list of name, severity, counts, summary and query. Takes root,
champion and challenger (the labels of their series) and window. */ -}}
{{- define "traffic-signs.filledChecks" -}}
{{- $checks := list -}}
{{- range (.root.Files.Get "files/canary-checks.yaml" | fromYaml).checks -}}
{{- $query := .query | replace "CHAMPION" $.champion | replace "CHALLENGER" $.challenger | replace "WINDOW" $.window | trim -}}
{{- $checks = append $checks (dict "name" .name "severity" .severity "counts" .counts "summary" .summary "query" $query) -}}
{{- end -}}
{{- toJson $checks -}}
{{- end -}}

{{- /* The same with the labels of this release's own canary. */ -}}
{{- define "traffic-signs.canaryChecks" -}}
{{- $labels := printf `namespace="%s",release="%s"` .Release.Namespace (include "traffic-signs.fullname" .) -}}
{{- include "traffic-signs.filledChecks" (dict "root" . "champion" (printf `%s,track="stable"` $labels) "challenger" (printf `%s,track="canary"` $labels) "window" .Values.canary.analysis.window) -}}
{{- end -}}

{{- /* The same for a controller that reads a number: of each check but the one for too few requests a query that gives 1
where the challenger does worse, 0 where it does not, and nothing where there is too little to compare. A failed request
is an answer to the check that compares failures: a challenger that fails every request has failed enough of them. Checks
of the recognizer are left out where the release has none. Takes what traffic-signs.filledChecks takes. */ -}}
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
