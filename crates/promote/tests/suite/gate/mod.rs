//! One gate: nothing is promoted, signed, recorded or summarised unless it has passed Provenance and Validate in the same run,
//! and the plan finds everything that is owed (specification 02, *One gate*).

mod parts;
mod scene;
mod stagings;
mod table;
mod writes;
