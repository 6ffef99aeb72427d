{{- /* Rules over several values, which the schema cannot express readably. Fails with all problems at once. */ -}}
{{- define "traffic-signs.checks" -}}
{{- $problems := list -}}
{{- $values := .Values -}}
{{- $source := .Values.models.source -}}

{{- if not .Values.models.versions -}}
{{- $problems = append $problems "models.versions: name at least one model and its version, as sign_classifier: 3" -}}
{{- end -}}
{{- if hasKey .Values.models.versions "sign_recognizer" -}}
{{- range list "sign_detector" "sign_classifier" -}}
{{- if not (hasKey $values.models.versions .) -}}
{{- $problems = append $problems (printf "models.versions: sign_recognizer asks %s, which must be beside it; name its version too" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey .Values "enabled") (not .Values.enabled) -}}
{{- $problems = append $problems "enabled: only the condition of a chart above this one reads it; uninstall the release, or name it in condition" -}}
{{- end -}}
{{- if kindIs "string" .Values.gpu.enabled -}}
{{- $problems = append $problems "gpu.enabled: say true to serve on GPUs, or false to serve on CPUs" -}}
{{- end -}}
{{- $full := include "traffic-signs.fullname" . -}}
{{- if not (regexMatch "^[a-z]" $full) -}}
{{- $problems = append $problems (printf "fullnameOverride: names of Services begin with a letter, and %s does not; give another beginning of all names" $full) -}}
{{- end -}}
{{- if and (eq $source.type "pvc") (not $source.pvc.claimName) -}}
{{- $problems = append $problems "models.source.pvc.claimName: name the claim that holds the model repository" -}}
{{- end -}}
{{- if and (eq $source.type "bucket") (not $source.bucket.url) -}}
{{- $problems = append $problems "models.source.bucket.url: give the repository's address, as s3://models/signs" -}}
{{- end -}}
{{- if eq $source.type "oci" -}}
{{- $problems = concat $problems (include "traffic-signs.ociProblems" . | fromJsonArray) -}}
{{- end -}}
{{- if eq $source.type "image" -}}
{{- if not $source.image.repository -}}
{{- $problems = append $problems "models.source.image.repository: name the image that holds the model repository" -}}
{{- end -}}
{{- if not (or $source.image.tag $source.image.digest) -}}
{{- $problems = append $problems "models.source.image.tag: give the tag, or the digest, of the image with the models" -}}
{{- end -}}
{{- if semverCompare "<1.31.0-0" .Capabilities.KubeVersion.Version -}}
{{- $problems = append $problems (printf "models.source.type: an image can be mounted from Kubernetes 1.31 on, this is %s; choose pvc, bucket or oci" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $source.type "image") (eq .Values.canary.state "running") -}}
{{- $problems = append $problems "canary.state: with models.source.type image champion and challenger would get one image; choose pvc, bucket or oci, or set models.versions and another tag of models.source.image without a canary" -}}
{{- end -}}
{{- if and .Values.models.publicKey .Values.models.publicKeyConfigMap -}}
{{- $problems = append $problems "models.publicKeyConfigMap: models.publicKey is given too; leave one of them out" -}}
{{- end -}}

{{- if and (eq $source.type "bucket") $source.bucket.fileSecret (not (hasPrefix "gs://" $source.bucket.url)) -}}
{{- $problems = append $problems "models.source.bucket.fileSecret: a key file is for gs:// alone; name a Secret of variables in models.source.bucket.envSecret" -}}
{{- end -}}

{{- $images := dict "models.source.image" $source.image "models.pull.image" .Values.models.pull.image "triton.image" .Values.triton.image "gateway.image" .Values.gateway.image "tests.image" .Values.tests.image "canary.analysis.image" .Values.canary.analysis.image -}}
{{- range $key, $image := $images -}}
{{- if eq (toString $image.tag) "latest" -}}
{{- $problems = append $problems (printf "%s.tag: latest is another image tomorrow; give the tag of a version, or a digest" $key) -}}
{{- end -}}
{{- end -}}
{{- range list "triton" "gateway" -}}
{{- if not (index $values .).image.repository -}}
{{- $problems = append $problems (printf "%s.image.repository: name the image" .) -}}
{{- end -}}
{{- end -}}

