#!/usr/bin/env bash
# What can be checked of deploy/ without a container engine: deploy/README.md says what cannot.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools.sh
. tests/tools.sh

hadolint deploy/Containerfile deploy/issuer.Containerfile
shellcheck deploy/make-secrets
docker-compose --file deploy/compose.yaml config --quiet
docker-compose --file deploy/issuer.compose.yaml config --quiet
if command -v systemd-analyze >/dev/null; then
    for unit in deploy/respite.service deploy/respite-issuer.service; do
        systemd-analyze security --offline=true --threshold=20 "$unit" >/dev/null
    done
fi
cargo build --quiet --locked --package server
target/debug/respite --config deploy/respite.toml check-config

# The issuer has no file of settings: every option that its unit and its container give it must be one it knows.
cargo build --quiet --locked --package issuer
known=$(target/debug/respite-issuer serve --help)
grep -hv '^#' deploy/respite-issuer.service deploy/issuer.compose.yaml | grep -oE -- '--[a-z-]+' | sort -u |
    while read -r option; do
        grep -q -e "$option " <<<"$known" || { echo "respite-issuer serve knows no $option" >&2; exit 1; }
    done
