"""Other people's libraries read calendars: `icalendar`, and `recurring-ical-events` on top of it.

`foreign.py read` reads a calendar from standard input, and prints each of its components as a line of JSON.

`foreign.py corpus` prints a line of JSON for each calendar file that the package `icalendar` brings for its own tests:
its name and path, a window around its events, and their occurrences in that window, or what went wrong. Times without a
zone are read in Berlin.
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


def read(data):
    for component in icalendar.Calendar.from_ical(data).walk():
        free = component.get("FREEBUSY", [])
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
                for period in (free if isinstance(free, list) else [free])
            ],
        }
        print(json.dumps(answer))


def corpus():
    folder = Path(icalendar.__file__).parent
    for path in sorted(folder.rglob("*.ics")):
        answer = {"file": str(path.relative_to(folder)), "path": str(path)}
        # Whatever a library raises is its answer.
        try:
            answer |= expanded(path.read_bytes())
        except Exception as error:
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer))


def expanded(data):
    calendars = icalendar.Calendar.from_ical(data, multiple=True)
    starts = [
        seconds(event["DTSTART"].dt)
        for calendar in calendars
        for event in calendar.walk("VEVENT")
        if hasattr(event.get("DTSTART"), "dt")
    ]
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
    return {"window": window, "occurrences": occurrences}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read"]:
            read(sys.stdin.buffer.read())
        case ["corpus"]:
            corpus()
        case _:
            sys.exit(__doc__)
