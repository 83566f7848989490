{{- define "kpromo.name" -}}
{{- if contains "kpromo" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-kpromo" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "kpromo.selector" -}}
app.kubernetes.io/name: kpromo
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kpromo.labels" -}}
{{ include "kpromo.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "kpromo.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "kpromo.name" .) }}
{{- end }}

{{- define "kpromo.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* Values that cannot be used together, or that require each other. */}}
{{- define "kpromo.check" -}}
{{- $git := .Values.manifests.git.repository }}
{{- if and $git .Values.manifests.configMap }}{{ fail "manifests.git.repository and manifests.configMap cannot be used together" }}{{ end }}
{{- if not (or $git .Values.manifests.configMap) }}{{ fail "manifests.git.repository or manifests.configMap is required" }}{{ end }}
{{- if and .Values.dockerConfigSecret .Values.credentialHelpers }}{{ fail "dockerConfigSecret and credentialHelpers cannot be used together: configure the helpers in the secret" }}{{ end }}
{{- if and .Values.shards.regions (ne (len .Values.shards.regions) (int .Values.shards.count)) }}{{ fail "shards.regions must have shards.count entries" }}{{ end }}
{{- end }}

{{- /* The specification of a Job. Takes the chart's context as `root` and, for a shard with a region, `index` and `region`. */}}
{{- define "kpromo.job" -}}
{{- $values := .root.Values }}
{{- $shards := int $values.shards.count }}
{{- $indexed := and (gt $shards 1) (not .region) }}
activeDeadlineSeconds: {{ $values.activeDeadlineSeconds }}
ttlSecondsAfterFinished: 604800
{{- if $indexed }}
completionMode: Indexed
completions: {{ $shards }}
parallelism: {{ $shards }}
# The failure of one shard does not stop the others. kpromo itself retries temporary failures.
backoffLimitPerIndex: 0
maxFailedIndexes: {{ $shards }}
{{- else }}
# kpromo itself retries temporary failures.
backoffLimit: 0
{{- end }}
template:
  metadata:
    labels:
      {{- include "kpromo.selector" .root | nindent 6 }}
      {{- if eq $values.cloud "aks" }}
      azure.workload.identity/use: "true"
      {{- end }}
      {{- with $values.podLabels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $values.podAnnotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "kpromo.serviceAccount" .root }}
    # kpromo does not use the Kubernetes API.
    automountServiceAccountToken: false
    enableServiceLinks: false
    # After SIGTERM, kpromo finishes work in progress.
    terminationGracePeriodSeconds: 60
    {{- with $values.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      runAsNonRoot: true
      runAsUser: 65532
      runAsGroup: 65532
      fsGroup: 65532
      seccompProfile:
        type: RuntimeDefault
    {{- if or $values.nodeSelector (eq $values.cloud "gke") }}
    nodeSelector:
      {{- if eq $values.cloud "gke" }}
      iam.gke.io/gke-metadata-server-enabled: "true"
      {{- end }}
      {{- with $values.nodeSelector }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- end }}
    {{- with $values.tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if .region }}
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms:
          - matchExpressions:
            - key: topology.kubernetes.io/region
              operator: In
              values: [{{ .region | quote }}]
    {{- else if $indexed }}
    # Prefer one shard per node, so that each has its own bandwidth.
    topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "kpromo.selector" .root | nindent 10 }}
    {{- end }}
    {{- with $values.manifests.git }}
    {{- if .repository }}
    initContainers:
    - name: manifests
      image: {{ .image }}
      args: [--one-time, --depth=1, --root=/manifests, --link=current]
      env:
      - name: GITSYNC_REPO
        value: {{ .repository | quote }}
      - name: GITSYNC_REF
        value: {{ .ref | quote }}
      {{- if .secretName }}
      - name: GITSYNC_USERNAME
        valueFrom:
          secretKeyRef: {name: {{ .secretName }}, key: username, optional: true}
      - name: GITSYNC_PASSWORD
        valueFrom:
          secretKeyRef: {name: {{ .secretName }}, key: password, optional: true}
      {{- if hasPrefix "ssh://" .repository }}
      - name: GITSYNC_SSH_KEY_FILE
        value: /etc/git-secret/ssh
      - name: GITSYNC_SSH_KNOWN_HOSTS_FILE
        value: /etc/git-secret/known_hosts
      {{- end }}
      {{- end }}
      volumeMounts:
      - {name: manifests, mountPath: /manifests}
      - {name: tmp, mountPath: /tmp}
      {{- if .secretName }}
      - {name: git-secret, mountPath: /etc/git-secret, readOnly: true}
      {{- end }}
      resources:
        requests: {cpu: 100m, memory: 128Mi}
        limits: {memory: 512Mi}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
    {{- end }}
    {{- end }}
    containers:
    - name: kpromo
      image: {{ include "kpromo.image" .root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
      - cip
      {{- if $values.manifests.git.repository }}
      - --thin-manifest-dir=/manifests/current{{ with $values.manifests.git.path }}/{{ trimAll "/" . }}{{ end }}
      {{- else }}
      - --manifest=/manifests/manifest.yaml
      {{- end }}
      - --config=/etc/kpromo/kpromo.yaml
      - --confirm={{ $values.confirm }}
      - --log-format=json
      {{- if .region }}
      - --shard={{ .index }}/{{ $shards }}
      {{- end }}
      {{- if $values.signingKeySecret }}
      - --signing-key=/etc/kpromo-key/cosign.key
      {{- end }}
      {{- range $values.args }}
      - {{ . | quote }}
      {{- end }}
      env:
      {{- if $indexed }}
      # The Job sets JOB_COMPLETION_INDEX, the index of this shard.
      - name: KPROMO_SHARDS
        value: {{ $shards | quote }}
      {{- end }}
      {{- if eq $values.cloud "gke" }}
      # kpromo waits for the metadata server, which starts later than the pod.
      - name: GCE_METADATA_HOST
        value: metadata.google.internal
      {{- end }}
      {{- if eq $values.cloud "eks" }}
      # ECR's credential helper must not write its cache.
      - name: AWS_ECR_DISABLE_CACHE
        value: "true"
      {{- end }}
      {{- if or $values.dockerConfigSecret $values.credentialHelpers }}
      - name: DOCKER_CONFIG
        value: /etc/docker
      {{- end }}
      {{- if $values.signingKeySecret }}
      - name: COSIGN_PASSWORD
        valueFrom:
          secretKeyRef: {name: {{ $values.signingKeySecret }}, key: password, optional: true}
      {{- end }}
      {{- with $values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      volumeMounts:
      - {name: manifests, mountPath: /manifests, readOnly: true}
      - {name: config, mountPath: /etc/kpromo, readOnly: true}
      - {name: tmp, mountPath: /tmp}
      {{- if $values.sigstoreToken }}
      - {name: identity, mountPath: /var/run/sigstore/cosign, readOnly: true}
      {{- end }}
      {{- if $values.signingKeySecret }}
      - {name: key, mountPath: /etc/kpromo-key, readOnly: true}
      {{- end }}
      {{- if or $values.dockerConfigSecret $values.credentialHelpers }}
      - {name: docker, mountPath: /etc/docker, readOnly: true}
      {{- end }}
      {{- with $values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
    volumes:
    - name: manifests
      {{- if $values.manifests.git.repository }}
      emptyDir: {sizeLimit: 1Gi}
      {{- else }}
      configMap: {name: {{ $values.manifests.configMap }}}
      {{- end }}
    - name: config
      configMap: {name: {{ include "kpromo.name" .root }}}
    - name: tmp
      emptyDir: {sizeLimit: {{ $values.tmpSize }}}
    {{- if $values.sigstoreToken }}
    - name: identity
      projected:
        sources:
        - serviceAccountToken: {audience: sigstore, expirationSeconds: 3600, path: oidc-token}
    {{- end }}
    {{- with $values.manifests.git.secretName }}
    - name: git-secret
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- with $values.signingKeySecret }}
    - name: key
      secret:
        secretName: {{ . }}
        defaultMode: 0440
        items:
        - {key: cosign.key, path: cosign.key}
    {{- end }}
    {{- if $values.dockerConfigSecret }}
    - name: docker
      secret:
        secretName: {{ $values.dockerConfigSecret }}
        defaultMode: 0440
        items:
        - {key: .dockerconfigjson, path: config.json}
    {{- else if $values.credentialHelpers }}
    - name: docker
      configMap:
        name: {{ include "kpromo.name" .root }}
        items:
        - {key: docker.json, path: config.json}
    {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* A CronJob, or a Job if there is no schedule. Takes the parameters of `kpromo.job`, and `name`. */}}
{{- define "kpromo.workload" -}}
apiVersion: batch/v1
{{- if .root.Values.schedule }}
kind: CronJob
metadata:
  name: {{ .name }}
  labels:
    {{- include "kpromo.labels" .root | nindent 4 }}
spec:
  schedule: {{ .root.Values.schedule | quote }}
  timeZone: {{ .root.Values.timeZone | quote }}
  suspend: {{ .root.Values.suspend }}
  # Runs do not overlap. The next run completes what this one leaves undone.
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 5
  jobTemplate:
    metadata:
      labels:
        {{- include "kpromo.labels" .root | nindent 8 }}
    spec:
      {{- include "kpromo.job" . | nindent 6 }}
{{- else }}
kind: Job
metadata:
  # A Job is immutable, so each revision creates a new one.
  name: {{ .name }}-{{ .root.Release.Revision }}
  labels:
    {{- include "kpromo.labels" .root | nindent 4 }}
spec:
  suspend: {{ .root.Values.suspend }}
  {{- include "kpromo.job" . | nindent 2 }}
{{- end }}
{{- end }}
