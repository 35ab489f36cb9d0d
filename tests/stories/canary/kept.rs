//! All that a database writes: its files, its dump, and what PostgreSQL logs of each statement.

use std::{
    ffi::OsStr,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use e2e::{Engine, World};
use sea_orm::ConnectionTrait;

use super::scan::Sink;
use crate::privacy::files;

/// Since when PostgreSQL keeps what it writes.
pub(super) struct Recording {
    position: String,
    slot: String,
}

/// From now on PostgreSQL logs every statement of this world's database with its values, which nobody would do, and
/// keeps its write-ahead log, which others on this server would have it forget. SQLite has neither log.
pub(super) async fn record(world: &World, engine: Engine) -> Option<Recording> {
    if engine == Engine::Sqlite {
        return None;
    }
    let position = position(world).await;
    let name = world.texts("select current_database()::text").await.remove(0);
    let slot = format!("keeps_{name}");
    for sql in [
        format!("select pg_create_physical_replication_slot('{slot}', true)"),
        format!("alter database {name} set log_statement = 'all'"),
        format!("alter database {name} set log_parameter_max_length_on_error = -1"),
    ] {
        world.app.db.read().execute_unprepared(&sql).await.unwrap();
    }
    Some(Recording { position, slot })
}

/// Everything of it.
pub(super) async fn sinks(world: &World, engine: Engine, recording: Option<Recording>) -> Vec<Sink> {
    let database = Sink { name: "database", bytes: files(world, engine) };
    let Some(Recording { position, slot }) = recording else {
        let file = PathBuf::from(world.database.strip_prefix("sqlite://").unwrap());
        return vec![database, Sink { name: "data folder", bytes: folder_bytes(file.parent().unwrap()) }];
    };
    let written_ahead = write_ahead_log(world, &position).await;
    let run = async |sql: &str| world.app.db.read().execute_unprepared(sql).await.unwrap();
    run(&format!("select pg_drop_replication_slot('{slot}')")).await;
    run("checkpoint").await;
    let folder = "select current_setting('data_directory') || '/base/' || oid from pg_database where datname = current_database()";
    let folder = PathBuf::from(world.texts(folder).await.remove(0));
    let collected = world.texts("select current_setting('logging_collector')").await;
    assert_eq!(collected, ["on"], "PostgreSQL's log has to be in a file, as tests/postgres.sh has it");
    let folder_of_logs =
        "select current_setting('data_directory') || '/' || current_setting('log_directory')";
    let logs = folder_bytes(Path::new(&world.texts(folder_of_logs).await.remove(0)));
    vec![
        database,
        Sink { name: "data folder", bytes: folder_bytes(&folder) },
        Sink { name: "write-ahead log", bytes: written_ahead },
        Sink { name: "PostgreSQL's log", bytes: logs },
    ]
}

async fn position(world: &World) -> String {
    world.texts("select pg_current_wal_lsn()::text").await.remove(0)
}

/// What was written to it since `began`, whoever wrote it.
async fn write_ahead_log(world: &World, began: &str) -> Vec<u8> {
    let ended = position(world).await;
    let name =
        async |position: &str| world.texts(&format!("select pg_walfile_name('{position}')")).await.remove(0);
    let (first, last) = (name(began).await, name(&ended).await);
    let folder = world.texts("select current_setting('data_directory') || '/pg_wal'").await.remove(0);
    let written = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap();
        name.len() == first.len() && (&*first..=&*last).contains(&name)
    };
    let mut files: Vec<_> = read_dir(Path::new(&folder)).filter(written).collect();
    files.sort();
    assert!(files.first().is_some_and(|file| file.ends_with(&first)), "it has forgotten {first}");
    files.iter().flat_map(|file| fs::read(file).unwrap()).collect()
}

/// Every file in it, at any depth. A running database may take one away meanwhile.
pub(super) fn folder_bytes(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for path in read_dir(folder) {
        if path.is_dir() {
            bytes.extend(folder_bytes(&path));
            continue;
        }
        match fs::read(&path) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => {}
            read => bytes.extend(read.unwrap()),
        }
    }
    bytes
}

/// A place that cannot be searched would hide whatever is in it.
fn read_dir(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{} cannot be searched: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path())
}