{{- /* Arguments of tritonserver that the chart sets, and the values that they come from. */ -}}
{{- $ours := dict
  "model-repository" "models"
  "model-store" "models"
  "model-control-mode" "none, always: a new version is a new pod"
  "exit-on-error" "true, always"
  "strict-readiness" "true, always"
  "load-model" "models.versions"
  "exit-timeout-secs" "triton.drain.timeoutSeconds"
  "http-port" "8000"
  "grpc-port" "8001"
  "metrics-port" "8002"
  "allow-http" "true, always"
  "allow-grpc" "true, always"
  "allow-metrics" "true, always"
  "http-address" "ipFamily"
  "grpc-address" "ipFamily"
  "metrics-address" "ipFamily"
  "http-restricted-api" "triton.restrictedApi"
  "grpc-restricted-protocol" "triton.restrictedApi"
  "log-verbose" "triton.logVerbose"
  "allow-gpu-metrics" "gpu.enabled"
  "model-config-name" "triton.configuration"
  "grpc-infer-thread-count" "triton.grpcThreads"
  "grpc-max-connection-age" "triton.grpcConnectionAgeSeconds"
  "grpc-max-connection-age-grace" "triton.grpcConnectionGraceSeconds"
-}}
{{- range .Values.triton.extraArgs -}}
{{- $flag := splitList "=" . | first | trimPrefix "--" -}}
{{- /* tritonserver also takes an unambiguous beginning of a name. */ -}}
{{- range $name, $from := $ours -}}
{{- if or (eq $flag $name) (and (hasPrefix $flag $name) (not (hasKey $ours $flag))) -}}
{{- $problems = append $problems (printf "triton.extraArgs: --%s is set by the chart (%s); leave --%s out" $name $from $flag) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $problems = concat $problems (include "traffic-signs.drainProblems" . | fromJsonArray) -}}
{{- if and (has (toString .Values.triton.rollout.maxUnavailable) (list "0" "0%")) (has (toString .Values.triton.rollout.maxSurge) (list "0" "0%")) -}}
{{- $problems = append $problems "triton.rollout.maxSurge: with maxUnavailable 0 too no pod could ever be replaced; give 1 to one of them" -}}
{{- end -}}
{{- if le (int .Values.triton.rollout.progressDeadlineSeconds) (int .Values.triton.rollout.minReadySeconds) -}}
{{- $problems = append $problems "triton.rollout.progressDeadlineSeconds: must be more than triton.rollout.minReadySeconds, or every update counts as failed" -}}
{{- end -}}
{{- if and .Values.triton.tracing.enabled (not .Values.triton.tracing.url) -}}
{{- $problems = append $problems "triton.tracing.url: say where traces go, as http://otel-collector.observability:4318/v1/traces" -}}
{{- end -}}

