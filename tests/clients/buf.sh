#!/usr/bin/env bash
# The main job as a person does it with buf, jq and openssl, knowing nothing of Respite but proto/.
#
#   buf.sh ADDRESS     for a plain-text server at host:port whose directory holds a verified therapist for burnout
#                      who speaks German
#
# Exits with 1 and a sentence if anything does not hold.

# shellcheck disable=SC2016 # What looks like the shell's variables in single quotes are jq's.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=../tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools.sh"

[ $# = 1 ] || { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 2; }
address=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
headers=()

# The same as `--schema proto` at every call, read once.
buf build "$root/proto" -o "$work/contract.binpb"
buf build "$root/tests/clients/details" -o "$work/details.binpb"

fail() {
    echo "buf: does not hold: $*" >&2
    exit 1
}

# call SERVICE METHOD REQUEST: prints the answer, or the error and fails.
call() {
    buf curl --protocol grpc --http2-prior-knowledge --schema "$work/contract.binpb" --schema "$work/details.binpb" \
        --emit-defaults "${headers[@]}" --data "$3" "http://$address/respite.v1.$1Service/$2" 2>"$work/error" ||
        { cat "$work/error" >&2; return 1; }
}

# detail TYPE: a detail of the last error as JSON; null if it has none of that type.
detail() {
    local value
    value=$(jq -r --arg type "$1" '.details[]? | select(.type == $type).value | . + "==="[:(4 - length % 4) % 4]' \
        "$work/error")
    [ -n "$value" ] || { echo null; return; }
    base64 -d <<<"$value" | buf convert "$work/details.binpb" --type "$1" --from -#format=binpb --to -#format=json
}

# refused CODE REASON FIELD SERVICE METHOD REQUEST: the call is refused in exactly this way; FIELD begins the path of
# the field that is wrong, or is empty.
refused() {
    if call "$4" "$5" "$6" >/dev/null 2>&1; then
        fail "$5 was not refused with $2"
    fi
    local code info bad
    code=$(jq -r .code "$work/error")
    info=$(detail google.rpc.ErrorInfo | jq -r '"\(.domain) \(.reason)"')
    [ "$code $info" = "$1 respite $2" ] || fail "$5 is refused with $code $info instead of $1 $2: $(cat "$work/error")"
    [ -z "$3" ] || {
        bad=$(detail google.rpc.BadRequest)
        holds "$5 is refused for $3" "$bad" 'any(.fieldViolations[].field; startswith($field))' --arg field "$3"
    }
}

# holds WHAT JSON FILTER [ARGUMENT ...]: the jq filter is true of the JSON.
holds() {
    local what=$1 json=$2 filter=$3
    shift 3
    jq -en "$@" "input | $filter" >/dev/null 2>&1 <<<"$json" || fail "$what: $(jq -c . <<<"$json" | head -c 400)"
}

uuid() { cat /proc/sys/kernel/random/uuid; }
utc() { date -u -d "@$1" +"${2:-%Y-%m-%dT%H:%M:%SZ}"; }
base64_of() { base64 -w 0 "$@"; }

# signed_over FILE: the signature of the alias over it.
signed_over() { openssl pkeyutl -sign -rawin -inkey "$work/key.pem" -in "$1" | base64_of; }

# proof_of_work BITS: what makes SHA-256(challenge || it) begin with so many zero bits.
proof_of_work() {
    python3 - "$work/challenge" "$1" <<'EOF'
import hashlib, itertools, sys
challenge, bits = open(sys.argv[1], "rb").read(), int(sys.argv[2])
works = (number.to_bytes(8, "big") for number in itertools.count())
fits = (work for work in works if int.from_bytes(hashlib.sha256(challenge + work).digest(), "big") >> (256 - bits) == 0)
sys.stdout.buffer.write(next(fits))
EOF
}

# Answers the challenge for an alias.
create_alias_request() {
    local begun
    begun=$(call Alias BeginCreateAlias "{\"publicKey\": \"$public_key\"}")
    jq -r .challenge <<<"$begun" | base64 -d >"$work/challenge"
    proof_of_work "$(jq .proofOfWorkBits <<<"$begun")" >"$work/proof"
    { printf 'respite/create-alias/v1\0'; cat "$work/challenge" "$work/proof"; } >"$work/message"
    jq -n --arg key "$public_key" --arg challenge "$(base64_of "$work/challenge")" \
        --arg work "$(base64_of "$work/proof")" --arg signature "$(signed_over "$work/message")" \
        '{publicKey: $key, challenge: $challenge, proofOfWork: $work, signature: $signature}'
}

# Answers the challenge for a token.
finish_login_request() {
    local begun
    begun=$(call Alias BeginLogin "{\"publicKey\": \"$public_key\"}")
    jq -r .challenge <<<"$begun" | base64 -d >"$work/challenge"
    { printf 'respite/login/v1\0%s\0' "$(jq -r .audience <<<"$begun")"; cat "$work/challenge"; } >"$work/message"
    jq -n --arg key "$public_key" --arg challenge "$(base64_of "$work/challenge")" \
        --arg signature "$(signed_over "$work/message")" \
        '{publicKey: $key, challenge: $challenge, signature: $signature}'
}

# first_free METHOD REQUESTS: calls a booking method with one request of the list after the other until one is not
# taken by somebody else; leaves the request in $request and the booking in $booking.
first_free() {
    while read -r request; do
        if booking=$(call Booking "$1" "$request" 2>/dev/null); then
            booking=$(jq .booking <<<"$booking")
            return
        fi
        grep -q SLOT_TAKEN "$work/error" || fail "a slot on offer is refused: $(cat "$work/error")"
    done < <(jq -c '.[]' <<<"$2")
    fail "every slot on offer is taken"
}

# Whom to call at once, with no token and before anything else.
holds "Germany has a crisis line" "$(call Directory ListCrisisResources '{"countryCode": "DE"}')" \
    '.crisisResources[0].countryCode == "DE"'

# An alias; made twice with the same key, it is the same one. A key is a key: here it comes from openssl and not from a
# phrase, and the server cannot tell.
openssl genpkey -algorithm ed25519 -out "$work/key.pem"
public_key=$(openssl pkey -in "$work/key.pem" -pubout -outform DER | tail -c 32 | base64_of)
creation=$(create_alias_request)
alias=$(call Alias CreateAlias "$creation")
[ "$alias" = "$(call Alias CreateAlias "$creation")" ] || fail "one key, one alias"
forged=$(jq --arg zeros "$(head -c 64 /dev/zero | base64_of)" '.signature = $zeros' <<<"$creation")
refused unauthenticated SIGNATURE_INVALID "" Alias CreateAlias "$forged"
refused unauthenticated TOKEN_INVALID "" Booking ListBookings '{}'
signed=$(call Alias FinishLogin "$(finish_login_request)")
holds "an alias signed in" "$signed" '.caller == "CALLER_KIND_ALIAS"'
headers=(--header "authorization: Bearer $(jq -r .accessToken <<<"$signed")")

# A roster with nights: two, then two days off, over two weeks; 22:00 to 06:00 of a German winter.
now=$(date +%s)
midnight=$((now - now % 86400))
shifts=()
{
    printf '%s\r\n' BEGIN:VCALENDAR VERSION:2.0 "PRODID:-//example//roster//EN"
    for day in 0 1 4 5 8 9 12 13; do
        start=$((midnight + day * 86400 + 21 * 3600))
        end=$((start + 8 * 3600))
        shifts+=("[$start, $end]")
        printf '%s\r\n' BEGIN:VEVENT "UID:night-$day@example.org" "DTSTAMP:$(utc $start %Y%m%dT%H%M%SZ)" \
            "DTSTART:$(utc $start %Y%m%dT%H%M%SZ)" "DTEND:$(utc $end %Y%m%dT%H%M%SZ)" 'SUMMARY:Night\, ward 7' END:VEVENT
    done
    printf '%s\r\n' END:VCALENDAR
} >"$work/roster.ics"
nights=$(IFS=,; echo "[${shifts[*]}]")
last_day=$(utc $((now + 14 * 86400)) '{"year": %-Y, "month": %-m, "day": %-d}')
importing=$(jq -n --arg id "$(uuid)" --arg file "$(base64_of "$work/roster.ics")" --argjson last "$last_day" \
    '{requestId: $id, icalendar: $file, timeZone: "Europe/Berlin", publishDate: $last}')
holds "eight shifts are nights" "$(call Roster ImportRoster "$importing")" '.shiftCount == 8 and .nightCount == 8'

# Slots for burnout, in German, that leave the nights and the sleep after them alone.
search=$(jq -n --arg from "$(utc "$now")" --arg until "$(utc $((now + 10 * 86400)))" '{
    filter: {specializations: ["burnout"], languages: ["de"]},
    window: {startTime: $from, endTime: $until}, pageSize: 100, languageCode: "de"
}')
found=$(call Slot SearchSlots "$search")
# A commute of 30 minutes, an hour of rest before, 8 hours of sleep after a night: what an alias has unless it says
# otherwise (S2).
in_the_way='def in_the_way($shifts): (.slot.session | (.startTime | fromdate) as $start | (.endTime | fromdate) as $until
    | any($shifts[]; $start < .[1] + 30600 and $until > .[0] - 3600));'
