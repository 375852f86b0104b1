//! The store: what it promises, on SQLite and on PostgreSQL alike.

mod place;
mod replay;
mod sqlite;
