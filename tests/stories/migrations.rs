//! The schema goes up, comes down without a trace, and goes up again the same.

use e2e::World;
use migrations::{Migrator, MigratorTrait};

e2e::stories! {
    async fn up_down_and_up_again(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        // Rows with references to each other, which must not stand in the way.
        let ada = world.therapist("Ada", "Europe/Berlin").await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        nurse.works("Europe/Berlin", &[("2026-03-23T20:00:00Z", "2026-03-24T05:30:00Z")], "2026-04-30").await;

        let db = world.app.db.read();
        let before = schema(&world, engine).await;
        assert!(before.iter().any(|line| line.contains("booking_alias_overlap")), "{before:?}");
        Migrator::down(db, None).await.unwrap();
        let left: Vec<_> = tables(&world, engine).await;
        assert_eq!(left, ["seaql_migrations"], "only the list of steps is left");
        assert_eq!(world.count("select count(*) from seaql_migrations").await, 0);

        migrations::up(db).await.unwrap();
        assert_eq!(schema(&world, engine).await, before);
        assert_eq!(world.count("select count(*) from booking").await, 0);
        // Up once more is nothing.
        migrations::up(db).await.unwrap();
        assert_eq!(schema(&world, engine).await, before);
        world.worker().await;
    }

    // As when several servers of one database are started at once.
    async fn many_may_go_up_at_once(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let before = schema(&world, engine).await;
        if engine == e2e::Engine::Postgres {
            Migrator::down(world.app.db.read(), None).await.unwrap();
        }
        let mut servers = Vec::new();
        for _ in 0..4 {
            servers.push(world.another_server().await);
        }
        let mut starts = tokio::task::JoinSet::new();
        for server in servers {
            starts.spawn(async move { migrations::up(server.db.read()).await });
        }
        for start in starts.join_all().await {
            start.unwrap();
        }
        assert_eq!(schema(&world, engine).await, before);
    }
}

async fn tables(world: &World, engine: e2e::Engine) -> Vec<String> {
    let sql = match engine {
        e2e::Engine::Sqlite => {
            "select name from sqlite_master where type = 'table' and name not like 'sqlite%' order by name"
        }
        e2e::Engine::Postgres => {
            "select tablename::text from pg_tables where schemaname = 'public' order by tablename"
        }
    };
    world.texts(sql).await
}

/// Everything the schema says, a line each: columns, constraints, indexes and triggers.
async fn schema(world: &World, engine: e2e::Engine) -> Vec<String> {
    let questions = match engine {
        e2e::Engine::Sqlite => {
            ["select sql from sqlite_master where sql is not null order by sql"].as_slice()
        }
        e2e::Engine::Postgres => &[
            "select table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
             from information_schema.columns where table_schema = 'public' order by 1",
            "select conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid)
             from pg_constraint where connamespace = 'public'::regnamespace order by 1",
            "select indexdef from pg_indexes where schemaname = 'public' order by 1",
        ],
    };
    let mut lines = Vec::new();
    for question in questions {
        lines.extend(world.texts(question).await);
    }
    lines
}