holds "no slot lies in a night, on the way or in the sleep" "$found" \
    "$in_the_way"'.hits | length > 0 and all(.[]; in_the_way($shifts) | not)' --argjson shifts "$nights"
holds "every hit says why" "$found" 'all(.hits[]; .reasons | length > 0)'
holds "the earliest slot is first" "$found" '.hits | map(.slot.session.startTime) | . == sort'
# Asked of the mornings themselves: late at night the first page of the ten days ends before anybody sleeps.
asleep=0 awake=0
for night in 0 1 2 3; do
    morning=$(jq --argjson woken "$(jq ".[$night][1]" <<<"$nights")" \
        '.window = {startTime: ($woken | todate), endTime: ($woken + 30600 | todate)}' <<<"$search")
    found_asleep=$(call Slot SearchSlots "$morning")
    holds "nothing is offered to somebody who sleeps after a night" "$found_asleep" '.hits == []'
    asleep=$((asleep + $(jq '[.removals[] | select(.constraint == "CONSTRAINT_SLEEP") | .count] | add // 0' <<<"$found_asleep")))
    morning=$(jq '.rosterUse.ignoreShifts = true' <<<"$morning")
    awake=$((awake + $(call Slot SearchSlots "$morning" | jq '.hits | length')))
done
[ "$asleep" -gt 0 ] || fail "sleep after a night took slots away"
[ "$awake" -gt 0 ] || fail "without the roster, there are slots on such a morning"

