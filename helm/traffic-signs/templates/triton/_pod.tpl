{{- /* Triton's pod. Takes root, track (stable or canary) and versions (numbers by model). */ -}}
{{- define "traffic-signs.tritonPod" -}}
{{- $root := .root -}}
{{- $triton := .root.Values.triton -}}
{{- $gpu := .root.Values.gpu -}}
{{- $builder := .root.Values.engineBuilder -}}
{{- $image := include "traffic-signs.image" (dict "root" .root "images" (list $triton.image)) -}}
{{- $selector := include "traffic-signs.selectorLabels" .root -}}
{{- $described := list -}}
{{- range $model, $numbers := .versions }}{{ $described = append $described (printf "%s=%s" $model (include "traffic-signs.numbers" $numbers)) }}{{ end -}}
metadata:
  labels:
    {{- $selector | nindent 4 }}
    app.kubernetes.io/component: triton
    track: {{ .track }}
    {{- with $triton.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: tritonserver
    traffic-signs/versions: {{ join " " $described | quote }}
    {{- with .root.Values.models.publicKey }}
    traffic-signs/public-key: {{ trim . | sha256sum | quote }}
    {{- end }}
    {{- with $triton.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "traffic-signs.podBasics" .root | nindent 2 }}
  # Drain, requests in flight, and 10 s for the process to exit.
  terminationGracePeriodSeconds: {{ add (int $triton.drain.delaySeconds) (int $triton.drain.timeoutSeconds) 10 }}
  {{- with $triton.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- if and $gpu.enabled $gpu.runtimeClassName }}
  runtimeClassName: {{ $gpu.runtimeClassName | quote }}
  {{- end }}
  initContainers:
    {{- include "traffic-signs.pullContainers" . | trim | nindent 4 }}
    {{- if $builder.enabled }}
    - name: build-engines
      image: {{ $image }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      command:
        - bash
        - -c
        - |
          {{- .root.Files.Get "files/build-engines.sh" | trim | nindent 10 }}
        - build-engines
        - {{ $builder.path }}
        - {{ int $builder.timeoutSeconds | quote }}
        - "8000"
      args:
        {{- range concat (list "tritonserver" "--model-repository=/models") (include "traffic-signs.fixedArguments" .root | fromJsonArray) $triton.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      env: {{- include "traffic-signs.tritonEnv" .root | nindent 8 }}
      {{- with $triton.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      resources: {{- include "traffic-signs.tritonResources" .root | nindent 8 }}
      securityContext: {{- include "traffic-signs.containerSecurity" .root | nindent 8 }}
      volumeMounts: {{- include "traffic-signs.tritonMounts" .root | nindent 8 }}
    {{- end }}
  containers:
    - name: tritonserver
      image: {{ $image }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      # No command: NVIDIA's entrypoint selects the CUDA libraries that fit the driver.
      args:
        - tritonserver
        {{- range include "traffic-signs.tritonArguments" .root | fromJsonArray }}
        - {{ . | quote }}
        {{- end }}
      env: {{- include "traffic-signs.tritonEnv" .root | nindent 8 }}
      {{- with $triton.extraEnvFrom }}
      envFrom: {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: 8000, protocol: TCP}
        - {name: grpc, containerPort: 8001, protocol: TCP}
        - {name: metrics, containerPort: 8002, protocol: TCP}
      # Readiness of the server is enough with --model-control-mode=none: a version that fails to load ends the process
      # at its start, and nothing is loaded later.
      startupProbe:
        httpGet: {path: /v2/health/ready, port: http}
        {{- toYaml $triton.probes.startup | nindent 8 }}
      readinessProbe:
        httpGet: {path: /v2/health/ready, port: http}
        {{- toYaml $triton.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /v2/health/live, port: http}
        {{- toYaml $triton.probes.liveness | nindent 8 }}
      lifecycle:
        # Triton refuses new requests after SIGTERM, while clients still send some.
        preStop:
          exec: {command: [sleep, {{ int $triton.drain.delaySeconds | quote }}]}
      resources: {{- include "traffic-signs.tritonResources" .root | nindent 8 }}
      securityContext: {{- include "traffic-signs.containerSecurity" .root | nindent 8 }}
      volumeMounts: {{- include "traffic-signs.tritonMounts" .root | nindent 8 }}
  volumes:
    {{- include "traffic-signs.pullVolumes" .root | nindent 4 }}
    - name: shared-memory
      emptyDir: {medium: Memory, sizeLimit: {{ $triton.sharedMemory }}}
    {{- if $builder.enabled }}
    - name: engines
      persistentVolumeClaim:
        claimName: {{ default (printf "%s-engines" (include "traffic-signs.fullname" .root)) $builder.existingClaim | quote }}
    {{- end }}
    {{- with $triton.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $nodes := not (empty $gpu.enabled) | ternary (merge (deepCopy $triton.nodeSelector) $gpu.nodeSelector) $triton.nodeSelector }}
  {{- with $nodes }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $tolerations := not (empty $gpu.enabled) | ternary (concat $triton.tolerations $gpu.tolerations) $triton.tolerations }}
  {{- with $tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $triton.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $triton.spread.enabled }}
  topologySpreadConstraints:
    - maxSkew: {{ int $triton.spread.maxSkew }}
      topologyKey: {{ $triton.spread.topologyKey | quote }}
      whenUnsatisfiable: {{ $triton.spread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- $selector | nindent 10 }}
          app.kubernetes.io/component: triton
          track: {{ .track }}
      # Do not count the old pods during an update.
      matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}

{{- /* NAME of configs/NAME.pbtxt, for GPUs or the CPU limit. Sizes and rounding as in export/hardware_fit.py. */ -}}
{{- define "traffic-signs.configuration" -}}
{{- if .Values.triton.configuration -}}
{{- .Values.triton.configuration -}}
{{- else if .Values.gpu.enabled -}}
gpu
{{- else -}}
{{- $limit := toString (.Values.triton.resources.limits | default dict).cpu -}}
{{- $milli := hasSuffix "m" $limit | ternary (trimSuffix "m" $limit | float64) (mulf 1000 (float64 $limit)) -}}
{{- $cores := ceil (divf $milli 1000) -}}
{{- $fit := 2 -}}
{{- range list 4 8 16 32 64 -}}
{{- if le (mulf 3 .) (mulf 4 $cores) }}{{ $fit = . }}{{ end -}}
{{- end -}}
cpu-{{ if .Values.triton.int8 }}int8-{{ end }}{{ $fit }}
{{- end -}}
{{- end -}}

{{- /* Arguments of the server and of the engine builder, as JSON. */ -}}
{{- define "traffic-signs.fixedArguments" -}}
{{- list
  "--model-control-mode=none"
  "--exit-on-error=true"
  "--strict-readiness=true"
  "--disable-auto-complete-config"
  (printf "--model-config-name=%s" (include "traffic-signs.configuration" .))
  "--log-format=ISO8601"
  (printf "--log-verbose=%d" (int .Values.triton.logVerbose))
| toJson -}}
{{- end -}}

{{- /* Arguments of the server, as JSON. */ -}}
{{- define "traffic-signs.tritonArguments" -}}
{{- $triton := .Values.triton -}}
{{- $arguments := concat (list "--model-repository=/models") (include "traffic-signs.fixedArguments" . | fromJsonArray) (list
  "--http-port=8000"
  "--grpc-port=8001"
  "--metrics-port=8002"
  (printf "--exit-timeout-secs=%d" (int $triton.drain.timeoutSeconds))
  (printf "--grpc-max-connection-age=%d" (mul (int $triton.grpcConnectionAgeSeconds) 1000))
  (printf "--grpc-max-connection-age-grace=%d" (mul (int $triton.grpcConnectionGraceSeconds) 1000))
  "--metrics-config=summary_latencies=true"
  (printf "--allow-gpu-metrics=%t" (not (empty .Values.gpu.enabled)))
) -}}
{{- /* By default Triton listens for HTTP on IPv4 only. */ -}}
{{- if eq .Values.ipFamily "IPv6" -}}
{{- $arguments = concat $arguments (list "--http-address=ipv6:::" "--metrics-address=ipv6:::" "--grpc-address=[::]") -}}
{{- end -}}
{{- with int $triton.grpcThreads -}}
{{- $arguments = append $arguments (printf "--grpc-infer-thread-count=%d" .) -}}
{{- end -}}
{{- if and $triton.restrictedApi.enabled $triton.restrictedApi.apis -}}
{{- $apis := join "," $triton.restrictedApi.apis -}}
{{- $arguments = concat $arguments (list
  (printf "--http-restricted-api=%s:triton-admin-key=$(TRITON_ADMIN_KEY)" $apis)
  (printf "--grpc-restricted-protocol=%s:admin-key=$(TRITON_ADMIN_KEY)" $apis)
) -}}
{{- end -}}
{{- if $triton.tracing.enabled -}}
{{- $arguments = concat $arguments (list
  "--trace-config=mode=opentelemetry"
  "--trace-config=level=TIMESTAMPS"
  (printf "--trace-config=rate=%d" (int $triton.tracing.rate))
  "--trace-config=count=-1"
  (printf "--trace-config=opentelemetry,url=%s" $triton.tracing.url)
  (printf "--trace-config=opentelemetry,resource=service.name=%s" (include "traffic-signs.fullname" .))
) -}}
{{- range $name, $value := $triton.tracing.attributes -}}
{{- $arguments = append $arguments (printf "--trace-config=opentelemetry,resource=%s=%s" $name $value) -}}
{{- end -}}
{{- end -}}
{{- concat $arguments $triton.extraArgs | toJson -}}
{{- end -}}

{{- define "traffic-signs.tritonEnv" -}}
- {name: HOME, value: /tmp}
- {name: PYTHONDONTWRITEBYTECODE, value: "1"}
- {name: ORT_DISABLE_TELEMETRY, value: "1"}
{{- if and .Values.triton.restrictedApi.enabled .Values.triton.restrictedApi.apis }}
- name: TRITON_ADMIN_KEY
  valueFrom:
    secretKeyRef:
      name: {{ include "traffic-signs.adminSecret" . | quote }}
      key: {{ .Values.triton.restrictedApi.secretKey | quote }}
{{- end }}
{{- with .Values.triton.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "traffic-signs.tritonResources" -}}
{{- $resources := deepCopy .Values.triton.resources -}}
{{- if .Values.gpu.enabled -}}
{{- $count := dict .Values.gpu.resourceName (int .Values.gpu.count) -}}
{{- $_ := set $resources "limits" (merge $count ($resources.limits | default dict)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "traffic-signs.tritonMounts" -}}
- {name: models, mountPath: /models, readOnly: true}
- {name: scratch, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
{{- if .Values.engineBuilder.enabled }}
- {name: engines, mountPath: {{ .Values.engineBuilder.path }}}
{{- end }}
{{- with .Values.triton.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}
