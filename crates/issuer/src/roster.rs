//! Who is eligible, from a file that the hospital's personnel system writes (E3).
//!
//! The whole file is taken or none of it, and it is the whole truth: who is not in it
//! is not eligible from now on. No text of a file is repeated in an error: a line
//! number finds it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use chrono::NaiveDate;
use csv::{ByteRecord, ReaderBuilder, Trim};
use thiserror::Error;

use crate::{
    App, Error, Mode,
    audit::{self, Action},
    parse_day, scim,
};

const EMPLOYEE_ID: &str = "employee_id";
const ACTIVE_FROM: &str = "active_from";
const ACTIVE_UNTIL: &str = "active_until";

/// A file may be as large as this.
pub const MOST_BYTES: usize = 16 << 20;
const MOST_ROWS: usize = 200_000;
const LONGEST_ID: usize = 64;

/// The rows of a file, each of them sound, and no worker twice.
#[derive(Clone, PartialEq, Eq)]
pub struct Roster(Vec<Row>);

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: u64,
    pub(crate) employee_id: String,
    active_from: NaiveDate,
    active_until: Option<NaiveDate>,
}

/// What an import did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// How many workers there are now.
    pub workers: usize,
    /// How many of them may ask for passes today.
    pub eligible_today: usize,
    /// How many were not there before.
    pub added: usize,
    /// How many were there before, and are no longer.
    pub removed: usize,
}

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RosterError {
    /// Larger than any roster.
    #[error("larger than {} MiB", MOST_BYTES >> 20)]
    TooLarge,
    /// More workers than any hospital has.
    #[error("more than {MOST_ROWS} rows")]
    TooManyRows,
    /// The first line must name this column, once.
    #[error("the first line does not name the column {0} exactly once; separate columns by commas")]
    Header(&'static str),
    /// Some rows are wrong.
    #[error("{0}")]
    Rows(RowProblems),
}

/// Rows that are wrong, by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowProblems(Vec<(u64, RowProblem)>);

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RowProblem {
    /// It ends too early, or goes on.
    #[error("has {found} columns instead of {expected}")]
    Columns {
        /// As many as the first line has.
        expected: usize,
        /// As many as it has.
        found: usize,
    },
    /// Saved in another encoding.
    #[error("is not UTF-8 in {0}")]
    Encoding(&'static str),
    /// An id is a letter or digit, and then more of them, or one of `-_./@`: so that none is a formula to a spreadsheet.
    #[error(
        "has an employee_id that is not 1 to 64 letters, digits and - _ . / @, beginning with a letter or digit"
    )]
    Id,
    /// Not a date.
    #[error("has no date such as 2026-12-31 in {0}")]
    Date(&'static str),
    /// It ends before it begins.
    #[error("has an active_until before its active_from")]
    Reversed,
    /// The worker is there twice.
    #[error("has the employee_id of line {first}")]
    Duplicate {
        /// Where it was first.
        first: u64,
    },
    /// Codes are for those who were imported.
    #[error("has an employee_id that was not imported")]
    NotImported,
}

impl Roster {
    /// Reads a file. Columns are found by their names; others than ours are not looked at.
    pub fn parse(file: &[u8]) -> Result<Self, RosterError> {
        if file.len() > MOST_BYTES {
            return Err(RosterError::TooLarge);
        }
        let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(file);
        let header = reader.byte_headers().map_err(|_| RosterError::Header(EMPLOYEE_ID))?.clone();
        let [id, from, until] =
            [column(&header, EMPLOYEE_ID)?, column(&header, ACTIVE_FROM)?, column(&header, ACTIVE_UNTIL)?];

        let (mut rows, mut problems) = (Vec::new(), RowProblems::default());
        let (mut lines, mut seen) = (Lines { file, read: 0, line: 1 }, HashMap::new());
        for record in reader.into_byte_records() {
            // What is read from memory does not fail, and no length is wrong to a flexible reader.
            let Ok(record) = record else { continue };
            if rows.len() == MOST_ROWS {
                return Err(RosterError::TooManyRows);
            }
            let line = lines.at(record.position().map_or(0, csv::Position::byte));
            let row = if record.len() == header.len() {
                row(line, &record[id], &record[from], &record[until])
            } else {
                Err(RowProblem::Columns { expected: header.len(), found: record.len() })
            };
            let row = row.and_then(|row| match seen.insert(row.employee_id.clone(), line) {
                Some(first) => Err(RowProblem::Duplicate { first }),
                None => Ok(row),
            });
            match row {
                Ok(row) => rows.push(row),
                Err(problem) => problems.add(line, problem),
            }
        }
        if problems.0.is_empty() { Ok(Self(rows)) } else { Err(RosterError::Rows(problems)) }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.0
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roster({} rows)", self.0.len())
    }
}

/// Makes the roster the truth, or says what that would change.
pub async fn import(app: &App, roster: &Roster, dry_run: bool) -> Result<Imported, Error> {
    app.expect_mode(Mode::Roster)?;
    let mut transaction = app.db.write().await?;
    scim::expect_off(&mut transaction).await?;
    let before: Vec<Vec<u8>> =
        sqlx::query_scalar("select worker from worker").fetch_all(&mut *transaction).await?;
    let mut gone: HashSet<Vec<u8>> = before.into_iter().collect();

    sqlx::query("delete from worker").execute(&mut *transaction).await?;
    let mut added = 0;
    for Row { line: _, employee_id, active_from, active_until } in roster.rows() {
        let worker = app.secret.worker(employee_id);
        added += usize::from(!gone.remove(&worker[..]));
        sqlx::query("insert into worker (worker, active_from, active_until) values (?, ?, ?)")
            .bind(&worker[..])
            .bind(active_from)
            .bind(active_until)
            .execute(&mut *transaction)
            .await?;
    }
    let today = app.clock.today();
    let active = |row: &&Row| row.active_from <= today && row.active_until.is_none_or(|until| today <= until);
    let imported = Imported {
        workers: roster.rows().len(),
        eligible_today: roster.rows().iter().filter(active).count(),
        added,
        removed: gone.len(),
    };
    if !dry_run {
        let Imported { workers, added, removed, .. } = imported;
        let action = Action::Imported { workers, added, removed };
        audit::append(&mut transaction, app.clock.now(), &action).await?;
        transaction.commit().await?;
    }
    Ok(imported)
}

impl RowProblems {
    pub(crate) fn add(&mut self, line: u64, problem: RowProblem) {
        self.0.push((line, problem));
    }

    pub(crate) fn none_or_error(self) -> Result<(), RosterError> {
        if self.0.is_empty() { Ok(()) } else { Err(RosterError::Rows(self)) }
    }
}

/// As many lines as help: a file in the wrong form is wrong in every line.
impl fmt::Display for RowProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 100;
        write!(f, "nothing was changed, since {} of its rows are wrong:", self.0.len())?;
        for (line, problem) in self.0.iter().take(SHOWN) {
            write!(f, "\n  line {line} {problem}")?;
        }
        match self.0.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => write!(f, "\n  and {more} more"),
            _ => Ok(()),
        }
    }
}

