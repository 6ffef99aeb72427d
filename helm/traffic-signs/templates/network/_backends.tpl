{{- /* Service for HTTP from outside, as JSON: name and port. */ -}}
{{- define "traffic-signs.httpBackend" -}}
{{- $full := include "traffic-signs.fullname" . -}}
{{- if .Values.gateway.enabled -}}
{{- dict "name" (printf "%s-gateway" $full) "port" 80 | toJson -}}
{{- else -}}
{{- dict "name" (printf "%s-triton" $full) "port" 8000 | toJson -}}
{{- end -}}
{{- end -}}

{{- /* Backends of a route, with the challenger's share if there is one. Takes root, and a Service's name and port. */ -}}
{{- define "traffic-signs.routeBackends" -}}
{{- if and (include "traffic-signs.weighed" .root) (hasSuffix "-triton" .name) -}}
{{- $weight := int .root.Values.canary.weight -}}
- {name: {{ .name }}, port: {{ .port }}, weight: {{ sub 100 $weight }}}
- {name: {{ .name }}-canary, port: {{ .port }}, weight: {{ $weight }}}
{{- else -}}
- {name: {{ .name }}, port: {{ .port }}}
{{- end -}}
{{- end -}}
