"""The main job as a foreign client does it in Python, knowing nothing of Respite but `proto/`.

    main_job.py ADDRESS     for a plain-text server at host:port whose directory holds a verified therapist for
                            burnout who speaks German

Exits with 1 and a sentence if anything does not hold.
"""

import hashlib
import importlib.resources
import itertools
import os
import pathlib
import sys
import tempfile
import uuid
from datetime import datetime, timedelta, timezone

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

CONTRACT = pathlib.Path(__file__).resolve().parents[3] / "proto"
STUBS = tempfile.TemporaryDirectory()
WELL_KNOWN = importlib.resources.files("grpc_tools") / "_proto"

protoc.main(
    ["protoc", f"-I{CONTRACT}", f"-I{WELL_KNOWN}", f"--python_out={STUBS.name}", f"--grpc_python_out={STUBS.name}"]
    + [str(path) for path in (CONTRACT / "respite/v1").glob("*.proto")]
)
sys.path.insert(0, STUBS.name)

from respite.v1 import alias_pb2 as alias  # noqa: E402
from respite.v1 import booking_pb2 as booking  # noqa: E402
from respite.v1 import directory_pb2 as directory  # noqa: E402
from respite.v1 import reminder_pb2 as reminder  # noqa: E402
from respite.v1 import roster_pb2 as roster  # noqa: E402
from respite.v1 import slot_pb2 as slot  # noqa: E402
from respite.v1 import time_pb2 as time  # noqa: E402
from respite.v1.alias_pb2_grpc import AliasServiceStub  # noqa: E402
from respite.v1.booking_pb2_grpc import BookingServiceStub  # noqa: E402
from respite.v1.directory_pb2_grpc import DirectoryServiceStub  # noqa: E402
from respite.v1.reminder_pb2_grpc import ReminderServiceStub  # noqa: E402
from respite.v1.roster_pb2_grpc import RosterServiceStub  # noqa: E402
from respite.v1.slot_pb2_grpc import SlotServiceStub  # noqa: E402

COMMUTE, REST, SLEEP = timedelta(minutes=30), timedelta(hours=1), timedelta(hours=8)


class Failed(Exception):
    """Something did not hold."""


def check(holds, what):
    if not holds:
        raise Failed(what)


class Refused(Exception):
    """A gRPC error with its `google.rpc` details."""

    def __init__(self, error):
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code, self.reason, self.domain, self.fields = error.code().name, "", "", []
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                self.reason, self.domain = info.reason, info.domain
            elif detail.Unpack(bad):
                self.fields = [violation.field for violation in bad.field_violations]


class Session:
    """Calls with a token, or without one."""

    def __init__(self, channel, token=None):
        self.channel = channel
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def call(self, stub, method, request):
        try:
            return getattr(stub(self.channel), method)(request, metadata=self.metadata, timeout=10)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def refused(self, code, reason, field, stub, method, request):
        """The call is refused in exactly this way; `field` begins the path of the field that is wrong."""
        try:
            self.call(stub, method, request)
        except Refused as refused:
            told = (refused.code, refused.reason, refused.domain)
            check(told == (code, reason, "respite"), f"{method}: {told} instead of {code} {reason}")
            if field is not None:
                check(any(path.startswith(field) for path in refused.fields), f"{method}: {refused.fields} names no {field}")
        else:
            raise Failed(f"{method} was not refused with {reason}")


class Key:
    """The key of an alias, made from its secret as alias.proto says."""

    def __init__(self, secret):
        seed = HKDF(SHA256(), 32, b"respite/alias/v1", b"login-ed25519").derive(secret)
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def create_alias(self, anybody):
        begun = anybody.call(
            AliasServiceStub, "BeginCreateAlias", alias.BeginCreateAliasRequest(public_key=self.public)
        )
        work = proof_of_work(begun.challenge, begun.proof_of_work_bits)
        message = b"respite/create-alias/v1\0" + begun.challenge + work
        return alias.CreateAliasRequest(
            public_key=self.public,
            challenge=begun.challenge,
            proof_of_work=work,
            signature=self.private.sign(message),
        )

    def login(self, anybody):
        begun = anybody.call(AliasServiceStub, "BeginLogin", alias.BeginLoginRequest(public_key=self.public))
        message = b"respite/login/v1\0" + begun.audience.encode() + b"\0" + begun.challenge
        return alias.FinishLoginRequest(
            public_key=self.public, challenge=begun.challenge, signature=self.private.sign(message)
        )


