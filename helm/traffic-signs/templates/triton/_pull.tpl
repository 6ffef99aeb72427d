{{- /* The init container that brings the pinned versions. Takes what traffic-signs.tritonPod takes. */ -}}
{{- define "traffic-signs.pullContainer" -}}
{{- $models := .root.Values.models -}}
{{- $source := $models.source -}}
{{- $from := index (dict "pvc" (printf "/source/%s" $source.pvc.path) "bucket" $source.bucket.url "image" (printf "/source/%s" $source.image.path)) $source.type -}}
- name: pull-models
  image: {{ include "traffic-signs.image" (dict "root" .root "images" (list $models.pull.image .root.Values.triton.image)) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [signs]
  args:
    - repository
    - pull
    - {{ $from | trimSuffix "/" | quote }}
    - /models
    {{- range $model, $numbers := .versions }}
    - --version={{ $model }}={{ include "traffic-signs.numbers" $numbers }}
    {{- end }}
    - --configuration={{ include "traffic-signs.configuration" .root }}
    {{- if or $models.publicKey $models.publicKeyConfigMap }}
    - --public-key=/keys/release.pub
    {{- end }}
  env:
    - {name: HOME, value: /tmp}
    - {name: PYTHONDONTWRITEBYTECODE, value: "1"}
    {{- if and (eq $source.type "bucket") $source.bucket.fileSecret }}
    - {name: GOOGLE_APPLICATION_CREDENTIALS, value: /credentials/key.json}
    {{- end }}
    {{- with $models.pull.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if and (eq $source.type "bucket") $source.bucket.envSecret }}
  envFrom:
    - secretRef: {name: {{ $source.bucket.envSecret }}}
  {{- end }}
  resources: {{- toYaml $models.pull.resources | nindent 4 }}
  securityContext: {{- include "traffic-signs.containerSecurity" .root | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: /models}
    - {name: scratch, mountPath: /tmp}
    {{- if ne $source.type "bucket" }}
    - {name: source, mountPath: /source, readOnly: true}
    {{- else if $source.bucket.fileSecret }}
    - {name: credentials, mountPath: /credentials, readOnly: true}
    {{- end }}
    {{- if or $models.publicKey $models.publicKeyConfigMap }}
    - {name: keys, mountPath: /keys, readOnly: true}
    {{- end }}
    {{- with $models.pull.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{- /* The volumes that it needs, and the one that it fills. */ -}}
{{- define "traffic-signs.pullVolumes" -}}
{{- $models := .Values.models -}}
{{- $source := $models.source -}}
- name: models
  emptyDir: {sizeLimit: {{ $models.sizeLimit }}}
- name: scratch
  emptyDir: {sizeLimit: 1Gi}
{{- if eq $source.type "pvc" }}
- name: source
  persistentVolumeClaim: {claimName: {{ $source.pvc.claimName }}, readOnly: true}
{{- else if eq $source.type "image" }}
- name: source
  image:
    reference: {{ include "traffic-signs.image" (dict "root" . "images" (list $source.image)) }}
    pullPolicy: {{ .Values.image.pullPolicy }}
{{- else if $source.bucket.fileSecret }}
- name: credentials
  secret:
    secretName: {{ $source.bucket.fileSecret }}
    items: [{key: {{ $source.bucket.fileSecretKey }}, path: key.json}]
{{- end }}
{{- if or $models.publicKey $models.publicKeyConfigMap }}
- name: keys
  configMap:
    name: {{ default (printf "%s-public-key" (include "traffic-signs.fullname" .)) $models.publicKeyConfigMap }}
    items: [{key: {{ empty $models.publicKeyConfigMap | ternary "release.pub" $models.publicKeyConfigMapKey }}, path: release.pub}]
{{- end }}
{{- end -}}
