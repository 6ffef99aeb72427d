{{- /* Where HTTP from outside leads, as JSON: name and port of a Service. */ -}}
{{- define "traffic-signs.httpBackend" -}}
{{- $full := include "traffic-signs.fullname" . -}}
{{- if .Values.gateway.enabled -}}
{{- dict "name" (printf "%s-gateway" $full) "port" 80 | toJson -}}
{{- else -}}
{{- dict "name" (printf "%s-triton" $full) "port" 8000 | toJson -}}
{{- end -}}
{{- end -}}

{{- /* Backends of a route, with the challenger's share where it has one. Takes root, and name and port of a Service. */ -}}
{{- define "traffic-signs.routeBackends" -}}
{{- if and (include "traffic-signs.weighed" .root) (hasSuffix "-triton" .name) -}}
{{- $weight := int .root.Values.canary.weight -}}
- {name: {{ .name }}, port: {{ .port }}, weight: {{ sub 100 $weight }}}
- {name: {{ .name }}-canary, port: {{ .port }}, weight: {{ $weight }}}
{{- else -}}
- {name: {{ .name }}, port: {{ .port }}}
{{- end -}}
{{- end -}}
