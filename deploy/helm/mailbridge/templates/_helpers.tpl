{{- define "mailbridge.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mailbridge.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mailbridge.labels" -}}
{{ include "mailbridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "mailbridge.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "mailbridge.name" .) }}
{{- else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "mailbridge.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* The longest `drain` in whole seconds, 25 where none is given, and 15 more. */}}
{{- define "mailbridge.grace" -}}
{{- if .Values.terminationGracePeriodSeconds }}{{ .Values.terminationGracePeriodSeconds }}
{{- else }}
{{- $longest := 0 }}
{{- range $name, $pipeline := .Values.config.pipelines }}
{{- range $pipeline }}
{{- $drain := .drain | default "25s" }}
{{- if not (regexMatch "^[0-9]+(s|m)$" $drain) }}
{{- fail (printf "pipeline %s: set terminationGracePeriodSeconds to more than its drain of %s" $name $drain) }}
{{- end }}
{{- $seconds := mul (regexFind "^[0-9]+" $drain | int) (hasSuffix "m" $drain | ternary 60 1) }}
{{- $longest = max $longest $seconds }}
{{- end }}
{{- end }}
{{- add $longest 15 }}
{{- end }}
{{- end }}
