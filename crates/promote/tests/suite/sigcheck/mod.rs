//! `kpromo sigcheck` against embedded registries: what is found, what is repaired, and with which requests.

mod damage;
mod heal;
mod scene;
mod subjects;
mod verdicts;
