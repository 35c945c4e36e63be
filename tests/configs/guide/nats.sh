#!/usr/bin/env bash
# Stands in for the command of natscli, which no package has everywhere: `pub
# SUBJECT BODY [-H NAME:VALUE]` and `sub SUBJECT`, by the protocol of NATS, and nothing more.
set -euo pipefail
export LC_ALL=C # lengths are of bytes
exec 3<>/dev/tcp/127.0.0.1/4222
read -r _ <&3 # INFO
command=$1 subject=$2
printf 'CONNECT {"verbose":false,"headers":true}\r\n' >&3
case $command in
pub)
	body=$3 headers=$'NATS/1.0\r\n'
	shift 3
	while [[ ${1:-} == -H ]]; do
		headers+="${2%%:*}: ${2#*:}"$'\r\n'
		shift 2
	done
	[[ $# == 0 ]] || { echo "nats pub: not known here: $*" >&2 && exit 2; }
	headers+=$'\r\n'
	printf 'HPUB %s %d %d\r\n%s%s\r\nPING\r\n' "$subject" "${#headers}" \
		"$((${#headers} + ${#body}))" "$headers" "$body" >&3
	;;
sub) printf 'SUB %s 1\r\nPING\r\n' "$subject" >&3 ;;
*) echo "nats $command: not known here" >&2 && exit 2 ;;
esac
while read -r line <&3; do
	line=${line%$'\r'}
	case $line in
	PING) printf 'PONG\r\n' >&3 ;;
	PONG)
		if [[ $command == pub ]]; then
			echo "Published ${#body} bytes to \"$subject\""
			exit
		fi
		echo "Subscribing on $subject"
		;;
	-ERR*) echo "$line" >&2 && exit 1 ;;
	MSG* | HMSG*)
		IFS= read -r -N "$((${line##* } + 2))" message <&3
		echo "$message"
		;;
	esac
done