{{- if ne .Values.canary.state "none" -}}
{{- if not .Values.canary.versions -}}
{{- $problems = append $problems (printf "canary.versions: say which versions the challenger serves (canary.state is %s)" .Values.canary.state) -}}
{{- end -}}
{{- range $model, $_ := .Values.canary.versions -}}
{{- if not (hasKey $values.models.versions $model) -}}
{{- $problems = append $problems (printf "canary.versions: models.versions has no %s that a challenger could be compared with; correct the name, or name its version there" $model) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.canary.versions (eq .Values.canary.state "running") (eq (include "traffic-signs.challengerVersions" .) (toJson .Values.models.versions)) -}}
{{- $problems = append $problems "canary.versions: these are the versions of models.versions; name others, or set canary.state to none" -}}
{{- end -}}
{{- end -}}
{{- /* After a promotion, a newer version in models.versions would have no effect. */ -}}
{{- if eq .Values.canary.state "promoted" -}}
{{- range $model, $promoted := .Values.canary.versions -}}
{{- $pinned := get $values.models.versions $model -}}
{{- if and $pinned (not (kindIs "slice" $pinned)) (not (kindIs "slice" $promoted)) (gt (int $pinned) (int $promoted)) -}}
{{- $problems = append $problems (printf "canary.state: promoted serves %s %d, but models.versions asks for %d, which is newer; set it to none" $model (int $promoted) (int $pinned)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "argoRollouts" "flagger" -}}
{{- if and (index $values.canary.analysis .).enabled (not $values.canary.analysis.prometheusUrl) -}}
{{- $problems = append $problems (printf "canary.analysis.prometheusUrl: canary.analysis.%s asks Prometheus; say where it is, as http://prometheus-operated.monitoring:9090" .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.canary.state "running") (eq .Values.canary.split "replicas") (eq (int .Values.canary.weight) 0) -}}
{{- $problems = append $problems "canary.weight: a challenger's pods get requests with any weight; give 1 or more, or choose canary.split route" -}}
{{- end -}}
{{- if include "traffic-signs.weighed" . -}}
{{- if not (and .Values.route.enabled (or .Values.route.grpcHost (not .Values.gateway.enabled))) -}}
{{- $problems = append $problems "canary.split: a route weighs only what it leads to Triton; enable route and give route.grpcHost, or choose replicas" -}}
{{- end -}}
{{- end -}}

{{- if ne .Values.autoscaling.type "none" -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- $problems = append $problems "autoscaling.maxReplicas: must not be less than autoscaling.minReplicas" -}}
{{- end -}}
{{- if and (eq .Values.autoscaling.type "keda") (not .Values.autoscaling.keda.prometheusUrl) -}}
{{- $problems = append $problems "autoscaling.keda.prometheusUrl: say where KEDA finds Prometheus, as http://prometheus-operated.monitoring:9090" -}}
{{- end -}}
{{- end -}}

{{- if and (eq .Values.triton.configuration "gpu") (not .Values.gpu.enabled) -}}
{{- $problems = append $problems "triton.configuration: gpu is for servers with a GPU; set gpu.enabled, or leave it empty" -}}
{{- end -}}
{{- if and .Values.triton.int8 (or .Values.gpu.enabled .Values.triton.configuration) -}}
{{- $problems = append $problems "triton.int8: it chooses the configuration for CPUs; leave it out with gpu.enabled or triton.configuration" -}}
{{- end -}}
{{- if and .Values.engineBuilder.enabled (not .Values.gpu.enabled) -}}
{{- $problems = append $problems "engineBuilder.enabled: TensorRT needs a GPU; set gpu.enabled, or leave the engine builder out" -}}
{{- end -}}

{{- if and .Values.ingress.enabled (not (or .Values.ingress.host .Values.ingress.grpcHost)) -}}
{{- $problems = append $problems "ingress.host: give a host name, or ingress.grpcHost" -}}
{{- end -}}
{{- range list "ingress" "route" -}}
{{- $way := index $values . -}}
{{- if and $way.enabled $way.host (eq $way.host $way.grpcHost) -}}
{{- $problems = append $problems (printf "%s.grpcHost: HTTP and gRPC need a host name each; give another than %s.host" . .) -}}
{{- end -}}
{{- end -}}
{{- if .Values.route.enabled -}}
{{- if not (or .Values.route.host .Values.route.grpcHost) -}}
{{- $problems = append $problems "route.host: give a host name, or route.grpcHost" -}}
{{- end -}}
{{- if eq (not .Values.route.parentRefs) (not .Values.route.createGateway.enabled) -}}
{{- $problems = append $problems "route.parentRefs: name a Gateway that is there, or enable route.createGateway; one of the two" -}}
{{- end -}}
{{- if and .Values.route.createGateway.enabled (not .Values.route.createGateway.className) -}}
{{- $problems = append $problems "route.createGateway.className: name the GatewayClass, as `kubectl get gatewayclass` shows it" -}}
{{- end -}}
{{- end -}}

{{- /* Ports that NetworkPolicies open. */ -}}
{{- $ports := dict "gateway.tritonUrl" (splitList ":" .Values.gateway.tritonUrl | last) -}}
{{- $urls := dict "gateway.settings.TRACES" .Values.gateway.settings.TRACES "triton.tracing.url" .Values.triton.tracing.url "canary.analysis.prometheusUrl" .Values.canary.analysis.prometheusUrl "autoscaling.keda.prometheusUrl" .Values.autoscaling.keda.prometheusUrl -}}
{{- if and (eq $source.type "oci") $source.oci.repository -}}
{{- $_ := set $urls "models.source.oci.repository" (printf "https://%s" $source.oci.repository) -}}
{{- end -}}
{{- range $key, $url := $urls }}{{ if $url }}{{ $_ := set $ports $key (include "traffic-signs.urlPort" $url) }}{{ end }}{{ end -}}
{{- range $key, $port := $ports -}}
{{- if and $port (or (lt (int $port) 1) (gt (int $port) 65535)) -}}
{{- $problems = append $problems (printf "%s: there is no port %s; give one from 1 to 65535" $key $port) -}}
{{- end -}}
{{- end -}}

{{- $problems = concat $problems (include "traffic-signs.clashes" . | fromJsonArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\nthese values do not fit:\n  %s\n" (join "\n  " $problems)) -}}
{{- end -}}
{{- end -}}
