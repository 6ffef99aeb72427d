{{- /* Returns problems as JSON: values with which a pod would end while clients still send to it.

A proxy may open a gRPC connection to an ending pod until it notices ($noticed). The connection lives for its age, which
gRPC varies by a tenth ($longest), and then for its grace. A client of the headless Service connects until it looks the
name up again ($named). docs/updates.md explains this to users. */ -}}
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
{{- $times := include "traffic-signs.gatewayTimes" . | fromJson -}}
{{- if lt (int .Values.gateway.drain.delaySeconds) $noticed -}}
{{- $problems = append $problems (printf "gateway.drain.delaySeconds: %d is less than the %d s until proxies have noticed that a pod leaves; give at least that" (int .Values.gateway.drain.delaySeconds) $noticed) -}}
{{- end -}}
{{- range .Values.gateway.extraEnv -}}
{{- $name := trimPrefix "SIGNS_GATEWAY_" .name -}}
{{- if and (hasPrefix "SIGNS_GATEWAY_" .name) (hasKey $times $name) -}}
{{- $problems = append $problems (printf "gateway.extraEnv: %s counts for how long a pod drains; give it as gateway.settings.%s" .name $name) -}}
{{- end -}}
{{- end -}}
{{- $upload := $times.UPLOAD_TIMEOUT -}}
{{- $answer := $times.TIMEOUT -}}
{{- if and (gt (float64 $answer) (float64 $grace)) (not .Values.gateway.tritonUrl) -}}
{{- $problems = append $problems (printf "gateway.settings.TIMEOUT: %v s is more than the %d s that a gRPC connection which has reached its age leaves to a request; give no more, or a longer triton.grpcConnectionGraceSeconds" $answer $grace) -}}
{{- end -}}
{{- $needed := addf $upload $answer | ceil | int -}}
{{- $timeout := int .Values.gateway.drain.timeoutSeconds -}}
{{- if lt $timeout $needed -}}
{{- $problems = append $problems (printf "gateway.drain.timeoutSeconds: %d is less than a request may take: %v s (settings.UPLOAD_TIMEOUT) + %v s (settings.TIMEOUT) = %d; give at least that, or shorter times" $timeout $upload $answer $needed) -}}
{{- end -}}
{{- end -}}
{{- /* One of several pods must stay. Kubernetes rounds a percentage down in an update, and up in a budget. */ -}}
{{- $pods := include "traffic-signs.championReplicas" . | int -}}
{{- $missing := list (dict "key" "triton.rollout.maxUnavailable" "given" $triton.rollout.maxUnavailable "pods" $pods "up" false) -}}
{{- if $triton.disruptionBudget.enabled -}}
{{- $missing = append $missing (dict "key" "triton.disruptionBudget.maxUnavailable" "given" $triton.disruptionBudget.maxUnavailable "pods" $pods "up" true) -}}
{{- end -}}
{{- if and .Values.gateway.enabled .Values.gateway.disruptionBudget.enabled -}}
{{- $missing = append $missing (dict "key" "gateway.disruptionBudget.maxUnavailable" "given" .Values.gateway.disruptionBudget.maxUnavailable "pods" (int .Values.gateway.replicas) "up" true) -}}
{{- end -}}
{{- range $missing -}}
{{- $text := toString .given -}}
{{- $count := float64 $text -}}
{{- if hasSuffix "%" $text }}{{ $count = divf (mulf (trimSuffix "%" $text | float64) .pods) 100 }}{{ end -}}
{{- $count = .up | ternary (ceil $count) (floor $count) | int -}}
{{- if and .up (eq $count 0) -}}
{{- $problems = append $problems (printf "%s: %s lets no pod be evicted, so no node could be emptied; give at least 1, or %s: false for no budget" .key $text (.key | replace "maxUnavailable" "enabled")) -}}
{{- end -}}
{{- if and (gt .pods 1) (ge $count .pods) -}}
{{- $problems = append $problems (printf "%s: %s may take all %d pods at once; give less, so that one serves" .key $text .pods) -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}

{{- /* The gateway's UPLOAD_TIMEOUT and TIMEOUT in seconds, as JSON; the defaults are those of `signs gateway`. */ -}}
{{- define "traffic-signs.gatewayTimes" -}}
{{- merge (pick .Values.gateway.settings "UPLOAD_TIMEOUT" "TIMEOUT") (dict "UPLOAD_TIMEOUT" 30 "TIMEOUT" 10) | toJson -}}
{{- end -}}
