"""Other people's libraries read calendars: `icalendar`, and `recurring-ical-events` on top of it.

`foreign.py read` reads a calendar from standard input, and prints each of its components as a line of JSON.

`foreign.py corpus` prints a line of JSON for each calendar file that the package `icalendar` brings for its own
tests: its name and bytes, a window around its events, and their occurrences in that window, or what went wrong.
Times without a zone are read in Berlin. A component on its own is read as a calendar of it.
"""

import datetime
import json
import sys
import zoneinfo
from pathlib import Path

import icalendar
import recurring_ical_events

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
DAY = 24 * 60 * 60


def seconds(value):
    """A date or a time as Unix seconds."""
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    if value.tzinfo is None:
        value = value.replace(tzinfo=BERLIN)
    return int(value.timestamp())


def listed(value):
    """What is there several times is a list, and what is there once is not."""
    return value if isinstance(value, list) else [value]


def read(data):
    for component in icalendar.Calendar.from_ical(data).walk():
        answer = {
            "name": component.name,
            "errors": [str(error) for error in component.errors],
            "properties": {
                name: seconds(value.dt) if hasattr(value, "dt") else str(value)
                for name, value in component.items()
                if name != "FREEBUSY"
            },
            "free": [
                [seconds(period.start), seconds(period.end), period.params["FBTYPE"]]
                for period in listed(component.get("FREEBUSY", []))
            ],
        }
        print(json.dumps(answer))


def corpus():
    folder = Path(icalendar.__file__).parent
    for path in sorted(folder.rglob("*.ics")):
        data = whole(path.read_bytes())
        answer = {"file": str(path.relative_to(folder / "tests")), "data": list(data)}
        # Whatever a library raises is its answer.
        try:
            answer |= expanded(data)
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer))


def whole(data):
    """A component on its own, put into a calendar."""
    if b"BEGIN:VCALENDAR" in data:
        return data
    return b"BEGIN:VCALENDAR\r\n" + data.strip() + b"\r\nEND:VCALENDAR\r\n"


def expanded(data):
    calendars = icalendar.Calendar.from_ical(data, multiple=True)
    free_busy = [
        [seconds(period.start), seconds(period.end)]
        for calendar in calendars
        for component in calendar.walk("VFREEBUSY")
        for period in listed(component.get("FREEBUSY", []))
        if period.params.get("FBTYPE") != "FREE"
    ]
    starts = [
        seconds(event["DTSTART"].dt)
        for calendar in calendars
        for event in calendar.walk("VEVENT")
        if hasattr(event.get("DTSTART"), "dt")
    ]
    starts += [start for start, _ in free_busy]
    window = [min(starts, default=0) - DAY, max(starts, default=0) + 400 * DAY]
    start, end = (datetime.datetime.fromtimestamp(at, datetime.timezone.utc) for at in window)
    occurrences = [
        {
            "start": seconds(event["DTSTART"].dt),
            "end": seconds(event.end),
            "whole_day": not isinstance(event["DTSTART"].dt, datetime.datetime),
            "free": event.get("TRANSP") == "TRANSPARENT",
            "cancelled": event.get("STATUS") == "CANCELLED",
        }
        for calendar in calendars
        for event in recurring_ical_events.of(calendar, components=["VEVENT"]).between(start, end)
    ]
    return {"window": window, "occurrences": occurrences, "free_busy": free_busy}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read"]:
            read(sys.stdin.buffer.read())
        case ["corpus"]:
            corpus()
        case _:
            sys.exit(__doc__)
