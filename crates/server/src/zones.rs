//! Which zone rules are in force (T6): the newest of those built in, the system's and a configured folder's.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use calendar::Rules;
use thiserror::Error;

/// Where systems keep their compiled tz database.
pub const SYSTEM_DIRECTORY: &str = "/usr/share/zoneinfo";

/// The rules in force, and what each source had to offer.
#[derive(Debug)]
pub struct Zones {
    /// The newest.
    pub in_force: Rules,
    /// In the order in which they were asked: built in, the system's, the configured folder's.
    pub sources: Vec<Source>,
}

/// A place that may hold zone rules.
#[derive(Debug)]
pub struct Source {
    /// In words.
    pub name: String,
    /// Its version.
    pub version: Result<Version, ZonesError>,
}

/// A release of the tz database, such as `2026e`; the later one is greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(String);

/// Why a folder's rules cannot be used.
#[derive(Debug, Error)]
pub enum ZonesError {
    /// There is no such folder, or it is closed to this process.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Neither `tzdata.zi` nor `+VERSION` says which release it is.
    #[error("{} says its version neither in tzdata.zi nor in +VERSION", path.display())]
    Unversioned {
        /// The folder.
        path: PathBuf,
    },
    /// It calls itself the newest, yet zones are missing.
    #[error("{} holds {found} zones only", path.display())]
    Incomplete {
        /// The folder.
        path: PathBuf,
        /// How many could be read.
        found: usize,
    },
}

/// Asks every source, and reads the files of those alone that are newer than what is built in.
///
/// A system without rules is fine; a configured folder without them is not.
pub fn load(configured: Option<&Path>) -> Result<Zones, ZonesError> {
    let built_in = Rules::compiled_in();
    let mut sources =
        vec![Source { name: "built in".to_owned(), version: Ok(Version(built_in.version().to_owned())) }];
    let mut candidates = vec![built_in.clone()];

    let system = Path::new(SYSTEM_DIRECTORY);
    for directory in [Some(system), configured].into_iter().flatten() {
        let offered = version_of(directory);
        let offered = match offered {
            Ok(version) if version.0.as_str() > built_in.version() => {
                read(directory, &version).map(|rules| {
                    candidates.push(rules);
                    version
                })
            }
            other => other,
        };
        match offered {
            Err(error) if directory != system => return Err(error),
            offered => sources.push(Source { name: directory.display().to_string(), version: offered }),
        }
    }
    let in_force = Rules::newest(candidates).unwrap_or(built_in);
    Ok(Zones { in_force, sources })
}

