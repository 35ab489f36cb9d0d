#!/usr/bin/env bash
# Prints an access token for the holder of a staff key, knowing nothing of Respite but proto/.
#
#   sign_in.sh KEY ADDRESS [AUDIENCE]     KEY is a file as `respite key staff` makes it, ADDRESS the host:port of a
#                                         plain-text server, AUDIENCE what it calls itself (localhost)
#
# The token is good for 15 minutes, as `authorization: Bearer TOKEN`. Needs buf, jq and openssl.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=../tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"

[ $# -ge 2 ] || { sed -n '2,/^set/{/^set/d; s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
audience=${3:-localhost}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

call() {
    buf curl --protocol grpc --http2-prior-knowledge --schema "$root/proto" --data "$2" \
        "http://$address/respite.v1.AliasService/$1"
}

address=$2
# An Ed25519 seed becomes a private key that openssl reads by what RFC 8410 puts before it.
{ printf 302e020100300506032b657004220420; tr -d '[:space:]' <"$1"; } | tr '[:lower:]' '[:upper:]' |
    basenc --base16 -d >"$work/key"
public=$(openssl pkey -inform DER -in "$work/key" -pubout -outform DER | tail -c 32 | base64)

challenge=$(call BeginLogin "{\"publicKey\": \"$public\"}" | jq -r .challenge)
{ printf 'respite/login/v1\0%s\0' "$audience"; base64 -d <<<"$challenge"; } >"$work/challenge"
signature=$(openssl pkeyutl -sign -rawin -keyform DER -inkey "$work/key" -in "$work/challenge" | base64 -w 0)
call FinishLogin "{\"publicKey\": \"$public\", \"challenge\": \"$challenge\", \"signature\": \"$signature\"}" |
    jq -r .accessToken
