-- What is about workers is kept in the order of its hashes and has no number (`without rowid`), since a number would
-- tell who came first. No table knows a time of day but `audit`, which is about the hospital's staff.

-- What this issuer is: one row.
create table issuer (
    one integer primary key check (one = 1),
    programme blob not null check (length(programme) = 16),
    name text not null,
    origin text not null,
    mode text not null check (mode in ('cards', 'roster')),
    -- Tells whether the secret beside the database is the one that the hashes in it were made with.
    secret_id blob not null check (length(secret_id) = 32)
) strict;

create table period (
    name text primary key,
    key_id blob not null unique check (length(key_id) = 32),
    passes integer not null check (passes between 1 and 50),
    active_from text not null,
    grace_from text not null check (active_from < grace_from),
    -- Said when the period was made: fewer than 50 are enough.
    small integer not null check (small in (0, 1))
) strict, without rowid;

-- The roster: who is eligible, by a keyed hash.
create table worker (
    worker blob primary key check (length(worker) = 32),
    active_from text not null,
    active_until text check (active_until >= active_from)
) strict, without rowid;

-- A card has a last day and belongs to nobody; any other code belongs to a worker, who has one at most.
create table code (
    code blob primary key check (length(code) = 32),
    worker blob unique check (length(worker) = 32),
    last_day text check ((worker is null) <> (last_day is null))
) strict, without rowid;

-- All passes of the period or none. `holder` is a worker, or a card's code.
create table issuance (
    period text not null references period,
    holder blob not null check (length(holder) = 32),
    batch blob not null check (length(batch) = 32),
    primary key (period, holder)
) strict, without rowid;

-- What staff did, each entry with the hash of all before it.
create table audit (
    position integer primary key,
    at integer not null,
    action text not null,
    hash blob not null check (length(hash) = 32)
) strict;

create trigger audit_is_not_changed before update on audit
begin
    select raise(abort, 'the audit log is append-only');
end;

create trigger audit_is_not_deleted before delete on audit
begin
    select raise(abort, 'the audit log is append-only');
end;

pragma user_version = 1;
