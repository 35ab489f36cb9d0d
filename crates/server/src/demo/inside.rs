//! The embedded database as a thief would read it: its tables, and the bytes of its files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

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
    pub(super) columns: Row,
}

/// Names of columns with their values.
pub(super) type Row = Vec<(String, String)>;

/// By what somebody can be known: her alias's id, its public key and its handle.
pub(super) struct Marks {
    pub(super) id: String,
    pub(super) public_key: Vec<u8>,
    pub(super) handle: String,
}

/// Every table, with what it says about whom the marks are of.
pub(super) async fn tables(db: &DatabaseConnection, marks: &Marks) -> Result<Vec<Table>, DbErr> {
    let mut tables = Vec::new();
    for name in names(db).await? {
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

/// A table, with its first row as far as a person can read it; of an empty one, nothing.
pub(super) async fn sample(db: &DatabaseConnection, table: &str) -> Result<(i64, Row), DbErr> {
    let rows = one(db, &format!("select count(*) from {table}")).await?.try_get_by_index(0)?;
    let row = if rows > 0 { first(db, table, &columns(db, table).await?, "true").await? } else { Row::new() };
    Ok((rows, row))
}

/// What is in each column of every table, as `table.column`, each value once and as its bytes.
pub(super) async fn values(db: &DatabaseConnection) -> Result<BTreeMap<String, BTreeSet<Vec<u8>>>, DbErr> {
    let mut values = BTreeMap::new();
    for table in names(db).await? {
        for column in columns(db, &table).await? {
            let sql =
                format!("select distinct cast({column} as blob) from {table} where {column} is not null");
            let known: Result<BTreeSet<Vec<u8>>, _> =
                ask(db, &sql).await?.iter().map(|row| row.try_get_by_index(0)).collect();
            values.insert(format!("{table}.{column}"), known?);
        }
    }
    Ok(values)
}

/// One booking's row, whoever it names.
pub(super) async fn booking(db: &DatabaseConnection, id: &str) -> Result<Row, DbErr> {
    first(db, "booking", &columns(db, "booking").await?, &format!("id = {}", blob(id))).await
}

/// The row of its history that says when it was booked.
pub(super) async fn booked(db: &DatabaseConnection, booking: &str) -> Result<Row, DbErr> {
    let condition = format!("booking_id = {} and state = 'booked'", blob(booking));
    first(db, "booking_event", &columns(db, "booking_event").await?, &condition).await
}

/// The alias's wrapped data key.
pub(super) async fn wrapped_key(db: &DatabaseConnection, alias: &str) -> Result<Vec<u8>, DbErr> {
    one(db, &format!("select wrapped_key from alias_key where alias_id = {}", blob(alias)))
        .await?
        .try_get_by_index(0)
}

/// Files on disk, to be searched.
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
        Self::read_all(["", "-wal", "-shm"].map(|suffix| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            path.into()
        }))
    }

    /// Reads those of the files that there are.
    pub(super) fn read_all(paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut files = Self { names: Vec::new(), bytes: 0, text: String::new(), hex: String::new() };
        for path in paths {
            match std::fs::read(&path) {
                Ok(bytes) => {
                    let name = path.file_name().unwrap_or_default();
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
        self.hold_as_is(bytes) || encoded(bytes).iter().any(|text| self.text.contains(text))
    }

    /// How many of `wanted` they hold, as [`Self::hold`] finds each, but with one look at every byte for all of them;
    /// each has eight bytes or more.
    pub(super) fn count(&self, wanted: &BTreeSet<Vec<u8>>) -> usize {
        // By how they begin, so that what is not wanted is passed by at once; as it is, they are searched for in
        // hexadecimal.
        let mut by_beginning: HashMap<[u8; 8], Vec<(&Vec<u8>, String)>> = HashMap::new();
        let mut expect = |wanted, written: String| {
            let beginning = *written.as_bytes().first_chunk().expect("eight bytes are more when encoded");
            by_beginning.entry(beginning).or_default().push((wanted, written));
        };
        for wanted in wanted {
            expect(wanted, HEXLOWER.encode(wanted));
            for written in encoded(wanted) {
                expect(wanted, written);
            }
        }
        let mut found = BTreeSet::new();
        for (text, step) in [(&self.hex, 2), (&self.text, 1)] {
            for at in (0..text.len()).step_by(step) {
                let rest = &text.as_bytes()[at..];
                let Some(expected) = rest.first_chunk().and_then(|chunk| by_beginning.get(chunk)) else {
                    continue;
                };
                let here = expected.iter().filter(|(_, written)| rest.starts_with(written.as_bytes()));
                found.extend(here.map(|(wanted, _)| *wanted));
            }
        }
        found.len()
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

/// The texts that stand for these bytes.
fn encoded(bytes: &[u8]) -> Vec<String> {
    let mut encoded = vec![HEXLOWER.encode(bytes), HEXUPPER.encode(bytes)];
    for alphabet in [BASE64_NOPAD, BASE64URL_NOPAD] {
        encoded.extend((0..3).map(|before| base64_after(&alphabet, before, bytes)));
    }
    encoded
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

/// The tables, by name.
async fn names(db: &DatabaseConnection) -> Result<Vec<String>, DbErr> {
    let sql = "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%' \
               and name <> 'seaql_migrations' order by name";
    ask(db, sql).await?.iter().map(|row| row.try_get_by_index(0)).collect()
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
) -> Result<Row, DbErr> {
    let readable: Vec<String> = columns.iter().map(|column| readable(column)).collect();
    let sql = format!("select {} from {table} where {condition} limit 1", readable.join(", "));
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
        "kek_id" | "key_id" => "key id",
        "entry" => "entry",
        "hash" | "payload_mac" | "nullifier" | "code" | "holder" | "batch" | "secret_id" => "hash",
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
    use std::collections::BTreeSet;

    use chrono::{DateTime, Utc};
    use data_encoding::{BASE64, HEXLOWER};
    use sea_orm::ConnectionTrait;

    use super::{Files, Marks, tables, values};

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
    fn many_are_counted_however_they_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let wanted: BTreeSet<Vec<u8>> =
            [*b"a canary", *b"the wren", *b"\xff\0\xfe wren", *b"a jackal"].map(Vec::from).into();
        let check = |written: &[u8], count| {
            std::fs::write(&file, [b"\xff\0", written, b"\xfe"].concat()).unwrap();
            assert_eq!(Files::read_all([file.clone()]).unwrap().count(&wanted), count, "{written:?}");
        };
        check(b"nothing", 0);
        check(b"a canary", 1);
        check(b"a canara", 0);
        check(b"a canary, a canary and the wren", 2);
        check(b"\xff\0\xfe wren", 1);
        check(HEXLOWER.encode(b"a canary").as_bytes(), 1);
        check(HEXLOWER.encode(b"a jackal").to_uppercase().as_bytes(), 1);
        for before in ["", "b", "bc", "bcd"] {
            check(BASE64.encode(format!("{before}the wren, and more").as_bytes()).as_bytes(), 1);
        }
    }

    #[tokio::test]
    async fn every_value_is_listed_once_in_its_column() {
        let db = sea_orm::Database::connect("sqlite::memory:").await.unwrap();
        db.execute_unprepared(
            "create table note (text text, data blob, number integer);
             insert into note values ('one', x'0001', 7), ('one', null, 7), ('two', x'0002', 7);
             create table empty (text text)",
        )
        .await
        .unwrap();
        let values = values(&db).await.unwrap();
        let sizes: Vec<_> = values.iter().map(|(column, values)| (column.as_str(), values.len())).collect();
        assert_eq!(sizes, [("empty.text", 0), ("note.data", 2), ("note.number", 1), ("note.text", 2)]);
        assert!(values["note.text"].contains(b"one".as_slice()));
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
