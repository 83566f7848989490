//! Promotions with signatures and attestations on a real Sigstore, checked with cosign; and cosign's signatures, checked with
//! kpromo.

mod attested;
mod repaired;
mod scanned;
mod signed;
mod world;