fn column(header: &ByteRecord, name: &'static str) -> Result<usize, RosterError> {
    let mut found =
        header.iter().enumerate().filter(|(_, field)| *field == name.as_bytes()).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        _ => Err(RosterError::Header(name)),
    }
}

/// Counts lines as an editor does. To the reader, a row begins where the one before ended: in front of the line feed
/// that follows a carriage return, and of empty lines.
struct Lines<'a> {
    file: &'a [u8],
    read: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the row that begins at `byte`, which is after those asked for before.
    fn at(&mut self, byte: u64) -> u64 {
        let rest = self.file.get(self.read..).unwrap_or_default();
        let ahead = usize::try_from(byte).map_or(0, |byte| byte.saturating_sub(self.read));
        let breaks = rest.iter().skip(ahead).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = &rest[..rest.len().min(ahead + breaks)];
        self.line += passed.iter().filter(|byte| **byte == b'\n').map(|_| 1).sum::<u64>();
        self.read += passed.len();
        self.line
    }
}

fn row(line: u64, id: &[u8], from: &[u8], until: &[u8]) -> Result<Row, RowProblem> {
    let employee_id = text(id, EMPLOYEE_ID)?;
    if !is_employee_id(employee_id) {
        return Err(RowProblem::Id);
    }
    let active_from = parse_day(text(from, ACTIVE_FROM)?).ok_or(RowProblem::Date(ACTIVE_FROM))?;
    let active_until = match text(until, ACTIVE_UNTIL)? {
        "" => None,
        until => Some(parse_day(until).ok_or(RowProblem::Date(ACTIVE_UNTIL))?),
    };
    if active_until.is_some_and(|until| until < active_from) {
        return Err(RowProblem::Reversed);
    }
    Ok(Row { line, employee_id: employee_id.to_owned(), active_from, active_until })
}

