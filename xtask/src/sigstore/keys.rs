//! The keys of the parts. `openssl` makes new ones for each Sigstore.

use std::path::Path;

use super::part::isolated;
use crate::error::Error;
use crate::step::output;

/// The password of private keys, for the parts that read only encrypted ones.
pub(super) const PASSWORD: &str = "test";

/// Makes all keys in `directory`, with private keys in `NAME.key` and public keys in `NAME.pub`: the key of the certificate
/// authority and its certificate `ca.pem`, the key of the certificate transparency log, and the keys of both Rekors.
///
/// # Errors
/// If `openssl` fails.
pub(super) fn make(directory: &Path) -> Result<(), Error> {
    let openssl =
        |line: &str| output("making keys", isolated(directory, "openssl").args(line.split(' '))).map(drop);
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
