{{- /* Whether pods serve for as long as somebody may still ask them. Problems as JSON.

A client that is connected to a pod that leaves learns of it when its connection has reached its age, which gRPC varies by
a tenth; what it has begun by then may take the grace. Until proxies have noticed, such a connection may be opened anew. One that
spreads its requests over the headless Service opens it anew until it looks the name up again. */ -}}
{{- define "traffic-signs.drainProblems" -}}
{{- $problems := list -}}
{{- $triton := .Values.triton -}}
{{- $noticed := 5 -}}
{{- $age := int $triton.grpcConnectionAgeSeconds -}}
{{- $longest := divf (mulf $age 11) 10 | ceil | int -}}
{{- $grace := int $triton.grpcConnectionGraceSeconds -}}
{{- $needed := add $noticed $longest $grace -}}
{{- $named := 35 -}}
{{- $delay := int $triton.drain.delaySeconds -}}
{{- if and (lt $delay $named) (lt $needed $named) -}}
{{- $problems = append $problems (printf "triton.drain.delaySeconds: %d is less than gRPC may take to find new pods by the headless Service: 30 s between two look-ups + 5 s that a name server keeps an answer = %d; give at least that" $delay $named) -}}
{{- else if lt $delay $needed -}}
{{- $problems = append $problems (printf "triton.drain.delaySeconds: %d is less than a gRPC client may keep asking a pod that leaves: %d s until proxies have noticed + %d s (triton.grpcConnectionAgeSeconds, and a tenth) + %d s (triton.grpcConnectionGraceSeconds) = %d; give at least that, or a shorter age or grace" $delay $noticed $longest $grace $needed) -}}
{{- end -}}
{{- if .Values.gateway.enabled -}}
{{- $settings := .Values.gateway.settings -}}
{{- if lt (int .Values.gateway.drain.delaySeconds) $noticed -}}
{{- $problems = append $problems (printf "gateway.drain.delaySeconds: %d is less than the %d s until proxies have noticed that a pod leaves; give at least that" (int .Values.gateway.drain.delaySeconds) $noticed) -}}
{{- end -}}
{{- range .Values.gateway.extraEnv -}}
{{- if has .name (list "SIGNS_GATEWAY_UPLOAD_TIMEOUT" "SIGNS_GATEWAY_TIMEOUT") -}}
{{- $problems = append $problems (printf "gateway.extraEnv: %s counts for how long a pod drains; give it as gateway.settings.%s" .name (trimPrefix "SIGNS_GATEWAY_" .name)) -}}
{{- end -}}
{{- end -}}
{{- /* Without a setting, the gateway's own defaults. */ -}}
{{- $upload := default 30 $settings.UPLOAD_TIMEOUT -}}
{{- $answer := default 10 $settings.TIMEOUT -}}
{{- $needed := addf $upload $answer | ceil | int -}}
{{- $timeout := int .Values.gateway.drain.timeoutSeconds -}}
{{- if lt $timeout $needed -}}
{{- $problems = append $problems (printf "gateway.drain.timeoutSeconds: %d is less than a request may take: %v s (settings.UPLOAD_TIMEOUT) + %v s (settings.TIMEOUT) = %d; give at least that, or shorter times" $timeout $upload $answer $needed) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
