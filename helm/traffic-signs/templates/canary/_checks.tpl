{{- /* The checks of files/canary-checks.yaml with the labels of this release in them, as JSON: a list of name, severity,
summary and query. */ -}}
{{- define "traffic-signs.canaryChecks" -}}
{{- $labels := printf `namespace="%s",release="%s"` .Release.Namespace (include "traffic-signs.fullname" .) -}}
{{- $window := .Values.canary.analysis.window -}}
{{- $checks := list -}}
{{- range (.Files.Get "files/canary-checks.yaml" | fromYaml).checks -}}
{{- $query := .query | replace "CHAMPION" (printf `%s,track="stable"` $labels) | replace "CHALLENGER" (printf `%s,track="canary"` $labels) | replace "WINDOW" $window | trim -}}
{{- $checks = append $checks (dict "name" .name "severity" .severity "summary" .summary "query" $query) -}}
{{- end -}}
{{- toJson $checks -}}
{{- end -}}
