{{- /* Init containers that pull the versions: one for all, or one for each model from a registry, where each version is
an artifact. Takes what traffic-signs.tritonPod takes. */ -}}
{{- define "traffic-signs.pullContainers" -}}
{{- $source := .root.Values.models.source -}}
{{- if eq $source.type "oci" -}}
{{- range $model, $number := .versions }}
{{- $digest := dig $model (include "traffic-signs.numbers" $number) "" $source.oci.digests }}
{{- $from := printf "oci://%s@%s" $source.oci.repository $digest }}
{{ include "traffic-signs.pullContainer" (dict "root" $.root "name" (include "traffic-signs.pullName" $model) "from" $from "versions" (dict $model $number)) }}
{{- end }}
{{- else -}}
{{- $from := index (dict "pvc" (printf "/source/%s" $source.pvc.path) "bucket" (trim $source.bucket.url) "image" (printf "/source/%s" $source.image.path)) $source.type -}}
{{ include "traffic-signs.pullContainer" (dict "root" .root "name" "pull-models" "from" $from "versions" .versions) }}
{{- end -}}
{{- end -}}

{{- /* Name of the container that pulls a model. Container names allow fewer characters than model names, so a name that
could become equal to another, such as a.b, a-b and A_b, ends with a hash. */ -}}
{{- define "traffic-signs.pullName" -}}
{{- $name := printf "pull-%s" (lower . | replace "_" "-" | replace "." "-") -}}
{{- if and (regexMatch "^[a-z0-9]+(_[a-z0-9]+)*$" .) (le (len $name) 63) -}}
{{- $name -}}
{{- else -}}
{{- printf "%s-%s" (trunc 54 $name | trimSuffix "-") (sha256sum . | trunc 8) -}}
{{- end -}}
{{- end -}}

{{- /* One init container. Takes root, name, from (the repository) and versions (numbers by model). */ -}}
{{- define "traffic-signs.pullContainer" -}}
{{- $models := .root.Values.models -}}
{{- $source := $models.source -}}
- name: {{ .name }}
  image: {{ include "traffic-signs.image" (dict "root" .root "images" (list $models.pull.image .root.Values.triton.image)) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [signs]
  args:
    - repository
    - pull
    - {{ .from | trimSuffix "/" | quote }}
    - /models
    {{- range $model, $numbers := .versions }}
    - --version={{ $model }}={{ include "traffic-signs.numbers" $numbers }}
    {{- end }}
    - --configuration={{ include "traffic-signs.configuration" .root }}
    {{- if or $models.publicKey $models.publicKeyConfigMap }}
    - --public-key=/keys/release.pub
    {{- end }}
    {{- if and (eq $source.type "oci") $source.oci.plainHttp }}
    - --plain-http
    {{- end }}
  env:
    - {name: HOME, value: /tmp}
    - {name: PYTHONDONTWRITEBYTECODE, value: "1"}
    {{- if and (eq $source.type "bucket") $source.bucket.fileSecret }}
    - {name: GOOGLE_APPLICATION_CREDENTIALS, value: /credentials/key.json}
    {{- else if and (eq $source.type "oci") $source.oci.pullSecret }}
    - {name: DOCKER_CONFIG, value: /credentials}
    {{- end }}
    {{- with $models.pull.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if and (eq $source.type "bucket") $source.bucket.envSecret }}
  envFrom:
    - secretRef: {name: {{ $source.bucket.envSecret | quote }}}
  {{- end }}
  resources: {{- toYaml $models.pull.resources | nindent 4 }}
  securityContext: {{- include "traffic-signs.containerSecurity" .root | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: scratch, mountPath: /tmp}
    {{- if has $source.type (list "pvc" "image") }}
    - {name: source, mountPath: /source, readOnly: true}
    {{- else if or (and (eq $source.type "bucket") $source.bucket.fileSecret) (and (eq $source.type "oci") $source.oci.pullSecret) }}
    - {name: credentials, mountPath: /credentials, readOnly: true}
    {{- end }}
    {{- if or $models.publicKey $models.publicKeyConfigMap }}
    - {name: keys, mountPath: /keys, readOnly: true}
    {{- end }}
    {{- with $models.pull.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* Volumes of the init containers, and the one for the models. */ -}}
{{- define "traffic-signs.pullVolumes" -}}
{{- $models := .Values.models -}}
{{- $source := $models.source -}}
- name: models
  emptyDir: {sizeLimit: {{ $models.sizeLimit }}}
- name: scratch
  emptyDir: {sizeLimit: 1Gi}
{{- if eq $source.type "pvc" }}
- name: source
  persistentVolumeClaim: {claimName: {{ $source.pvc.claimName | quote }}, readOnly: true}
{{- else if eq $source.type "image" }}
- name: source
  image:
    reference: {{ include "traffic-signs.image" (dict "root" . "images" (list $source.image)) }}
    pullPolicy: {{ .Values.image.pullPolicy }}
{{- else if eq $source.type "oci" }}
{{- with $source.oci.pullSecret }}
- name: credentials
  secret:
    secretName: {{ . | quote }}
    items: [{key: .dockerconfigjson, path: config.json}]
{{- end }}
{{- else if $source.bucket.fileSecret }}
- name: credentials
  secret:
    secretName: {{ $source.bucket.fileSecret | quote }}
    items: [{key: {{ $source.bucket.fileSecretKey | quote }}, path: key.json}]
{{- end }}
{{- if or $models.publicKey $models.publicKeyConfigMap }}
- name: keys
  configMap:
    name: {{ default (printf "%s-public-key" (include "traffic-signs.fullname" .)) $models.publicKeyConfigMap | quote }}
    items: [{key: {{ empty $models.publicKeyConfigMap | ternary "release.pub" $models.publicKeyConfigMapKey | quote }}, path: release.pub}]
{{- end }}
{{- end -}}

{{- /* Returns problems of models.source.oci as JSON. */ -}}
{{- define "traffic-signs.ociProblems" -}}
{{- $problems := list -}}
{{- $oci := .Values.models.source.oci -}}
{{- if not $oci.repository -}}
{{- $problems = append $problems "models.source.oci.repository: name the registry and the repository in it, as registry.example.com/team/models" -}}
{{- else if not (and (contains "/" $oci.repository) (regexMatch "^localhost$|[.:]" (splitList "/" $oci.repository | first))) -}}
{{- $problems = append $problems (printf "models.source.oci.repository: %s names no registry; put its host, with a dot or a port, before the name, as registry.example.com/%s" $oci.repository $oci.repository) -}}
{{- end -}}
{{- $served := list .Values.models.versions -}}
{{- if ne .Values.canary.state "none" }}{{ $served = append $served .Values.canary.versions }}{{ end -}}
{{- range $versions := $served -}}
{{- range $model, $numbers := $versions -}}
{{- $number := include "traffic-signs.numbers" $numbers -}}
{{- if contains "," $number -}}
{{- $problems = append $problems (printf "models.versions.%s: from a registry a model comes in one version; name one of %s, or choose another models.source.type" $model $number) -}}
{{- else if not (dig $model $number "" $oci.digests) -}}
{{- $problems = append $problems (printf "models.source.oci.digests: there is none of %s %s; give it, as `signs repository push` prints it" $model $number) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson (uniq $problems) -}}
{{- end -}}
