-- What comes by SCIM: whether it does, and by whom. Who is eligible stays in `worker`.

-- The identity provider's token, and what it did on the last day on which it changed anything: one row, or none if the
-- roster comes by files.
create table scim (
    one integer primary key check (one = 1),
    token blob not null check (length(token) = 32),
    staff_number text not null check (staff_number in ('user-name', 'external-id', 'employee-number')),
    day text not null,
    added integer not null default 0,
    removed integer not null default 0
) strict;

-- A user of the identity provider, by keyed hashes of what it calls them. Who is active has a row in `worker`, too.
create table scim_user (
    id blob primary key check (length(id) = 16),
    worker blob not null unique check (length(worker) = 32),
    user_name blob not null unique check (length(user_name) = 32),
    external_id blob check (length(external_id) = 32)
) strict, without rowid;

create index scim_user_external_id on scim_user (external_id);

pragma user_version = 2;
