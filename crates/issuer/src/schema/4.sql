-- A period is the days whose sessions it pays, as in the log of keys, from which it follows when its key signs. Before,
-- it was the days on which its key was to sign, and who made it took the quarter's own.

create table period_anew (
    name text primary key,
    key_id blob not null unique check (length(key_id) = 32),
    passes integer not null check (passes between 1 and 100),
    first text not null,
    last text not null check (first <= last),
    -- Said when the period was made: fewer than 50 are enough.
    small integer not null check (small in (0, 1))
) strict, without rowid;

insert into period_anew (name, key_id, passes, first, last, small)
select name, key_id, passes, active_from, date(grace_from, '-1 day'), small from period;

create table issuance_anew (
    period text not null references period_anew,
    holder blob not null check (length(holder) = 32),
    batch blob not null check (length(batch) = 32),
    primary key (period, holder)
) strict, without rowid;

insert into issuance_anew (period, holder, batch) select period, holder, batch from issuance;

drop table issuance;

drop table period;

alter table period_anew rename to period;

alter table issuance_anew rename to issuance;

pragma user_version = 4;
