//! cosign, which signs the same images as kpromo with the same Sigstore and in the same form, and verifies kpromo's signatures.

use std::path::Path;

use crate::error::Error;
use crate::lab::Lab;
use crate::measure::Job;
use crate::sigstore::{SIGNER, Sigstore};
use crate::tools::{Peer, word};

/// How many processes run at once in the parallel ways.
pub(crate) const PARALLEL: usize = 4;

/// A way to sign images with cosign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// One process for each image, without its parts, one after the other.
    InTurn,
    /// One process for each image, without its parts, several at once.
    Each,
    /// One process for each image, with its parts, several at once.
    Recursive,
    /// One process for all images, with their parts.
    Together,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::InTurn, Self::Each, Self::Recursive, Self::Together];

    pub(crate) fn label(self) -> String {
        match self {
            Self::InTurn => "cosign sign, in turn".to_owned(),
            Self::Each => format!("cosign sign, {PARALLEL} at once"),
            Self::Recursive => format!("cosign sign --recursive, {PARALLEL} at once"),
            Self::Together => "cosign sign --recursive, one process".to_owned(),
        }
    }

    fn is_recursive(self) -> bool {
        matches!(self, Self::Recursive | Self::Together)
    }
}

/// cosign and its Sigstore.
#[derive(Clone, Copy)]
pub(crate) struct Cosign<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) program: &'a Peer,
    pub(crate) sigstore: &'a Sigstore,
}

impl Cosign<'_> {
    /// Returns the job that signs images. `token` is the path of a file with the token.
    pub(crate) fn sign(
        self,
        way: Way,
        directory: &Path,
        token: &str,
        images: &[String],
    ) -> Result<Job, Error> {
        let mut words = self.words("sign");
        words.extend(["--yes", "--use-signing-config=false", "--identity-token", token].map(str::to_owned));
        for (flag, part) in [("--rekor-url", "rekor1"), ("--fulcio-url", "fulcio")] {
            words.extend([flag.to_owned(), self.sigstore.url(part)?.to_owned()]);
        }
        words.extend(way.is_recursive().then(|| "--recursive".to_owned()));
        let of = |images: &[String]| [&words, images].concat();
        let commands = match way {
            Way::Together => vec![of(images)],
            Way::InTurn | Way::Each | Way::Recursive => images.chunks(1).map(of).collect(),
        };
        let parallel = if way == Way::InTurn { 1 } else { PARALLEL };
        Ok(self.job(directory, commands, parallel))
    }

    /// Returns the job that verifies the signer of each image, with one process for each image.
    pub(crate) fn verify(self, directory: &Path, images: &[String]) -> Result<Job, Error> {
        let mut words = self.words("verify");
        let (issuer, root) = (self.sigstore.url("issuer")?, self.sigstore.file("trusted_root.json"));
        let signer = ["--certificate-identity", SIGNER, "--certificate-oidc-issuer", issuer];
        words.extend(signer.into_iter().chain(["--trusted-root", &root]).map(str::to_owned));
        let commands = images.iter().map(|image| [&words[..], std::slice::from_ref(image)].concat());
        Ok(self.job(directory, commands.collect(), PARALLEL))
    }

    fn words(self, subcommand: &str) -> Vec<String> {
        let flags = ["--allow-http-registry", "--allow-insecure-registry", "--new-bundle-format=false"];
        let program = word(&self.program.path);
        [program, subcommand.to_owned()].into_iter().chain(flags.map(str::to_owned)).collect()
    }

    fn job(self, directory: &Path, commands: Vec<Vec<String>>, parallel: usize) -> Job {
        let mut job = self.lab.job(directory, commands, parallel);
        let files = [
            ("SIGSTORE_ROOT_FILE", "ca.pem"),
            ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "ct.pub"),
            ("SIGSTORE_REKOR_PUBLIC_KEY", "rekor1.pub"),
        ];
        // Without these, cosign gets its trust root from the public instance.
        job.environment.extend(files.map(|(name, file)| (name.to_owned(), self.sigstore.file(file))));
        job.environment.insert("SIGSTORE_NO_CACHE".to_owned(), "true".to_owned());
        job
    }
}
