//! The embedded database as a thief would read it: its tables, and the bytes of its files.

use std::io;
use std::path::Path;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};

/// A table, and what it says about one alias.
pub(super) struct Table {
    pub(super) name: String,
    pub(super) rows: i64,
    /// Rows that name the alias.
    pub(super) hers: i64,
    /// The columns of the first of these, each with its value as far as a person can read it.
    pub(super) columns: Vec<(String, String)>,
}

/// Every table, with what it says about the alias of this id.
pub(super) async fn tables(db: &DatabaseConnection, alias: &str) -> Result<Vec<Table>, DbErr> {
    let names = "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' \
                 and name <> 'seaql_migrations' order by name";
    let mut tables = Vec::new();
    for row in ask(db, names).await? {
        let name: String = row.try_get_by_index(0)?;
        let columns = columns(db, &name).await?;
        let hers = hers(&name, &columns, alias);
        let count = format!("select count(*), coalesce(sum({hers}), 0) from {name}");
        let row = one(db, &count).await?;
        let (rows, number) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let shown = if number > 0 { first(db, &name, &columns, &hers).await? } else { Vec::new() };
        tables.push(Table { name, rows, hers: number, columns: shown });
    }
    Ok(tables)
}

/// One booking's row, whoever it names.
pub(super) async fn booking(db: &DatabaseConnection, id: &str) -> Result<Vec<(String, String)>, DbErr> {
    first(db, "booking", &columns(db, "booking").await?, &format!("id = {}", blob(id))).await
}

/// The alias's wrapped data key.
pub(super) async fn wrapped_key(db: &DatabaseConnection, alias: &str) -> Result<Vec<u8>, DbErr> {
    one(db, &format!("select wrapped_key from alias_key where alias_id = {}", blob(alias)))
        .await?
        .try_get_by_index(0)
}

/// Everything the database has on disk, to be searched.
pub(super) struct Files {
    pub(super) names: Vec<String>,
    pub(super) bytes: usize,
    text: String,
    hex: String,
}

impl Files {
    /// Reads the file and those that SQLite keeps beside it.
    pub(super) fn read(database: &Path) -> io::Result<Self> {
        let mut files = Self { names: Vec::new(), bytes: 0, text: String::new(), hex: String::new() };
        for suffix in ["", "-wal", "-shm"] {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            match std::fs::read(&path) {
                Ok(bytes) => {
                    let name = Path::new(&path).file_name().unwrap_or_default();
                    files.names.push(name.to_string_lossy().into_owned());
                    files.bytes += bytes.len();
                    files.text.push_str(&String::from_utf8_lossy(&bytes));
                    files.hex.push_str(&HEXLOWER.encode(&bytes));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// Whether they hold `bytes`: as they are, in hexadecimal or in base64.
    pub(super) fn hold(&self, bytes: &[u8]) -> bool {
        let base64 = BASE64.encode(bytes);
        let encoded = [
            HEXLOWER.encode(bytes),
            HEXUPPER.encode(bytes),
            base64.trim_end_matches('=').to_owned(),
            BASE64URL_NOPAD.encode(bytes),
        ];
        self.hex.contains(&HEXLOWER.encode(bytes)) || encoded.iter().any(|text| self.text.contains(text))
    }
}

async fn ask(db: &DatabaseConnection, sql: &str) -> Result<Vec<sea_orm::QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await
}

async fn one(db: &DatabaseConnection, sql: &str) -> Result<sea_orm::QueryResult, DbErr> {
    let row = ask(db, sql).await?.pop();
    row.ok_or_else(|| DbErr::RecordNotFound("a row".to_owned()))
}

async fn columns(db: &DatabaseConnection, table: &str) -> Result<Vec<String>, DbErr> {
    let rows = ask(db, &format!("select name from pragma_table_info('{table}')")).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// The condition on a row of `table` that it is about `alias`.
fn hers(table: &str, columns: &[String], alias: &str) -> String {
    let alias = blob(alias);
    let owner =
        ["alias_id", "caller_id"].into_iter().find(|owner| columns.iter().any(|column| column == owner));
    match owner {
        Some(owner) => format!("{owner} = {alias}"),
        None if table == "alias" => format!("id = {alias}"),
        None if table == "booking_event" => {
            format!("booking_id in (select id from booking where alias_id = {alias})")
        }
        None => "false".to_owned(),
    }
}

/// The columns of the first row for which `condition` holds, for a person to read.
async fn first(
    db: &DatabaseConnection,
    table: &str,
    columns: &[String],
    condition: &str,
) -> Result<Vec<(String, String)>, DbErr> {
    let readable: Vec<String> = columns.iter().map(|column| readable(column)).collect();
    let sql = format!("select {} from {table} where {condition} order by rowid limit 1", readable.join(", "));
    let row = one(db, &sql).await?;
    let values = columns.iter().enumerate();
    values.map(|(index, column)| Ok((column.clone(), row.try_get_by_index(index)?))).collect()
}

/// SQL for a column's value in words; what is sealed or hashed is told by its length alone.
fn readable(column: &str) -> String {
    let nothing = if column == "alias_id" { "nobody''s" } else { "-" };
    let kind = match column {
        "public_key" => "public key",
        "wrapped_key" => "wrapped",
        "kek_id" => "key id",
        "hash" | "payload_mac" => "hash",
        _ => "sealed",
    };
    let number = if column.ends_with("_at") || column == "at" || column.starts_with("busy_") {
        format!("strftime('%Y-%m-%dT%H:%MZ', {column}, 'unixepoch')")
    } else {
        format!("cast({column} as text)")
    };
    format!(
        "case typeof({column}) when 'null' then '{nothing}' \
         when 'blob' then case length({column}) when 16 then lower(substr(hex({column}), 1, 8)) || '...' \
         else '{kind}, ' || length({column}) || ' bytes' end \
         when 'integer' then {number} else cast({column} as text) end"
    )
}

/// A UUID as SQLite keeps it.
fn blob(id: &str) -> String {
    format!("x'{}'", id.replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::Files;

    #[test]
    fn what_is_in_a_file_is_found_however_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("respite.db");
        for written in ["canary", "63616e617279", "Y2FuYXJ5"] {
            std::fs::write(&database, [b"\xff\0\xfe", written.as_bytes(), b"\xff"].concat()).unwrap();
            assert!(Files::read(&database).unwrap().hold(b"canary"), "{written}");
        }
        std::fs::write(&database, "nothing").unwrap();
        std::fs::write(directory.path().join("respite.db-wal"), "a canary").unwrap();
        let files = Files::read(&database).unwrap();
        assert!(files.hold(b"canary"));
        assert!(!files.hold(b"sparrow"));
    }
}
