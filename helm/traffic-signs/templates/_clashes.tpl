{{- /* Returns problems as JSON: values that set what the chart sets itself. Kubernetes would refuse an object with two
entries of one name, or silently drop one. */ -}}
{{- define "traffic-signs.clashes" -}}
{{- $problems := list -}}
{{- $triton := .Values.triton -}}
{{- $gateway := .Values.gateway -}}
{{- $pull := .Values.models.pull -}}
{{- $env := list "HOME" "PYTHONDONTWRITEBYTECODE" -}}

{{- /* Lists: their key, the given entries, the field that must be unique, and the chart's own. */ -}}
{{- $settings := keys $gateway.settings -}}
{{- $ofGateway := $env -}}
{{- range concat (list "TRITON_URL" "NEED" "DRAIN_DELAY" "DRAIN_TIMEOUT" "HOST" "PORT") $settings -}}
{{- $ofGateway = append $ofGateway (printf "SIGNS_GATEWAY_%s" .) -}}
{{- end -}}
{{- $volumes := list "models" "scratch" "source" "credentials" "keys" "shared-memory" "engines" -}}
{{- $lists := list
  (dict "key" "triton.extraEnv" "given" $triton.extraEnv "field" "name" "ours" (append $env "TRITON_ADMIN_KEY"))
  (dict "key" "models.pull.extraEnv" "given" $pull.extraEnv "field" "name" "ours" (concat $env (list "GOOGLE_APPLICATION_CREDENTIALS" "DOCKER_CONFIG")))
  (dict "key" "gateway.extraEnv" "given" $gateway.extraEnv "field" "name" "ours" $ofGateway)
  (dict "key" "triton.extraVolumes" "given" $triton.extraVolumes "field" "name" "ours" $volumes)
  (dict "key" "gateway.extraVolumes" "given" $gateway.extraVolumes "field" "name" "ours" (list "scratch"))
  (dict "key" "triton.extraVolumeMounts" "given" $triton.extraVolumeMounts "field" "mountPath" "ours" (list "/models" "/tmp" "/dev/shm" .Values.engineBuilder.path))
  (dict "key" "models.pull.extraVolumeMounts" "given" $pull.extraVolumeMounts "field" "mountPath" "ours" (list "/models" "/tmp" "/source" "/credentials" "/keys"))
  (dict "key" "gateway.extraVolumeMounts" "given" $gateway.extraVolumeMounts "field" "mountPath" "ours" (list "/tmp"))
-}}
{{- range $each := $lists -}}
{{- $seen := list -}}
{{- range $each.given -}}
{{- $name := get . $each.field | trimSuffix "/" -}}
{{- if has $name $each.ours -}}
{{- $problems = append $problems (printf "%s: %s is set by the chart; leave it out, or take another" $each.key $name) -}}
{{- else if has $name $seen -}}
{{- $problems = append $problems (printf "%s: %s is there twice; leave one of them out" $each.key $name) -}}
{{- end -}}
{{- $seen = append $seen $name -}}
{{- end -}}
{{- end -}}

{{- if and .Values.engineBuilder.enabled (or (has (trimSuffix "/" .Values.engineBuilder.path) (list "/models" "/tmp" "/dev/shm")) (hasPrefix "/models/" .Values.engineBuilder.path)) -}}
{{- $problems = append $problems (printf "engineBuilder.path: %s is in a volume of the chart's own; take another" .Values.engineBuilder.path) -}}
{{- end -}}
{{- /* A mount point cannot be made in a read-only volume. */ -}}
{{- range $triton.extraVolumeMounts -}}
{{- if regexMatch "^/models/." .mountPath -}}
{{- $problems = append $problems (printf "triton.extraVolumeMounts: %s is in /models, which is read-only; take another place" .mountPath) -}}
{{- end -}}
{{- end -}}
{{- range $kind, $amounts := $triton.resources -}}
{{- if hasKey $amounts $.Values.gpu.resourceName -}}
{{- $problems = append $problems (printf "triton.resources.%s: %s is set by gpu.count and gpu.resourceName; leave it out" $kind $.Values.gpu.resourceName) -}}
{{- end -}}
{{- end -}}

{{- $mounts := list
  (dict "key" "triton.extraVolumeMounts" "given" $triton.extraVolumeMounts "volumes" $triton.extraVolumes "from" "triton.extraVolumes" "ours" (list "models" "scratch" "shared-memory"))
  (dict "key" "models.pull.extraVolumeMounts" "given" $pull.extraVolumeMounts "volumes" $triton.extraVolumes "from" "triton.extraVolumes" "ours" (list "models" "scratch"))
  (dict "key" "gateway.extraVolumeMounts" "given" $gateway.extraVolumeMounts "volumes" $gateway.extraVolumes "from" "gateway.extraVolumes" "ours" (list "scratch"))
-}}
{{- range $each := $mounts -}}
{{- $there := $each.ours -}}
{{- range $each.volumes }}{{ $there = append $there .name }}{{ end -}}
{{- range $each.given -}}
{{- if not (has .name $there) -}}
{{- $problems = append $problems (printf "%s: there is no volume %s; add it to %s" $each.key .name $each.from) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Labels that select objects, and annotations that restart pods. */ -}}
{{- $chosen := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- $described := concat $chosen (list "helm.sh/chart" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "app.kubernetes.io/part-of") -}}
{{- $monitoring := .Values.monitoring -}}
{{- $maps := list
  (dict "key" "commonLabels" "given" .Values.commonLabels "ours" $described)
  (dict "key" "triton.podLabels" "given" $triton.podLabels "ours" (append $chosen "track"))
  (dict "key" "gateway.podLabels" "given" $gateway.podLabels "ours" $chosen)
  (dict "key" "triton.podAnnotations" "given" $triton.podAnnotations "ours" (list "kubectl.kubernetes.io/default-container" "traffic-signs/versions" "traffic-signs/public-key"))
  (dict "key" "monitoring.serviceMonitor.labels" "given" $monitoring.serviceMonitor.labels "ours" $described)
  (dict "key" "monitoring.rules.labels" "given" $monitoring.rules.labels "ours" $described)
  (dict "key" "monitoring.dashboards.labels" "given" $monitoring.dashboards.labels "ours" $described)
-}}
{{- range $each := $maps -}}
{{- range $name, $_ := $each.given -}}
{{- if has $name $each.ours -}}
{{- $problems = append $problems (printf "%s: %s is set by the chart; take another name" $each.key $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $problems -}}
{{- end -}}
