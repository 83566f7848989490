//! `kpromo snapshot` and the snapshots of `kpromo cip` as a user runs them: bytes, exit codes and requests.

mod comparing;
mod declared;
mod external;
mod listing;
mod memory;
mod proof;
mod scene;
mod unreadable;