def proof_of_work(challenge, bits):
    for number in itertools.count():
        nonce = number.to_bytes(8, "big")
        digest = hashlib.sha256(challenge + nonce).digest()
        if int.from_bytes(digest, "big") >> (256 - bits) == 0:
            return nonce


def request_id():
    return str(uuid.uuid4())


def stamp(instant):
    return Timestamp(seconds=int(instant.timestamp()))


def instant(stamped):
    return datetime.fromtimestamp(stamped.seconds, timezone.utc)


def span(start, end):
    return time.Span(start_time=stamp(start), end_time=stamp(end))


def nights_from(midnight):
    """Two nights, two days off, over two weeks; 22:00 to 06:00 of a German winter, an hour later in summer."""
    days = (midnight + timedelta(days=day) for day in range(14) if day % 4 < 2)
    return [(day + timedelta(hours=21), day + timedelta(hours=29)) for day in days]


def icalendar(shifts):
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//example//roster//EN"]
    for number, (start, end) in enumerate(shifts):
        lines += [
            "BEGIN:VEVENT",
            f"UID:night-{number}@example.org",
            f"DTSTAMP:{start:%Y%m%dT%H%M%SZ}",
            f"DTSTART:{start:%Y%m%dT%H%M%SZ}",
            f"DTEND:{end:%Y%m%dT%H%M%SZ}",
            "SUMMARY:Night\\, ward 7",
            "END:VEVENT",
        ]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def search_in(search, start, end):
    """The same search in another window."""
    narrowed = slot.SearchSlotsRequest()
    narrowed.CopyFrom(search)
    narrowed.window.CopyFrom(span(start, end))
    return narrowed


def in_the_way(hit, shifts):
    """The shift whose duty, way, rest or sleep the slot lies in (S2)."""
    start, end = instant(hit.slot.session.start_time), instant(hit.slot.session.end_time)
    for begin, finish in shifts:
        if start < finish + COMMUTE + SLEEP and end > begin - max(COMMUTE, REST):
            return begin
    return None


def hold(hit, start=None, id=None):
    return booking.HoldSlotRequest(
        request_id=id or request_id(),
        therapist_id=hit.slot.therapist_id,
        session_type_id=hit.slot.session_type_id,
        start_time=start or hit.slot.session.start_time,
        modality=hit.modalities[0],
    )


