#!/usr/bin/env bash
# README.md is true: what it says to run is run from it, and the demo does what it promises.
#
# Blocks that begin with ```sh run are run in their order, in one temporary folder in which the repository's folders
# are found as at its top. `respite` means the tests' own build there: a release takes minutes more and does the same.
# Blocks that begin with ```sh alone run for ever, or run this script.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"

install_tools
cargo build --quiet --locked --package server --package issuer --manifest-path "$root/Cargo.toml"

folder=$(mktemp -d "${TMPDIR:-/tmp}/respite-readme.XXXXXX")
demo=
finish() {
    if [ -n "$demo" ]; then
        kill "$demo" 2>/dev/null || true
        wait "$demo" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
mkdir "$folder/bin" "$folder/top"
ln -s "${CARGO_TARGET_DIR:-$root/target}/debug/respite" "$folder/bin/respite"
ln -s "$root"/{proto,tests,deploy,target} "$folder/top"
export PATH="$folder/bin:$PATH"
cd "$folder/top"

fail() {
    echo "README.md: does not hold: $*" >&2
    exit 1
}

# run WHAT FILE: the commands in the file succeed.
run() {
    bash -euo pipefail "$2" >"$folder/out" 2>&1 || { cat "$2" "$folder/out" >&2; fail "$1"; }
}

# helps [SUBCOMMAND ...]: it and everything below it explains itself.
helps() {
    local text subcommand
    text=$(respite "$@" --help) || fail "respite $* --help ends with $?"
    grep -q '^Usage: respite' <<<"$text" || fail "respite $* --help does not say how to use it"
    awk '/^Commands:/ { on = 1; next } /^$/ { on = 0 } on && /^  [a-z]/ { print $1 }' <<<"$text" |
        while read -r subcommand; do
            [ "$subcommand" = help ] || helps "$@" "$subcommand"
        done
}

helps
[ "$(wc -l <"$root/README.md")" -lt 200 ] || fail "it has 200 lines or more"
grep -o '](\([^)#]*\))' "$root/README.md" | tr -d '()]' | while read -r link; do
    [ -e "$root/$link" ] || fail "there is no $link"
done

# In a pipe: quiet on standard error, without colours, and over after the story.
respite demo --exit >"$folder/story" 2>"$folder/told" || { cat "$folder/story" >&2; fail "demo --exit ends with $?"; }
[ ! -s "$folder/told" ] || { cat "$folder/told" >&2; fail "the demo is not quiet in a pipe"; }
grep -q $'\e' "$folder/story" && fail "the demo has colours in a pipe"
grep -q '✗' "$folder/story" && fail "the demo ends with 0 although something did not hold"
[ "$(grep -cE '^[0-9]+\. ' "$folder/story")" = 14 ] || fail "the story does not have fourteen steps"
grep -qE '^All [0-9]+ checks of the story held' "$folder/story" || fail "the story does not say that it held"

# What it shows of the demo, dates aside, is what the demo prints.
awk '/^```text$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/README.md" | grep -E '✓|zzz|^[0-9]|What' |
    sed -E 's/^ +(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [0-9]+ +//' | while IFS= read -r line; do
    grep -qF -- "$line" "$folder/story" || fail "the demo does not print: $line"
done

respite demo >"$folder/demo" 2>&1 &
demo=$!
until grep -q 'Ctrl-C' "$folder/demo"; do
    kill -0 "$demo" 2>/dev/null || { cat "$folder/demo" >&2; fail "the demo does not go on serving"; }
    sleep 0.2
done
address=$(awk '$1 == "gRPC" { sub("http://", "", $2); print $2 }' "$folder/demo")

awk -v to="$folder/block" '
    /^```sh run$/ { file = sprintf("%s%02d", to, ++count); next }
    /^```$/ { file = "" }
    file { print > file }' "$root/README.md"
blocks=0
for block in "$folder"/block*; do
    sed -i "s/127\.0\.0\.1:50051/$address/" "$block"
    run "${block##*/}" "$block"
    blocks=$((blocks + 1))
done
[ "$blocks" -ge 4 ] || fail "only $blocks blocks are marked for running"
grep -q '  verified' <(respite therapist list) || fail "nobody is verified after its commands"

sed -nE 's/^ +((buf|token=|target).*)/\1/p' "$folder/demo" >"$folder/paste"
[ "$(wc -l <"$folder/paste")" -ge 5 ] || fail "the demo shows too few commands to paste"
run "what the demo says can be pasted" "$folder/paste"

place=$(dirname "$(awk '$1 == "database" { print $2 }' "$folder/demo")")
[ -d "$place" ] || fail "the demo's folder is not where it says"
kill -INT "$demo"
wait "$demo" || fail "the demo ends with $? after Ctrl-C"
demo=
[ ! -e "$place" ] || fail "the demo leaves its folder behind"
echo "README.md holds: $blocks blocks, $(wc -l <"$folder/paste") commands of the demo"
