//! Activation codes: what a worker types to get the passes of each period.
//!
//! Only their hashes are kept. A code is shown once, when it is made.

use std::collections::HashMap;
use std::fmt;

use chrono::NaiveDate;
use zeroize::Zeroizing;

use crate::{
    App, Error, Mode,
    audit::{self, Action},
    roster::{Roster, RowProblem, RowProblems},
};

/// Crockford's base 32: no letter that is taken for a digit, nor a U, which makes words of it.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Of five bits each: a hundred.
const SYMBOLS: usize = 20;
const GROUP: usize = 5;
/// What anybody types instead of it is no longer.
const LONGEST_TYPED: usize = 64;

/// A right to one batch of passes in each period.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<[u8; SYMBOLS]>);

/// A worker's new code, for the letter that brings it.
#[derive(Clone, PartialEq, Eq)]
pub struct WorkerCode {
    /// Whose it is.
    pub employee_id: String,
    /// What to print.
    pub code: Code,
}

/// Makes codes that belong to nobody: cards, sealed and drawn from a box. Whoever takes one is not known, so it can't
/// be taken back from who leaves: it ends by itself after `last_day`.
pub async fn make_cards(app: &App, count: u32, last_day: NaiveDate) -> Result<Vec<Code>, Error> {
    app.expect_mode(Mode::Cards)?;
    if last_day < app.clock.today() {
        return Err(Error::Past { day: last_day });
    }
    let codes: Vec<Code> = (0..count).map(|_| Code::generate()).collect();
    let mut transaction = app.db.write().await?;
    for code in &codes {
        sqlx::query("insert into code (code, last_day) values (?, ?)")
            .bind(&app.secret.code(code)[..])
            .bind(last_day)
            .execute(&mut *transaction)
            .await?;
    }
    audit::append(&mut transaction, app.clock.now(), &Action::CardsMade { count, last_day }).await?;
    transaction.commit().await?;
    Ok(codes)
}

/// Makes a code for each worker of `roster` who has none, or, to `replace` what was lost, for each. All of them must
/// have been imported: this list may be a part of that one.
pub async fn make_for_roster(app: &App, roster: &Roster, replace: bool) -> Result<Vec<WorkerCode>, Error> {
    app.expect_mode(Mode::Roster)?;
    let mut transaction = app.db.write().await?;
    let known: Vec<(Vec<u8>, bool)> = sqlx::query_as(
        "select worker.worker, code.code is not null from worker left join code on code.worker = worker.worker",
    )
    .fetch_all(&mut *transaction)
    .await?;
    let has_code: HashMap<Vec<u8>, bool> = known.into_iter().collect();

    let (mut made, mut replaced, mut problems) = (Vec::new(), 0, RowProblems::default());
    for row in roster.rows() {
        let worker = app.secret.worker(&row.employee_id);
        match has_code.get(&worker[..]) {
            None => problems.add(row.line, RowProblem::NotImported),
            Some(true) if !replace => {}
            Some(has_code) => {
                let code = Code::generate();
                sqlx::query(
                    "insert into code (code, worker) values (?, ?) on conflict (worker) do update set code = excluded.code",
                )
                .bind(&app.secret.code(&code)[..])
                .bind(&worker[..])
                .execute(&mut *transaction)
                .await?;
                replaced += usize::from(*has_code);
                made.push(WorkerCode { employee_id: row.employee_id.clone(), code });
            }
        }
    }
    problems.none_or_error()?;
    let action = Action::CodesMade { count: made.len(), replaced };
    audit::append(&mut transaction, app.clock.now(), &action).await?;
    transaction.commit().await?;
    Ok(made)
}

impl Code {
    pub(crate) fn generate() -> Self {
        let mut symbols = Zeroizing::new([0; SYMBOLS]);
        getrandom::fill(symbols.as_mut()).expect("the operating system has randomness to give");
        for symbol in symbols.iter_mut() {
            *symbol = ALPHABET[usize::from(*symbol % 32)];
        }
        Self(symbols)
    }

    /// Reads what somebody typed from a card.
    pub fn parse(typed: &str) -> Option<Self> {
        if typed.len() > LONGEST_TYPED {
            return None;
        }
        let mut symbols = Zeroizing::new([0; SYMBOLS]);
        let mut length = 0;
        for typed in typed.bytes().filter(|typed| !matches!(typed, b'-' | b' ')) {
            let symbol = match typed.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            if !ALPHABET.contains(&symbol) {
                return None;
            }
            *symbols.get_mut(length)? = symbol;
            length += 1;
        }
        (length == SYMBOLS).then_some(Self(symbols))
    }

    /// As it is printed.
    pub fn to_text(&self) -> Zeroizing<String> {
        let groups = self.0.chunks(GROUP).map(|group| str::from_utf8(group).expect("symbols are ASCII"));
        Zeroizing::new(groups.collect::<Vec<_>>().join("-"))
    }

    pub(crate) fn symbols(&self) -> &[u8; SYMBOLS] {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

impl fmt::Debug for WorkerCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ALPHABET, Code};

    #[test]
    fn a_code_is_read_as_people_type() {
        let check = |typed: &str, expected: Option<&str>| {
            assert_eq!(
                Code::parse(typed).map(|code| code.to_text().to_string()).as_deref(),
                expected,
                "{typed}"
            );
        };
        let printed = Some("01234-56789-ABCDE-FGHJK");
        check("01234-56789-ABCDE-FGHJK", printed);
        check("01234 56789 abcde fghjk", printed);
        check("  0123456789abcdefghjk  ", printed);
        check("OI234-56789-ABCDE-FGHJK", printed);
        check("oL234-56789-ABCDE-FGHJK", printed);
        check("01234-56789-ABCDE-FGHJ", None);
        check("01234-56789-ABCDE-FGHJKM", None);
        check("01234-56789-ABCDE-FGHJU", None);
        check("01234-56789-ABCDE-FGHJ\u{212a}", None);
        check(&format!("01234-56789-ABCDE-FGHJK{}", " ".repeat(60)), None);
        check("", None);
    }

    #[test]
    fn codes_use_all_of_the_alphabet_and_never_repeat() {
        let codes: std::collections::HashSet<_> = (0..1000).map(|_| *Code::generate().symbols()).collect();
        assert_eq!(codes.len(), 1000);
        for symbol in ALPHABET {
            assert!(codes.iter().any(|symbols| symbols.contains(symbol)));
        }
    }

    proptest! {
        #[test]
        fn anything_typed_is_refused_or_read_as_what_is_printed(typed in "[0-9A-Za-z -]{18,26}|\\PC{0,80}") {
            if let Some(code) = Code::parse(&typed) {
                prop_assert_eq!(Code::parse(&code.to_text()), Some(code));
            }
        }
    }
}
