-- A key that was stolen or lost is withdrawn: its period is over, and its days are free for another one.

alter table period add column withdrawn integer not null default 0 check (withdrawn in (0, 1));

pragma user_version = 5;
