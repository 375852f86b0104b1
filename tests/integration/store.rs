//! The store: what it promises, on SQLite and on PostgreSQL alike.

pub mod faults;
mod idempotency;
mod killed;
mod lifecycle;
mod place;
pub mod postgres;
mod proposals;
mod quota;
mod replay;
mod secured;
mod sqlite;
mod unreadable;
