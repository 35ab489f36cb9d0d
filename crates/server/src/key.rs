//! The server's key file: found, or made beside a new embedded database.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use store::{Db, Opaque, alias_key};
use thiserror::Error;
use vault::{Keyring, KeyringError};

use crate::config::Config;

/// Why there is no usable key. It never repeats what is in the file.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file is missing or closed to this process.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file could not be made.
    #[error("{} cannot be made: {source}", path.display())]
    Unwritable {
        /// The key file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another command is at it, or was cut off.
    #[error("{} is there: another command changes the key, or one was cut off; if none runs, delete it", path.display())]
    Begun {
        /// What is to become the key file.
        path: PathBuf,
    },
    /// The file is not a key file.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyringError,
    },
    /// A new key would open nothing that is in the database.
    #[error("{} exists, but its key {} does not: put the key back", database.display(), key.display())]
    Lost {
        /// The embedded database.
        database: PathBuf,
        /// Where its key was.
        key: PathBuf,
    },
    /// Servers that share a database must be given their key.
    #[error("PostgreSQL needs key_file")]
    NotProvided,
}

/// Where the key is, or will be made.
pub fn path(config: &Config) -> Result<PathBuf, KeyError> {
    let beside_database = || config.database.url.sqlite_path().map(|path| path.with_extension("key"));
    config.provided_key_file().or_else(beside_database).ok_or(KeyError::NotProvided)
}

/// Reads the key, which is made first if the embedded database is new and nobody provides one.
pub fn load(config: &Config) -> Result<Keyring, KeyError> {
    let path = path(config)?;
    let new = match config.database.url.sqlite_path() {
        Some(_) if config.provided_key_file().is_some() || path.exists() => false,
        Some(database) if database.exists() => {
            return Err(KeyError::Lost { database: database.to_owned(), key: path });
        }
        found => found.is_some(),
    };
    if new {
        make(&path)?;
    }
    let text = fs::read_to_string(&path)
        .map(zeroize::Zeroizing::new)
        .map_err(|source| KeyError::Unreadable { path: path.clone(), source })?;
    Keyring::parse(&text).map_err(|source| KeyError::Malformed { path, source })
}

/// Replaces the key file by one that says what `keyring` says; at no moment is there half of it, or none, and one command
/// at a time does so.
pub fn replace(path: &Path, keyring: &Keyring) -> Result<(), KeyError> {
    let new = path.with_extension("new");
    let replace = || {
        let was = fs::metadata(path)?;
        write_secret(&new, &keyring.to_text())?;
        // The server may run as somebody else than who rotates its key.
        chown(&new, Some(was.uid()), Some(was.gid()))?;
        fs::rename(&new, path)?;
        keep_name(path)
    };
    replace().map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Begun { path: new.clone() },
        _ => KeyError::Unwritable { path: path.to_owned(), source },
    })
}

/// How many aliases have something sealed that was sealed under a key that is not in the file.
pub async fn cannot_open(keyring: &Keyring, db: &Db) -> Result<u64, store::Error> {
    let known = keyring.kek_ids().map(|id| Opaque(id.to_vec()));
    let others = alias_key::Column::KekId.is_not_in(known);
    Ok(alias_key::Entity::find().filter(others).count(db.read()).await?)
}

/// Makes a new key in a file that only this user can read; a file that is there is left alone.
pub fn make(path: &Path) -> Result<(), KeyError> {
    write_secret(path, &Keyring::generate().to_text())
        .map_err(|source| KeyError::Unwritable { path: path.to_owned(), source })
}

/// Writes a new file that only this user can read, and has it on disk when it returns.
pub fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    keep_name(path)
}

/// Has what a file is called on disk, too, which is its folder's to know.
fn keep_name(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Whether others than the file's owner can read or change it.
pub fn is_open_to_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{KeyError, is_open_to_others, load, path, replace};
    use crate::config::Config;

    fn config(directory: &std::path::Path) -> Config {
        let database = directory.join("respite.db");
        Config::parse("test", &format!("[database]\nurl = \"sqlite://{}\"", database.display())).unwrap()
    }

    #[test]
    fn a_new_database_gets_a_key_that_only_its_owner_reads() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let made = load(&config).unwrap().kek_id();
        assert_eq!(path(&config).unwrap(), directory.path().join("respite.key"));
        assert!(!is_open_to_others(&path(&config).unwrap()).unwrap());
        fs::write(directory.path().join("respite.db"), "rows").unwrap();
        assert_eq!(load(&config).unwrap().kek_id(), made);
    }

    #[test]
    fn a_database_whose_key_is_lost_does_not_get_another() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("respite.db"), "rows").unwrap();
        assert!(matches!(load(&config(directory.path())), Err(KeyError::Lost { .. })));
        assert!(!directory.path().join("respite.key").exists());
    }

    #[test]
    fn a_provided_key_is_never_made() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = config(directory.path());
        config.key_file = Some(directory.path().join("provided.key"));
        assert!(matches!(load(&config), Err(KeyError::Unreadable { .. })));
    }

    #[test]
    fn a_replacement_that_was_begun_is_told_of_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let mut keyring = load(&config).unwrap();
        let (before, begun) = (keyring.kek_id(), directory.path().join("respite.new"));
        fs::write(&begun, "half a key").unwrap();
        let next = keyring.rotate();
        let refused = replace(&path(&config).unwrap(), &keyring).unwrap_err();
        assert!(refused.to_string().contains("respite.new is there"), "{refused}");
        assert_eq!(
            (load(&config).unwrap().kek_id(), fs::read(&begun).unwrap()),
            (before, b"half a key".to_vec())
        );
        fs::remove_file(&begun).unwrap();
        replace(&path(&config).unwrap(), &keyring).unwrap();
        assert_eq!(load(&config).unwrap().kek_id(), next);
        assert!(!begun.exists() && !is_open_to_others(&path(&config).unwrap()).unwrap());
    }

    #[test]
    fn an_error_does_not_repeat_the_file() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("respite.key"), "canary").unwrap();
        let error = load(&config(directory.path())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