# Hold and confirm; a repeated request gives the same answer, another one under its id is refused.
holding=$(jq --arg id "$(uuid)" '.hits | map(.modalities[0] as $modality | .slot
    | {requestId: $id, therapistId, sessionTypeId, startTime: .session.startTime, modality: $modality})' <<<"$found")
first_free HoldSlot "$holding"
held=$booking
holds "the slot is held" "$held" '.state == "BOOKING_STATE_PENDING" and .holdExpireTime != null'
[ "$(call Booking HoldSlot "$request" | jq .booking)" = "$held" ] || fail "the same request gives the same answer"
other=$(jq '.startTime |= (fromdate + 86400 | todate)' <<<"$request")
refused invalid_argument REQUEST_ID_REUSED "" Booking HoldSlot "$other"
id=$(jq -r .id <<<"$held")
confirming="{\"requestId\": \"$(uuid)\", \"bookingId\": \"$id\"}"
booked=$(call Booking ConfirmBooking "$confirming" | jq .booking)
holds "the session is booked" "$booked" '.state == "BOOKING_STATE_BOOKED" and .id == $id' --arg id "$id"
[ "$(call Booking ConfirmBooking "$confirming" | jq .booking)" = "$booked" ] || fail "confirming twice is once"
holds "the booking is listed, alone" "$(call Booking ListBookings '{}')" '[.bookings[].id] == [$id]' --arg id "$id"

