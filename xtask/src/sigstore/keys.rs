//! The keys of the parts, made anew for each Sigstore by `openssl`.

use std::path::Path;

use super::part::isolated;
use crate::error::Error;
use crate::step::output;

/// What private keys are encrypted with where a part reads encrypted ones only.
pub(super) const PASSWORD: &str = "test";

/// Makes all keys in `folder`, private ones as `NAME.key` and public ones as `NAME.pub`: the certificate authority's with
/// its certificate `ca.pem`, the certificate transparency log's, and those of both Rekors.
///
/// # Errors
/// When `openssl` fails.
pub(super) fn make(folder: &Path) -> Result<(), Error> {
    let openssl =
        |line: &str| output("making keys", isolated(folder, "openssl").args(line.split(' '))).map(drop);
    for name in ["ca", "ct"] {
        openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.plain"))?;
        openssl(&format!("ec -in {name}.plain -aes256 -passout pass:{PASSWORD} -out {name}.key"))?;
        openssl(&format!("ec -in {name}.plain -pubout -out {name}.pub"))?;
    }
    openssl(
        "req -x509 -new -key ca.plain -days 3650 -subj /O=kpromo/CN=fulcio -out ca.pem \
         -addext basicConstraints=critical,CA:TRUE,pathlen:1 -addext keyUsage=critical,keyCertSign,cRLSign",
    )?;
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out rekor1.key")?;
    openssl("genpkey -algorithm ed25519 -out rekor2.key")?;
    ["rekor1", "rekor2"]
        .into_iter()
        .try_for_each(|name| openssl(&format!("pkey -in {name}.key -pubout -out {name}.pub")))
}