def main_job(address):
    channel = grpc.insecure_channel(address)
    anybody = Session(channel)

    # Whom to call at once, with no token and before anything else.
    lines = anybody.call(
        DirectoryServiceStub, "ListCrisisResources", directory.ListCrisisResourcesRequest(country_code="DE")
    ).crisis_resources
    check(lines and lines[0].country_code == "DE", "Germany has a crisis line")

    # An alias; made twice with the same key, it is the same one.
    key = Key(os.urandom(16))
    creation = key.create_alias(anybody)
    made = anybody.call(AliasServiceStub, "CreateAlias", creation).alias
    again = anybody.call(AliasServiceStub, "CreateAlias", creation).alias
    check(made.id == again.id and made.handle == again.handle, "one key, one alias")
    creation.signature = bytes(64)
    anybody.refused("UNAUTHENTICATED", "SIGNATURE_INVALID", None, AliasServiceStub, "CreateAlias", creation)
    stranger = Key(os.urandom(16)).login(anybody)
    anybody.refused("UNAUTHENTICATED", "LOGIN_REFUSED", None, AliasServiceStub, "FinishLogin", stranger)
    signed = anybody.call(AliasServiceStub, "FinishLogin", key.login(anybody))
    check(signed.caller == alias.CALLER_KIND_ALIAS, "an alias signed in")
    worker = Session(channel, signed.access_token)

    # A roster with nights.
    now = datetime.now(timezone.utc).replace(microsecond=0)
    midnight = now.replace(hour=0, minute=0, second=0)
    shifts = nights_from(midnight)
    last_day = (midnight + timedelta(days=14)).date()
    imported = roster.ImportRosterRequest(
        request_id=request_id(), icalendar=icalendar(shifts), time_zone="Europe/Berlin"
    )
    imported.publish_date.year, imported.publish_date.month, imported.publish_date.day = last_day.timetuple()[:3]
    understood = worker.call(RosterServiceStub, "ImportRoster", imported)
    check(
        (understood.shift_count, understood.night_count) == (len(shifts), len(shifts)),
        f"{len(shifts)} shifts are nights: {understood.shift_count}, {understood.night_count}",
    )

    # Slots for burnout, in German, that leave the nights and the sleep after them alone.
    wanted = slot.SearchSlotsRequest(
        filter=directory.TherapistFilter(specializations=["burnout"], languages=["de"]),
        window=span(now, now + timedelta(days=10)),
        page_size=100,
        language_code="de",
    )
    found = worker.call(SlotServiceStub, "SearchSlots", wanted)
    check(found.hits, f"there are slots; taken away were {found.removals}")
    for hit in found.hits:
        check(in_the_way(hit, shifts) is None, f"a slot lies in the night of {in_the_way(hit, shifts)}")
        check(hit.reasons, "every hit says why")
    starts = [hit.slot.session.start_time.seconds for hit in found.hits]
    check(starts == sorted(starts), "the earliest slot is first")
    # Asked of the mornings themselves: late at night the first page of the ten days ends before anybody sleeps.
    mornings = [search_in(wanted, end, end + COMMUTE + SLEEP) for _, end in shifts[:4]]
    asleep = [worker.call(SlotServiceStub, "SearchSlots", morning) for morning in mornings]
    check(not any(answer.hits for answer in asleep), "nothing is offered to somebody who sleeps after a night")
    taken_away = {one.constraint for answer in asleep for one in answer.removals if one.count > 0}
    check(slot.CONSTRAINT_SLEEP in taken_away, "sleep after a night took slots away")
    for morning in mornings:
        morning.roster_use.ignore_shifts = True
    awake = [hit for morning in mornings for hit in worker.call(SlotServiceStub, "SearchSlots", morning).hits]
    check(awake, "without the roster, there are slots on such a morning")

    # Hold and confirm; a repeated request gives the same answer, another one under its id is refused.
    hit, holding, held = hold_first_free(worker, found.hits)
    check(held.state == booking.BOOKING_STATE_PENDING and held.HasField("hold_expire_time"), "the slot is held")
    repeated = worker.call(BookingServiceStub, "HoldSlot", holding).booking
    check(repeated == held, "the same request gives the same answer")
    other = hold(hit, Timestamp(seconds=hit.slot.session.start_time.seconds + 86400), holding.request_id)
    worker.refused("INVALID_ARGUMENT", "REQUEST_ID_REUSED", None, BookingServiceStub, "HoldSlot", other)
    confirming = booking.ConfirmBookingRequest(request_id=request_id(), booking_id=held.id)
    booked = worker.call(BookingServiceStub, "ConfirmBooking", confirming).booking
    check(booked.state == booking.BOOKING_STATE_BOOKED and booked.id == held.id, "the session is booked")
    check(worker.call(BookingServiceStub, "ConfirmBooking", confirming).booking == booked, "confirming twice is once")
    listed = worker.call(BookingServiceStub, "ListBookings", booking.ListBookingsRequest()).bookings
    check([entry.id for entry in listed] == [booked.id], "the booking is listed, alone")

    # A contact to be reminded at.
    contact = reminder.Contact(
        email="nurse@example.org", language_code="de", level=reminder.REMINDER_LEVEL_TIME
    )
    worker.call(
        ReminderServiceStub, "SetContact", reminder.SetContactRequest(request_id=request_id(), contact=contact)
    )
    kept = worker.call(ReminderServiceStub, "GetContact", reminder.GetContactRequest()).contact
    check(kept.email == contact.email and not kept.confirmed, "the contact is kept, and not confirmed")

    # Another time with the same therapist.
    wanted.filter.therapist_ids.append(booked.therapist_id)
    for other in worker.call(SlotServiceStub, "SearchSlots", wanted).hits:
        if other.slot.session_type_id != booked.session_type_id or other.slot.session == booked.session:
            continue
        try:
            moving = booking.RescheduleBookingRequest(
                request_id=request_id(), booking_id=booked.id, start_time=other.slot.session.start_time
            )
            moved = worker.call(BookingServiceStub, "RescheduleBooking", moving).booking
            break
        except Refused as refused:
            check(refused.reason == "SLOT_TAKEN", f"a slot on offer is refused: {refused}")
    else:
        raise Failed("the therapist has another slot")
    check(moved.id == booked.id and moved.session == other.slot.session, "the booking moved, under its id")
    history = worker.call(
        BookingServiceStub, "GetBooking", booking.GetBookingRequest(booking_id=moved.id)
    ).history
    check(any(event.rescheduled for event in history), "the history tells of the move")

    # Cancelled, its time is free at once.
    cancelling = booking.CancelBookingRequest(request_id=request_id(), booking_id=moved.id)
    cancelled = worker.call(BookingServiceStub, "CancelBooking", cancelling).booking
    check(cancelled.state == booking.BOOKING_STATE_CANCELLED, "the booking is cancelled")
    _, _, held = hold_first_free(worker, [other, *found.hits])
    confirming = booking.ConfirmBookingRequest(request_id=request_id(), booking_id=held.id)
    worker.call(BookingServiceStub, "ConfirmBooking", confirming)

    bad_inputs(anybody, worker, wanted, hit, now)

    # Erased, there is nobody to sign in.
    erased = worker.call(AliasServiceStub, "EraseAlias", alias.EraseAliasRequest())
    check(erased.cancelled_bookings == 1, "erasing cancels the session to come")
    worker.refused(
        "UNAUTHENTICATED", "TOKEN_INVALID", None, BookingServiceStub, "ListBookings", booking.ListBookingsRequest()
    )
    gone = key.login(anybody)
    anybody.refused("UNAUTHENTICATED", "LOGIN_REFUSED", None, AliasServiceStub, "FinishLogin", gone)