impl Version {
    /// A year and letters.
    fn parse(text: &str) -> Option<Self> {
        let (year, letters) = text.split_at_checked(4)?;
        let known = year.bytes().all(|byte| byte.is_ascii_digit())
            && !letters.is_empty()
            && letters.bytes().all(|byte| byte.is_ascii_lowercase());
        known.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fewer zones than any complete build of the tz database has.
const COMPLETE: usize = 300;
/// The largest zone file there is takes 4 KiB.
const LARGEST_ZONE: u64 = 64 * 1024;
/// `America/Argentina/Buenos_Aires` is the deepest a name goes.
const DEEPEST: usize = 3;

fn version_of(directory: &Path) -> Result<Version, ZonesError> {
    fs::read_dir(directory)
        .map_err(|source| ZonesError::Unreadable { path: directory.to_owned(), source })?;
    let first_line = |file: &str| {
        let mut line = String::new();
        let file = fs::File::open(directory.join(file)).ok()?;
        BufReader::new(file.take(100)).read_line(&mut line).ok()?;
        Some(line)
    };
    let from_source = first_line("tzdata.zi").and_then(|line| {
        let version = line.strip_prefix("# version ")?.trim();
        Version::parse(version)
    });
    from_source
        .or_else(|| first_line("+VERSION").and_then(|line| Version::parse(line.trim())))
        .ok_or_else(|| ZonesError::Unversioned { path: directory.to_owned() })
}

fn read(directory: &Path, version: &Version) -> Result<Rules, ZonesError> {
    let mut zones = Vec::new();
    collect(directory, "", 1, &mut zones)?;
    let rules = Rules::from_tzif(directory.display().to_string(), version.0.clone(), zones);
    let found = rules.names().count();
    if found < COMPLETE {
        return Err(ZonesError::Incomplete { path: directory.to_owned(), found });
    }
    Ok(rules)
}

fn collect(
    directory: &Path,
    prefix: &str,
    depth: usize,
    zones: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), ZonesError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| ZonesError::Unreadable { path, source }
    };
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        // `posix` and `right` repeat every zone, the latter with leap seconds.
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if depth == 1 && matches!(name, "posix" | "right") {
            continue;
        }
        let name = format!("{prefix}{name}");
        let described = fs::metadata(&path).map_err(unreadable(&path))?;
        if described.is_dir() {
            if depth < DEEPEST {
                collect(&path, &format!("{name}/"), depth + 1, zones)?;
            }
        } else if described.len() <= LARGEST_ZONE {
            let data = fs::read(&path).map_err(unreadable(&path))?;
            if data.starts_with(b"TZif") {
                zones.push((name, data));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Rules, Version, ZonesError, load, read, version_of};

    #[test]
    fn a_version_is_a_year_and_letters() {
        for (text, known) in
            [("2026e", true), ("2026za", true), ("2026", false), ("unknown", false), ("2026E", false)]
        {
            assert_eq!(Version::parse(text).is_some(), known, "{text}");
        }
    }

    #[test]
    fn t6_the_version_is_read_from_either_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(matches!(version_of(path), Err(ZonesError::Unversioned { .. })));
        fs::write(path.join("+VERSION"), "2024b\n").unwrap();
        assert_eq!(version_of(path).unwrap().to_string(), "2024b");
        fs::write(path.join("tzdata.zi"), "# version 2026f\n# redo posix_only\nR d 1916 o\n").unwrap();
        assert_eq!(version_of(path).unwrap().to_string(), "2026f");
    }

    #[test]
    fn t6_older_rules_than_those_built_in_are_listed_and_not_read() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("+VERSION"), "1999a").unwrap();
        let zones = load(Some(directory.path())).unwrap();
        assert!(zones.in_force.version() >= Rules::compiled_in().version());
        let last = zones.sources.last().unwrap();
        assert_eq!(last.version.as_ref().unwrap().to_string(), "1999a");
    }

    #[test]
    fn t6_newer_rules_with_missing_zones_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("+VERSION"), "2999a").unwrap();
        fs::write(directory.path().join("leapseconds"), "no zone").unwrap();
        assert!(matches!(load(Some(directory.path())), Err(ZonesError::Incomplete { found: 0, .. })));
        assert!(load(Some(&directory.path().join("missing"))).is_err());
    }

    #[test]
    fn t6_newer_rules_win() {
        let directory = tempfile::tempdir().unwrap();
        let nested = directory.path().join("America/Argentina");
        fs::create_dir_all(&nested).unwrap();
        fs::create_dir_all(directory.path().join("right")).unwrap();
        // The smallest zone: version 1, no transition, one local time type of offset 0 called UTC.
        let mut zone = b"TZif".to_vec();
        zone.extend([0; 16]);
        for count in [0_u32, 0, 0, 0, 1, 4] {
            zone.extend(count.to_be_bytes());
        }
        zone.extend([0, 0, 0, 0, 0, 0]);
        zone.extend(b"UTC\0");
        for index in 0..400 {
            fs::write(directory.path().join(format!("Zone{index}")), &zone).unwrap();
        }
        fs::write(nested.join("Buenos_Aires"), &zone).unwrap();
        fs::write(directory.path().join("right/UTC"), &zone).unwrap();
        fs::write(directory.path().join("+VERSION"), "2999a").unwrap();

        let zones = load(Some(directory.path())).unwrap();
        assert_eq!(zones.in_force.version(), "2999a");
        let rules = read(directory.path(), &Version("2999a".to_owned())).unwrap();
        assert_eq!(rules.names().count(), 401);
        assert!(rules.zone("America/Argentina/Buenos_Aires").is_some());
        assert!(rules.zone("right/UTC").is_none());
    }
}
