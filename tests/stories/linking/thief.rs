//! Who has stolen what both sides keep, and guesses whose sessions they were.
//!
//! Everything that could be a time or an order is taken for when passes were fetched, on the one side, and for when
//! an alias first booked, on the other; whoever fetched shortly before is named. It is not known beforehand which of
//! these things tell anything: each of one side is tried with each of the other.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    fs,
    ops::Range,
    path::Path,
};

use chrono::NaiveDate;
use data_encoding::HEXLOWER_PERMISSIVE;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

/// A table, with its rows in the order in which they lie: by `rowid` or else the key, or by `ctid`.
pub(super) struct Table {
    pub(super) name: String,
    columns: Vec<String>,
    pub(super) rows: Vec<Vec<Option<Value>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Number(i64),
    Bytes(Vec<u8>),
    Text(String),
}

/// When something was done by whom, in seconds since 1970, as one thing tells it.
pub(super) struct Trace {
    told_by: String,
    seen: Vec<(usize, i64)>,
    /// Whether the times are guessed from an order.
    guessed: bool,
}

/// How well two traces go together.
pub(super) struct Found {
    pub(super) by: String,
    /// How many aliases' workers are named, where one of several that are as likely counts for a part.
    pub(super) named: f64,
    /// Where the right workers stand among all that may be, on average: 0 is first, and 0.5 is chance.
    pub(super) rank: f64,
}

/// What is known beforehand of a side.
pub(super) struct Side {
    /// Whom bytes in a row are about.
    pub(super) who: HashMap<Vec<u8>, usize>,
    /// The year.
    pub(super) year: Range<i64>,
    /// So many, those who came last, are spread over the year; all before them came as it began.
    pub(super) spread: Option<usize>,
}

/// Every table of a database.
pub(super) async fn tables(db: &DatabaseConnection) -> Vec<Table> {
    let sqlite = db.get_database_backend() == DbBackend::Sqlite;
    let names = if sqlite {
        "select json_array(name) from sqlite_schema where type = 'table' and name not like 'sqlite%'"
    } else {
        "select json_build_array(tablename)::text from pg_tables where schemaname = 'public'"
    };
    let mut tables = Vec::new();
    for name in rows(db, names).await {
        let [Some(Value::Text(name))] = &name[..] else { panic!("a name: {name:?}") };
        let columns = if sqlite {
            format!("select json_array(name) from pragma_table_info('{name}')")
        } else {
            format!(
                "select json_build_array(attname)::text from pg_attribute
                 where attrelid = '\"{name}\"'::regclass and attnum > 0 and not attisdropped order by attnum"
            )
        };
        let columns: Vec<String> = rows(db, &columns)
            .await
            .into_iter()
            .map(|column| match &column[..] {
                [Some(Value::Text(column))] => column.clone(),
                other => panic!("a name: {other:?}"),
            })
            .collect();
        let question = if sqlite {
            let values: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
            format!("select json_array({}) from \"{name}\" not indexed", values.join(", "))
        } else {
            let values: Vec<_> = columns.iter().map(|column| format!("\"{column}\"::text")).collect();
            format!("select json_build_array({})::text from \"{name}\" order by ctid", values.join(", "))
        };
        tables.push(Table { name: name.clone(), columns, rows: rows(db, &question).await });
    }
    tables
}

/// Rows of values, each row a JSON array.
async fn rows(db: &DatabaseConnection, question: &str) -> Vec<Vec<Option<Value>>> {
    let statement = Statement::from_string(db.get_database_backend(), question);
    let rows = db.query_all_raw(statement).await.unwrap();
    let rows = rows.into_iter().map(|row| row.try_get_by_index::<String>(0).unwrap());
    rows.map(|row| {
        let row: Vec<serde_json::Value> = serde_json::from_str(&row).unwrap();
        row.iter().map(Value::read).collect()
    })
    .collect()
}

