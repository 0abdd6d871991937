{{- define "patchset.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "patchset.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "patchset.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "patchset.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* For cluster-scoped objects: releases of the same name in two namespaces must not collide. */ -}}
{{- define "patchset.clusterName" -}}
{{- printf "%s-%s" (include "patchset.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "patchset.selectorLabels" -}}
app.kubernetes.io/name: {{ include "patchset.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "patchset.labels" -}}
{{ include "patchset.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "patchset.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "patchset.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "patchset.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "patchset.claimName" -}}
{{- default (include "patchset.fullname" .) .Values.storage.persistence.existingClaim -}}
{{- end -}}

{{- /* The leader's Lease: controllers with different selectors work side by side. */ -}}
{{- define "patchset.lease" -}}
{{- if contains "--watch-label-selector" (join " " .Values.controller.extraArgs) -}}
{{- fail "controller.extraArgs: write controller.watchLabelSelector in place of --watch-label-selector: the Lease of a shard is named by it" -}}
{{- end -}}
patchset-controller{{ with .Values.controller.watchLabelSelector }}-{{ . | sha256sum | trunc 10 }}{{ end }}
{{- end -}}

{{- /* What the controller may do in the namespaces that it watches. */ -}}
{{- define "patchset.rules" -}}
- apiGroups: [patching.c5c3.io]
  resources: [patchrepositories]
  verbs: [get, list, watch]
- apiGroups: [patching.c5c3.io]
  resources: [patchsets, constraintoverrides]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [patching.c5c3.io]
  resources: [patchsets/status, constraintoverrides/status, patchrepositories/status]
  verbs: [patch]
- apiGroups: [patching.c5c3.io]
  resources: [patchsets/finalizers, constraintoverrides/finalizers, patchrepositories/finalizers]
  verbs: [update]
- apiGroups: [source.toolkit.fluxcd.io]
  resources: [gitrepositories, ocirepositories, buckets, externalartifacts]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if .Values.controller.registryIdentities }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
- apiGroups: [""]
  resources: [serviceaccounts/token]
  verbs: [create]
{{- end }}
{{- if or .Values.rbac.impersonate .Values.controller.defaultServiceAccount }}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [impersonate]
{{- end }}
{{- end -}}
