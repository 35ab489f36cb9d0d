-- A third way to show to be eligible: whoever may sign in at the hospital's identity provider is. How many may, the
-- hospital says, since nobody here could count them.

create table issuer_anew (
    one integer primary key check (one = 1),
    programme blob not null check (length(programme) = 16),
    name text not null,
    origin text not null,
    mode text not null check (mode in ('cards', 'roster', 'logins')),
    eligible integer check ((mode = 'logins') = (eligible is not null)),
    -- Tells whether the secret beside the database is the one that the hashes in it were made with.
    secret_id blob not null check (length(secret_id) = 32)
) strict;

insert into issuer_anew (one, programme, name, origin, mode, secret_id)
select one, programme, name, origin, mode, secret_id from issuer;

drop table issuer;

alter table issuer_anew rename to issuer;

pragma user_version = 3;