def hold_first_free(worker, hits):
    """Holds the first slot that nobody took meanwhile."""
    for hit in hits:
        holding = hold(hit)
        try:
            return hit, holding, worker.call(BookingServiceStub, "HoldSlot", holding).booking
        except Refused as refused:
            check(refused.reason == "SLOT_TAKEN", f"a slot on offer is refused: {refused}")
    raise Failed("every slot on offer is taken")


def bad_inputs(anybody, worker, search, hit, now):
    """Each bad field gets its code, its reason and its path."""

    def changed(message, **fields):
        copy = type(message)()
        copy.CopyFrom(message)
        for name, value in fields.items():
            field = getattr(copy, name)
            if hasattr(field, "CopyFrom"):
                field.CopyFrom(value)
            else:
                setattr(copy, name, value)
        return copy

    listing = booking.ListBookingsRequest()
    anybody.refused("UNAUTHENTICATED", "TOKEN_INVALID", None, BookingServiceStub, "ListBookings", listing)
    agenda = booking.ListAgendaRequest(span=span(now, now + timedelta(days=1)))
    worker.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED", None, BookingServiceStub, "ListAgenda", agenda)
    unknown = booking.GetBookingRequest(booking_id=request_id())
    worker.refused("NOT_FOUND", "NOT_FOUND", None, BookingServiceStub, "GetBooking", unknown)

    def invalid(reason, field, stub, method, request):
        worker.refused("INVALID_ARGUMENT", reason, field, stub, method, request)

    reversed_window = changed(search, window=span(now + timedelta(days=1), now))
    invalid("REVERSED_SPAN", "window", SlotServiceStub, "SearchSlots", reversed_window)
    long_window = changed(search, window=span(now, now + timedelta(days=32)))
    invalid("OUT_OF_RANGE", "window", SlotServiceStub, "SearchSlots", long_window)
    foreign_page = changed(search, page_token="no such page")
    invalid("PAGE_TOKEN_INVALID", "page_token", SlotServiceStub, "SearchSlots", foreign_page)
    nonsense = directory.TherapistFilter(specializations=["xqzzwvkk"])
    no_such_term = changed(search, filter=nonsense)
    invalid("UNKNOWN_TERM", "filter.specializations", SlotServiceStub, "SearchSlots", no_such_term)
    holding = hold(hit)
    no_therapist = changed(holding, therapist_id="a therapist")
    invalid("MALFORMED", "therapist_id", BookingServiceStub, "HoldSlot", no_therapist)
    no_request_id = changed(holding, request_id="")
    invalid("REQUIRED", "request_id", BookingServiceStub, "HoldSlot", no_request_id)
    importing = roster.ImportRosterRequest(
        request_id=request_id(), icalendar=b"BEGIN:NOTHING\r\n", time_zone="Europe/Berlin"
    )
    invalid("ICALENDAR_MALFORMED", "icalendar", RosterServiceStub, "ImportRoster", importing)
    nowhere = changed(importing, time_zone="Europe/Nowhere")
    invalid("UNKNOWN_ZONE", "time_zone", RosterServiceStub, "ImportRoster", nowhere)
    named = reminder.Contact(email="Nurse <nurse@example.org>", language_code="de")
    setting = reminder.SetContactRequest(request_id=request_id(), contact=named)
    invalid("MALFORMED", "contact.email", ReminderServiceStub, "SetContact", setting)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main_job(sys.argv[1])
    except (Failed, Refused) as problem:
        sys.exit(f"python: does not hold: {problem}")
    print("python: the main job holds")
