//! Just enough HTTP for asking and being asked on loopback: an answer a connection, as HTTP/1.0 has it.

mod get;
mod serve;

pub(crate) use get::get;
pub(crate) use serve::FileServer;
