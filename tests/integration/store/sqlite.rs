//! What is to be said of a file: who may read it, and what is refused in place of it.

use std::{fs, os::unix::fs::PermissionsExt};

use chancery::store::{OpenError, Seen, Settings, Store};

use super::place::{Place, at, hash};

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let place = Place::sqlite().await;
    let store = place.open().await;
    store.probe().await.unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(place.directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    let expected = [
        "chancery.db",
        "chancery.db-shm",
        "chancery.db-wal",
        "chancery.db.lock",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn what_is_not_a_database_is_refused() {
    let place = Place::sqlite().await;
    fs::write(
        place.file(),
        "these are not the rows you are looking for".repeat(200),
    )
    .unwrap();
    let error = Store::open(&place.config, Settings::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("chancery.db") && text.contains("restore it from a copy"),
        "{text}"
    );
}

#[tokio::test]
async fn a_file_with_a_damaged_page_is_refused() {
    let place = Place::sqlite().await;
    let store = place.open().await;
    for id in 0..500 {
        let seen = store
            .replay()
            .remember("p", "s", hash(id), at(0), at(60))
            .await;
        assert_eq!(seen, Ok(Seen::Fresh));
    }
    drop(store);
    let dump = rewrite(&place, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    assert!(dump > 20 * 4096, "{dump}");
    let mut bytes = fs::read(place.file()).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    fs::write(place.file(), bytes).unwrap();
    let error = Store::open(&place.config, Settings::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_store_of_a_later_release_is_refused() {
    let place = Place::sqlite().await;
    drop(place.open().await);
    rewrite(
        &place,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'of a later release', TRUE, x'00', 0)",
    )
    .await;
    let error = Store::open(&place.config, Settings::default())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, OpenError::NewerSchema { found: 9000, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("start that release"), "{error}");
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    let mut place = Place::sqlite().await;
    let file = place.directory.path().join("not-there/chancery.db");
    place.config.location = chancery::store::Location::Sqlite(file.clone());
    let error = Store::open(&place.config, Settings::default())
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains(file.to_str().unwrap()),
        "{error}"
    );
}

/// Does something to the file that the store itself never does; says how long the file is then.
async fn rewrite(place: &Place, sql: &str) -> u64 {
    use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
    let options = SqliteConnectOptions::new().filename(place.file());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    fs::metadata(place.file()).unwrap().len()
}