impl Value {
    /// As either engine writes it.
    fn read(json: &serde_json::Value) -> Option<Self> {
        let text = match json {
            serde_json::Value::Null => return None,
            serde_json::Value::String(text) if text == "NULL" => return None,
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let hex = text
            .strip_prefix("X'")
            .and_then(|text| text.strip_suffix('\''))
            .or_else(|| text.strip_prefix("\\x"))
            .map(str::to_owned)
            .or_else(|| (uuid::Uuid::try_parse(&text).is_ok()).then(|| text.replace('-', "")));
        if let Some(bytes) = hex.and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()) {
            return Some(Self::Bytes(bytes));
        }
        match text.parse() {
            Ok(number) => Some(Self::Number(number)),
            Err(_) => Some(Self::Text(text.trim_matches('\'').to_owned())),
        }
    }

    fn time(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => {
                let day = NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?;
                let time =
                    text.get(11..16).and_then(|time| chrono::NaiveTime::parse_from_str(time, "%H:%M").ok());
                Some(day.and_time(time.unwrap_or_default()).and_utc().timestamp())
            }
            Self::Bytes(_) => None,
        }
    }
}

/// What a hospital's database tells: its tables, and how its pages lie in the file.
pub(super) async fn of_hospital(file: &Path, side: &Side) -> Vec<Trace> {
    let db = Database::connect(format!("sqlite://{}?mode=ro", file.display())).await.unwrap();
    let mut traces = side.of_tables(&tables(&db).await);
    let [Some(Value::Number(length))] =
        rows(&db, "select json_array(page_size) from pragma_page_size").await[0][..]
    else {
        panic!("pages have a size")
    };
    let length = usize::try_from(length).unwrap();
    let bytes = fs::read(file).unwrap();
    let mut trees: HashMap<String, Vec<(usize, usize, usize)>> = HashMap::new();
    for page in rows(&db, "select json_array(name, pageno) from dbstat order by pageno").await {
        let [Some(Value::Text(tree)), Some(Value::Number(number))] = &page[..] else {
            panic!("a page: {page:?}")
        };
        let number = usize::try_from(*number).unwrap();
        let cells: Vec<usize> = bytes[length * (number - 1)..length * number]
            .windows(32)
            .filter_map(|window| side.who.get(window).copied())
            .collect();
        let cells = cells.into_iter().enumerate().map(|(lower, whom)| (lower, number, whom));
        trees.entry(tree.clone()).or_default().extend(cells);
    }
    for (tree, mut cells) in trees {
        traces.push(side.in_order(format!("the file of {tree}"), cells.iter().map(|(_, _, whom)| *whom)));
        // A page is filled from its end: what lies low came late, until the page is split and laid out anew.
        cells.sort_by_key(|(lower, page, _)| (Reverse(*lower), *page));
        traces.push(side.in_order(format!("the pages of {tree}"), cells.iter().map(|(_, _, whom)| *whom)));
    }
    distinct(traces)
}

impl Side {
    /// What tables tell: by the order of their rows, and by each of their columns.
    pub(super) fn of_tables(&self, tables: &[Table]) -> Vec<Trace> {
        let mut traces = Vec::new();
        for Table { name, columns, rows } in tables {
            let whom = |row: &[Option<Value>]| {
                row.iter().flatten().find_map(|value| match value {
                    Value::Bytes(bytes) => self.who.get(bytes).copied(),
                    Value::Number(_) | Value::Text(_) => None,
                })
            };
            let about: Vec<_> = rows.iter().filter_map(|row| Some((whom(row)?, row))).collect();
            for (at, column) in columns.iter().enumerate() {
                let values = about.iter().filter_map(|(whom, row)| Some((row[at].as_ref()?, *whom)));
                let mut values: Vec<_> = values.collect();
                let times = values.iter().map(|(value, whom)| Some((*whom, value.time()?)));
                let times: Option<Vec<_>> = times.collect();
                let told_by = format!("{name}.{column}");
                let times = times.filter(|times| times.iter().all(|(_, time)| self.around().contains(time)));
                if let Some(seen) = times {
                    traces.push(Trace { told_by, seen, guessed: false });
                    continue;
                }
                values.sort_by_key(|(value, _)| *value);
                // What is alike in all rows has no order.
                if values.first().map(|first| first.0) != values.last().map(|last| last.0) {
                    traces.push(self.in_order(told_by, values.iter().map(|(_, whom)| *whom)));
                }
            }
            traces.push(self.in_order(format!("the rows of {name}"), about.iter().map(|(whom, _)| *whom)));
        }
        distinct(traces)
    }