# A contact to be reminded at.
contact='{"email": "nurse@example.org", "languageCode": "de", "level": "REMINDER_LEVEL_TIME"}'
call Reminder SetContact "{\"requestId\": \"$(uuid)\", \"contact\": $contact}" >/dev/null
holds "the contact is kept, and not confirmed" "$(call Reminder GetContact '{}')" \
    '.contact | .email == "nurse@example.org" and (.confirmed | not)'

# Another time with the same therapist.
found=$(call Slot SearchSlots "$(jq --argjson booked "$booked" '.filter.therapistIds = [$booked.therapistId]' <<<"$search")")
moving=$(jq --arg id "$(uuid)" --argjson booked "$booked" '.hits | map(.slot | select(
        .sessionTypeId == $booked.sessionTypeId and .session != $booked.session)
    | {requestId: $id, bookingId: $booked.id, startTime: .session.startTime})' <<<"$found")
first_free RescheduleBooking "$moving"
holds "the booking moved, under its id" "$booking" '.id == $id and .session.startTime == $request.startTime' \
    --arg id "$id" --argjson request "$request"
holds "the history tells of the move" "$(call Booking GetBooking "{\"bookingId\": \"$id\"}")" \
    'any(.history[]; .rescheduled)'

# Cancelled, its time is free at once.
cancelled=$(call Booking CancelBooking "{\"requestId\": \"$(uuid)\", \"bookingId\": \"$id\"}")
holds "the booking is cancelled" "$cancelled" '.booking.state == "BOOKING_STATE_CANCELLED"'
first_free HoldSlot "$(jq --arg id "$(uuid)" 'map(.requestId = $id)' <<<"$holding")"
call Booking ConfirmBooking "{\"requestId\": \"$(uuid)\", \"bookingId\": $(jq .id <<<"$booking")}" >/dev/null

# Each bad field gets its code, its reason and its path.
searching() { jq "$1" <<<"$search"; }
refused permission_denied CALLER_NOT_ALLOWED "" Booking ListAgenda "$(searching '{span: .window}')"
refused not_found NOT_FOUND "" Booking GetBooking "{\"bookingId\": \"$(uuid)\"}"
refused invalid_argument REVERSED_SPAN window Slot SearchSlots \
    "$(searching '.window |= {startTime: .endTime, endTime: .startTime}')"
refused invalid_argument OUT_OF_RANGE window Slot SearchSlots \
    "$(searching '.window.endTime |= (fromdate + 22 * 86400 | todate)')"
refused invalid_argument PAGE_TOKEN_INVALID page_token Slot SearchSlots "$(searching '.pageToken = "no such page"')"
refused invalid_argument UNKNOWN_TERM filter.specializations Slot SearchSlots \
    "$(searching '.filter.specializations = ["xqzzwvkk"]')"
bad_hold() { jq --arg id "$(uuid)" ".[0] | .requestId = \$id | $1" <<<"$holding"; }
refused invalid_argument MALFORMED therapist_id Booking HoldSlot "$(bad_hold '.therapistId = "a therapist"')"
refused invalid_argument REQUIRED request_id Booking HoldSlot "$(bad_hold '.requestId = ""')"
bad_import() { jq --arg id "$(uuid)" ".requestId = \$id | $1" <<<"$importing"; }
refused invalid_argument ICALENDAR_MALFORMED icalendar Roster ImportRoster \
    "$(bad_import '.icalendar = ("BEGIN:NOTHING\r\n" | @base64)')"
refused invalid_argument UNKNOWN_ZONE time_zone Roster ImportRoster "$(bad_import '.timeZone = "Europe/Nowhere"')"
refused invalid_argument MALFORMED contact.email Reminder SetContact \
    "{\"requestId\": \"$(uuid)\", \"contact\": {\"email\": \"Nurse <nurse@example.org>\", \"languageCode\": \"de\"}}"

# Erased, there is nobody to sign in.
holds "erasing cancels the session to come" "$(call Alias EraseAlias '{}')" '.cancelledBookings == 1'
refused unauthenticated TOKEN_INVALID "" Booking ListBookings '{}'
headers=()
refused unauthenticated LOGIN_REFUSED "" Alias FinishLogin "$(finish_login_request)"

echo "buf: the main job holds"
