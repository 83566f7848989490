//! Signs and records images: the content to attach, and the parts that are already attached (`docs/design/signing.md`).

mod bundle;
mod error;
mod image;
mod ours;
mod record;
mod signature;
mod signers;
mod summary;
mod whose;

pub use bundle::attached_bundle;
pub use error::{AttachError, sha256};
pub use image::ProductionImage;
pub use ours::{Tagged, has_bundle, latest_summary, tagged};
pub use record::Record;
pub use signature::Signature;
pub use signers::Signers;
pub use summary::{Input, Stated, Summary};
pub use whose::{By, Ours};