    /// Times of which a column that is of times has no others.
    fn around(&self) -> Range<i64> {
        let year = self.year.end - self.year.start;
        self.year.start - year..self.year.end + year
    }

    /// When that was which came in this order.
    fn in_order(&self, told_by: String, order: impl ExactSizeIterator<Item = usize>) -> Trace {
        let all = order.len();
        let late = self.spread.unwrap_or(all).min(all);
        let length = self.year.end - self.year.start;
        let when = |at: usize| match (at + late).checked_sub(all) {
            None => self.year.start,
            Some(place) => {
                self.year.start + length * i64::try_from(place).unwrap() / i64::try_from(late).unwrap()
            }
        };
        Trace { told_by, seen: order.enumerate().map(|(at, whom)| (whom, when(at))).collect(), guessed: true }
    }
}

/// One of those that tell the same order, and none that say nothing. Times are better than an order, and the earliest are
/// best: what ends, or a session, is a while after what it came of.
fn distinct(mut traces: Vec<Trace>) -> Vec<Trace> {
    traces.sort_by_key(|trace| (trace.guessed, trace.seen.iter().map(|(_, when)| *when).min()));
    let mut known = HashSet::new();
    let mut new = |trace: &Trace| {
        let mut order: Vec<_> = trace.seen.iter().map(|(whom, when)| (*when, *whom)).collect();
        order.sort_unstable();
        let differ = order.first().map(|first| first.0) != order.last().map(|last| last.0);
        let mut order: Vec<usize> = order.into_iter().map(|(_, whom)| whom).collect();
        order.dedup();
        differ && known.insert(order)
    };
    traces.into_iter().filter(|trace| new(trace)).collect()
}

/// Guesses for each of these aliases which worker it is, by each pair of traces, and says how well, the best first.
/// `sought` has aliases with their workers, to judge the guesses by.
pub(super) fn attack(issued: &[Trace], booked: &[Trace], sought: &[(usize, usize)]) -> Vec<Found> {
    let mut found = Vec::new();
    for issued in issued {
        let mut times: Vec<i64> = issued.seen.iter().map(|(_, when)| *when).collect();
        times.sort_unstable();
        let mut fetched: HashMap<usize, Vec<i64>> = HashMap::new();
        for (worker, when) in &issued.seen {
            fetched.entry(*worker).or_default().push(*when);
        }
        for booked in booked {
            let mut first: HashMap<usize, i64> = HashMap::new();
            for (alias, when) in &booked.seen {
                let first = first.entry(*alias).or_insert(*when);
                *first = (*when).min(*first);
            }
            let guesses =
                sought.iter().map(|(alias, worker)| match (first.get(alias), fetched.get(worker)) {
                    (Some(first), Some(fetched)) => guess(*first, fetched, &times),
                    // Nothing is told about them.
                    _ => (0.0, 0.5),
                });
            let (named, rank) = guesses.fold((0.0, 0.0), |sum, guess| (sum.0 + guess.0, sum.1 + guess.1));
            let by = format!("{} and {}", issued.told_by, booked.told_by);
            found.push(Found { by, named, rank: rank / super::count(sought.len()) });
        }
    }
    found.sort_by(|one, other| other.named.total_cmp(&one.named).then(one.rank.total_cmp(&other.rank)));
    found
}

/// How surely an alias that `first` booked then is taken for who fetched passes at some of these times, and how many of
/// all `times` are likelier.
fn guess(first: i64, fetched: &[i64], times: &[i64]) -> (f64, f64) {
    // Who fetches later than an alias books has hardly fetched for that; times that stem from an order are not exact.
    let far = |time: i64| if time > first { 2 * (time - first) } else { first - time };
    let own = fetched.iter().map(|time| far(*time)).min().unwrap();
    let before = |test: &dyn Fn(i64) -> bool| times.partition_point(|time| test(*time));
    let nearer = before(&|time| 2 * (time - first) < own).saturating_sub(before(&|time| time <= first - own));
    let equal = before(&|time| 2 * (time - first) <= own) - before(&|time| time < first - own) - nearer;
    let named = if nearer == 0 { 1.0 / super::count(equal) } else { 0.0 };
    (named, (super::count(nearer) + super::count(equal - 1) / 2.0) / super::count(times.len()))
}