/// Whether a staff number has the form that every source gives it.
pub(crate) fn is_employee_id(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(char::is_alphanumeric)
        && letters.all(|c| c.is_alphanumeric() || "-_./@".contains(c))
        && text.len() <= LONGEST_ID
}

fn text<'a>(field: &'a [u8], name: &'static str) -> Result<&'a str, RowProblem> {
    str::from_utf8(field).map_err(|_| RowProblem::Encoding(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "employee_id,active_from,active_until\n";

    fn ids(file: &[u8]) -> Result<Vec<(u64, String)>, RosterError> {
        Roster::parse(file)
            .map(|Roster(rows)| rows.into_iter().map(|row| (row.line, row.employee_id)).collect())
    }

    #[test]
    fn a_sound_file_is_read_whatever_program_wrote_it() {
        let check = |file: &str, expected: &[(u64, &str)]| {
            let expected = expected.iter().map(|(line, id)| (*line, (*id).to_owned())).collect();
            assert_eq!(ids(file.as_bytes()), Ok(expected), "{file}");
        };
        check(HEADER, &[]);
        check(
            "employee_id,active_from,active_until\nN-1,2026-01-01,\nN-2,2026-01-01,2026-12-31\n",
            &[(2, "N-1"), (3, "N-2")],
        );
        check("employee_id,active_from,active_until\r\nN-1,2026-01-01,\r\n", &[(2, "N-1")]);
        check("\u{feff}employee_id,active_from,active_until\nN-1,2026-01-01,", &[(2, "N-1")]);
        check(" employee_id , active_from,active_until\n N-1 , 2026-01-01 , \n", &[(2, "N-1")]);
        check(
            "\"employee_id\",\"active_from\",\"active_until\"\n\"N-1\",\"2026-01-01\",\"\"\n",
            &[(2, "N-1")],
        );
        check(
            "name,active_until,employee_id,active_from\n\"Doe,\nJane\",,N-1,2026-01-01\nx,,N-2,2026-01-01\n",
            &[(2, "N-1"), (4, "N-2")],
        );
        check(
            "employee_id,active_from,active_until\n\n\nnäß.7/b@x_y,2026-01-01,2026-01-01\n",
            &[(4, "näß.7/b@x_y")],
        );
    }

    #[test]
    fn a_file_with_one_wrong_row_is_refused_by_its_line() {
        let check = |row: &[u8], problem| {
            let file = [HEADER.as_bytes(), b"N-1,2026-01-01,\n", row, b"\nN-3,2026-01-01,\n"].concat();
            assert_eq!(ids(&file), Err(RosterError::Rows(RowProblems(vec![(3, problem)]))), "{row:?}");
        };
        let columns = |found| RowProblem::Columns { expected: 3, found };
        check(b"N-2,2026-01-01", columns(2));
        check(b"N-2", columns(1));
        check(b"N-2,2026-01-01,,", columns(4));
        check(b"N-2;2026-01-01;", columns(1));
        check(b",2026-01-01,", RowProblem::Id);
        check(b"=SUM(A1),2026-01-01,", RowProblem::Id);
        check(b"-1,2026-01-01,", RowProblem::Id);
        check(b"@x,2026-01-01,", RowProblem::Id);
        check(b"N 2,2026-01-01,", RowProblem::Id);
        check(b"N\x002,2026-01-01,", RowProblem::Id);
        check("N\u{202e}2,2026-01-01,".as_bytes(), RowProblem::Id);
        check(&[&[b'N'; 65][..], b",2026-01-01,"].concat(), RowProblem::Id);
        check(b"N\xff,2026-01-01,", RowProblem::Encoding("employee_id"));
        check(b"N-2,\xff,", RowProblem::Encoding("active_from"));
        check(b"N-2,2026-01-01,\xff", RowProblem::Encoding("active_until"));
        check(b"N-2,,", RowProblem::Date("active_from"));
        check(b"N-2,01.01.2026,", RowProblem::Date("active_from"));
        check(b"N-2,2026-1-1,", RowProblem::Date("active_from"));
        check(b"N-2,2026-02-29,", RowProblem::Date("active_from"));
        check(b"N-2,+2026-01-01,", RowProblem::Date("active_from"));
        check(b"N-2,2026-01-01T00:00,", RowProblem::Date("active_from"));
        check(b"N-2,2026-01-01,never", RowProblem::Date("active_until"));
        check(b"N-2,2026-01-02,2026-01-01", RowProblem::Reversed);
        check(b"N-1,2027-01-01,", RowProblem::Duplicate { first: 2 });
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        let check = |file: &[u8], expected| assert_eq!(ids(file), Err(expected), "{file:?}");
        check(b"", RosterError::Header("employee_id"));
        check(b"N-1,2026-01-01,\n", RosterError::Header("employee_id"));
        check(b"employee_id;active_from;active_until\n", RosterError::Header("employee_id"));
        check(b"employee_id,active_until\n", RosterError::Header("active_from"));
        check(b"employee_id,active_from,active_until,active_until\n", RosterError::Header("active_until"));
        check(b"Employee_ID,active_from,active_until\n", RosterError::Header("employee_id"));
        check(&vec![b'a'; MOST_BYTES + 1], RosterError::TooLarge);
        // One quote that is never closed swallows the rest of the file, and nothing is taken.
        let problem = RowProblem::Columns { expected: 3, found: 1 };
        check(
            b"employee_id,active_from,active_until\n\"N-1,2026-01-01,\nN-2,2026-01-01,\n",
            RosterError::Rows(RowProblems(vec![(2, problem)])),
        );
    }

    #[test]
    fn more_rows_than_any_hospital_has_are_refused() {
        use std::fmt::Write;
        let mut file = HEADER.to_owned();
        for id in 0..=MOST_ROWS {
            writeln!(file, "{id},2026-01-01,").unwrap();
        }
        assert_eq!(ids(file.as_bytes()), Err(RosterError::TooManyRows));
    }

    #[test]
    fn a_report_tells_lines_and_reasons_and_nothing_of_the_file() {
        let file = format!("{HEADER}{}", "canary,canary,canary\n".repeat(103));
        let report = Roster::parse(file.as_bytes()).unwrap_err().to_string();
        assert!(report.contains("103 of its rows") && report.contains("and 3 more"), "{report}");
        assert!(report.contains("line 2 has no date such as 2026-12-31 in active_from"), "{report}");
        assert!(!report.contains("canary"), "{report}");
    }

    proptest! {
        /// Whatever comes is read or refused, and what is read is what a second reading of the same rows gives.
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(prop_oneof![Just(b','), Just(b'\n'), Just(b'"'), Just(b'1'), any::<u8>()], 0..200),
            headed: bool,
        ) {
            let file = if headed { [HEADER.as_bytes(), &bytes].concat() } else { bytes };
            let _ = Roster::parse(&file);
        }

        #[test]
        fn sound_rows_are_all_read(ids in prop::collection::btree_set("[A-Za-z0-9][A-Za-z0-9._/@-]{0,20}", 0..20)) {
            let rows: Vec<_> = ids.iter().map(|id| format!("{id},2026-01-01,\n")).collect();
            let read = Roster::parse((HEADER.to_owned() + &rows.concat()).as_bytes()).unwrap();
            prop_assert!(read.rows().iter().map(|row| &row.employee_id).eq(ids.iter()));
        }
    }
}
