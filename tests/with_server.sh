#!/usr/bin/env bash
# Starts a server with a made-up directory, runs a command against it, and stops it.
#
#   with_server.sh COMMAND...     COMMAND is run with the server's host:port and an allowed web origin added
#
# Embedded SQLite in a temporary folder; the build is the tests' own, not a release.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

cargo build --quiet --locked --package server --manifest-path "$root/Cargo.toml"
respite=$root/target/debug/respite
folder=$(mktemp -d "${TMPDIR:-/tmp}/respite-server.XXXXXX")
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT

# Two ports that nobody has at the moment.
read -r port page < <(python3 -c '
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
cat >"$folder/respite.toml" <<SETTINGS
listen = "127.0.0.1:$port"
[database]
url = "sqlite://$folder/respite.db"
[web]
allowed_origins = ["http://127.0.0.1:$page"]
SETTINGS

"$respite" --config "$folder/respite.toml" seed --therapists 200 >/dev/null
"$respite" --config "$folder/respite.toml" serve >"$folder/log" 2>&1 &
server=$!
for _ in $(seq 100); do
    "$respite" health --address "http://127.0.0.1:$port" >/dev/null 2>&1 && break
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
done
"$@" "127.0.0.1:$port" "http://127.0.0.1:$page" || { status=$?; tail -n 40 "$folder/log" >&2; exit "$status"; }

# It ends by itself when asked to, and says so with its status.
kill -TERM "$server"
wait "$server"
server=
