//! The embedded database as a thief would read it: its tables, and the bytes of its files.

use std::io;
use std::path::Path;

use chrono::{DateTime, Utc};
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE, HEXUPPER};
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

/// By what somebody can be known: her alias's id, its public key and its handle.
pub(super) struct Marks {
    pub(super) id: String,
    pub(super) public_key: Vec<u8>,
    pub(super) handle: String,
}

/// Every table, with what it says about whom the marks are of.
pub(super) async fn tables(db: &DatabaseConnection, marks: &Marks) -> Result<Vec<Table>, DbErr> {
    let names = "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' \
                 and name <> 'seaql_migrations' order by name";
    let mut tables = Vec::new();
    for row in ask(db, names).await? {
        let name: String = row.try_get_by_index(0)?;
        let columns = columns(db, &name).await?;
        let hers = hers(&name, &columns, marks);
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

impl Marks {
    /// The bytes of each, and the texts that stand for them.
    fn written(&self) -> [Vec<u8>; 6] {
        let id = self.id.replace('-', "");
        [
            HEXLOWER_PERMISSIVE.decode(id.as_bytes()).unwrap_or_default(),
            id.into_bytes(),
            self.id.clone().into_bytes(),
            self.public_key.clone(),
            HEXLOWER.encode(&self.public_key).into_bytes(),
            self.handle.clone().into_bytes(),
        ]
    }
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

    /// Whether they hold `bytes`: as they are, in hexadecimal, or in base64 as part of anything.
    pub(super) fn hold(&self, bytes: &[u8]) -> bool {
        let mut encoded = vec![HEXLOWER.encode(bytes), HEXUPPER.encode(bytes)];
        for alphabet in [BASE64_NOPAD, BASE64URL_NOPAD] {
            encoded.extend((0..3).map(|before| base64_after(&alphabet, before, bytes)));
        }
        self.hold_as_is(bytes) || encoded.iter().any(|text| self.text.contains(text))
    }

    /// Whether they hold this moment as SQLite keeps numbers: big-endian, in as few bytes as it takes.
    ///
    /// That is four bytes until 2038 and more later; the last four are the same in all of them.
    pub(super) fn hold_number(&self, at: DateTime<Utc>) -> bool {
        let [_, _, _, _, four @ ..] = at.timestamp().to_be_bytes();
        self.hold_as_is(&four)
    }

    fn hold_as_is(&self, bytes: &[u8]) -> bool {
        let wanted = HEXLOWER.encode(bytes);
        let mut from = 0;
        while let Some(found) = self.hex[from..].find(&wanted) {
            // Between two bytes, and not in the middle of one.
            if (from + found).is_multiple_of(2) {
                return true;
            }
            from += found + 1;
        }
        false
    }
}

/// What is sure to be in the base64 of a text in which `bytes` follow after `before` others, or threes more.
fn base64_after(alphabet: &Encoding, before: usize, bytes: &[u8]) -> String {
    let whole = alphabet.encode(&[vec![0; before], bytes.to_vec()].concat());
    let (first, end) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
    whole[first..end].to_owned()
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

/// The condition on a row of `table` that it is about whom the marks are of: one of them is in one of its columns.
fn hers(table: &str, columns: &[String], marks: &Marks) -> String {
    let mut conditions = Vec::new();
    for mark in marks.written().map(|mark| HEXLOWER.encode(&mark)) {
        for column in columns {
            conditions.push(format!("coalesce(instr(cast({column} as blob), x'{mark}'), 0) > 0"));
        }
    }
    if table == "booking_event" {
        // It names a booking, which names her.
        let id = blob(&marks.id);
        conditions.push(format!("booking_id in (select id from booking where alias_id = {id})"));
    }
    conditions.join(" or ")
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
    use chrono::{DateTime, Utc};
    use data_encoding::{BASE64, HEXLOWER};
    use sea_orm::ConnectionTrait;

    use super::{Files, Marks, tables};

    #[test]
    fn what_is_in_a_file_is_found_however_it_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("respite.db");
        for written in ["canary", "63616e617279", "Y2FuYXJ5"] {
            std::fs::write(&database, [b"\xff\0\xfe", written.as_bytes(), b"\xff"].concat()).unwrap();
            assert!(Files::read(&database).unwrap().hold(b"canary"), "{written}");
        }
        for before in ["", "a", "ab", "abc"] {
            let written = BASE64.encode(format!("{before}canary, and more").as_bytes());
            std::fs::write(&database, &written).unwrap();
            assert!(Files::read(&database).unwrap().hold(b"canary"), "{written}");
        }
        std::fs::write(&database, "nothing").unwrap();
        std::fs::write(directory.path().join("respite.db-wal"), "a canary").unwrap();
        let files = Files::read(&database).unwrap();
        assert!(files.hold(b"canary"));
        assert!(!files.hold(b"sparrow"));
    }

    #[test]
    fn a_time_is_found_as_sqlite_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("respite.db");
        let at: DateTime<Utc> = "2026-11-30T20:30:00Z".parse().unwrap();
        for (written, found) in [
            (at.timestamp().to_be_bytes()[4..].to_vec(), true),
            (at.timestamp().to_be_bytes().to_vec(), true),
            ((at.timestamp() + 1).to_be_bytes().to_vec(), false),
            // The same digits, half a byte further on.
            (HEXLOWER.decode(format!("0{:08x}0", at.timestamp()).as_bytes()).unwrap(), false),
        ] {
            std::fs::write(&database, [b"\0".as_slice(), &written, b"\xff"].concat()).unwrap();
            assert_eq!(Files::read(&database).unwrap().hold_number(at), found, "{written:?}");
        }
    }

    #[tokio::test]
    async fn a_row_is_hers_wherever_it_names_her() {
        let db = sea_orm::Database::connect("sqlite::memory:").await.unwrap();
        let marks = Marks {
            id: "00112233-4455-4677-8899-aabbccddeeff".to_owned(),
            public_key: vec![7; 32],
            handle: "quiet-heron-482136".to_owned(),
        };
        db.execute_unprepared(
            "create table note (text text, data blob);
             insert into note values ('nobody', x'00'), (null, null), ('of quiet-heron-482136', null),
                ('00112233-4455-4677-8899-aabbccddeeff', null), (null, x'ff00112233445546778899aabbccddeeff')",
        )
        .await
        .unwrap();
        let tables = tables(&db, &marks).await.unwrap();
        assert_eq!((tables[0].rows, tables[0].hers), (5, 3));
    }
}
