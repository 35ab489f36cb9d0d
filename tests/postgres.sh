# shellcheck shell=bash
# A private PostgreSQL cluster: its own folder, its own socket, no network. Sourced.
#
#   postgres_start [setting=value ...]   without settings it does not wait for the disk
#   postgres_url [database]
#   postgres_stop                        also at exit

postgres_folder=

postgres_start() {
    local programs setting options=()
    programs=$(postgres_programs)
    if [ -z "$programs" ]; then
        echo "PostgreSQL's server programs are missing: tests/run tools" >&2
        return 1
    fi
    [ $# -gt 0 ] || set -- fsync=off synchronous_commit=off full_page_writes=off
    # The log goes to files that a test finds by asking where they are.
    for setting in "$@" listen_addresses= max_connections=300 logging_collector=on; do
        options+=(-c "$setting")
    done
    postgres_folder=$(mktemp -d "${TMPDIR:-/tmp}/respite-postgres.XXXXXX")
    trap postgres_stop EXIT
    if [ "$(id -u)" = 0 ]; then
        # PostgreSQL does not run as root.
        chown 65534:65534 "$postgres_folder"
    fi
    postgres_as "$programs/initdb" --no-sync --auth=trust --username=respite --encoding=UTF8 --locale=C \
        -D "$postgres_folder/data" >"$postgres_folder/log" 2>&1 ||
        { cat "$postgres_folder/log" >&2; return 1; }
    postgres_as "$programs/pg_ctl" start --wait --silent -D "$postgres_folder/data" -l "$postgres_folder/server.log" \
        -o "-k $postgres_folder ${options[*]}" ||
        { cat "$postgres_folder/server.log" "$postgres_folder"/data/log/* >&2; return 1; }
}

postgres_stop() {
    [ -n "$postgres_folder" ] || return 0
    postgres_as "$(postgres_programs)/pg_ctl" stop --mode=immediate --silent -D "$postgres_folder/data" || true
    rm -rf "$postgres_folder"
    postgres_folder=
}

postgres_url() {
    echo "postgres://respite@localhost/${1:-postgres}?host=$postgres_folder"
}

postgres_as() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && setpriv --reuid=65534 --regid=65534 --clear-groups "$@")
    else
        "$@"
    fi
}
