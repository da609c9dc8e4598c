#!/bin/bash
# Asks the service in this container for PATH (/livez, /readyz) and succeeds if the answer is 200. bash opens the socket
# itself, so that the image needs no HTTP client.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/${PROMETHEUS_PORT}"
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n' "${1:?usage: probe PATH}" >&3
read -r -t 2 _ status _ <&3
[[ $status == 200 ]]
