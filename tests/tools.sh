# shellcheck shell=bash
# What the tests need besides Rust and a C compiler. Sourced; `install_tools` puts it in place, `$root` and `$tools`
# say where things are, and PATH finds the programs.
#
# Debian's packages come by apt-get when root asks; without root, or elsewhere, the missing ones are named.
# Everything else stays under target/tools, Node.js included, at the versions of clients/python/requirements.txt and
# clients/web/package-lock.json, and is installed again only when those change.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/target/tools
export PATH="$tools/venv/bin:$tools/web/node_modules/.bin:$PATH"

install_tools() {
    debian_packages && python_packages && web_packages
}

debian_packages() {
    local missing=()
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [ -n "$(postgres_programs)" ] || missing+=(postgresql)
    local command
    for command in chromium jq openssl; do
        command -v "$command" >/dev/null || missing+=("$command")
    done
    command -v h2load >/dev/null || missing+=(nghttp2-client)
    if [ ${#missing[@]} -gt 0 ]; then
        echo "tests need Debian's packages ${missing[*]}" >&2
        if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
            echo "install them as root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        apt-get update -q >&2 &&
            DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >&2 ||
            return 1
    fi
}

# The folder of PostgreSQL's server programs, the newest if there are several; empty if there is none.
postgres_programs() {
    local initdb
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$initdb" ] && dirname "$initdb"
    done | sort -t/ -k5n | tail -n 1
}

python_packages() {
    local wanted=$root/tests/clients/python/requirements.txt
    stamped "$tools/venv" "$wanted" && return
    echo "installing the Python packages of tests/clients/python/requirements.txt" >&2
    python3 -m venv "$tools/venv" &&
        "$tools/venv/bin/pip" install -q --disable-pip-version-check -r "$wanted" >&2 &&
        stamp "$tools/venv" "$wanted" && return
    echo "they did not install: the first run needs a Python package index" >&2
    return 1
}

web_packages() {
    local wanted=$root/tests/clients/web/package-lock.json
    stamped "$tools/web" "$wanted" && return
    echo "installing the npm packages of tests/clients/web/package-lock.json" >&2
    mkdir -p "$tools/web" &&
        cp "$root"/tests/clients/web/{package.json,package-lock.json,.npmrc} "$tools/web" &&
        (cd "$tools/web" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2) &&
        stamp "$tools/web" "$wanted" && return
    echo "they did not install: the first run needs an npm registry" >&2
    return 1
}

stamp() {
    sha256sum <"$2" >"$1/stamp"
}

stamped() {
    [ -f "$1/stamp" ] && [ "$(sha256sum <"$2")" = "$(cat "$1/stamp")" ]
}
