#!/usr/bin/env bash
# What can be checked of deploy/ without a container engine: deploy/README.md says what cannot.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools.sh
. tests/tools.sh

hadolint deploy/Containerfile
shellcheck deploy/make-secrets
docker-compose --file deploy/compose.yaml config --quiet
if command -v systemd-analyze >/dev/null; then
    systemd-analyze security --offline=true --threshold=20 deploy/respite.service >/dev/null
fi
cargo build --quiet --locked --package server
target/debug/respite --config deploy/respite.toml check-config
