//! The table of the specification's section *Registries as they are*. Each row is a run between embedded registries, one of
//! which has the quirk of the row.

mod authentication;
mod line;
mod reading;
mod row;
mod table;
mod writing;
