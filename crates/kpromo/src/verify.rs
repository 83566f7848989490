//! `kpromo verify`: the signatures and attestations of images, and their signers.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use trust::Verification;
use trust::audit::{ImageName, audit};
use trust::evidence::Budget;

use crate::args::{Form, VerifyArgs};
use crate::choice::TrustArgs;
use crate::config::{Config, InvalidConfig};
use crate::connect::{Connection, connect};
use crate::defaults::of_images;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::identities::{signer_pattern, trust};
use crate::image_audit::ImageAudit;
use crate::render::{audit_json, audit_text};
use crate::terminal::{ErrorLine, is_json, print, print_error};
use crate::watchdog;

/// The number of images to examine concurrently. The door determines how many requests each registry sustains.
const AT_ONCE: usize = 8;

/// Verifies images.
pub(crate) async fn run(args: &VerifyArgs, environment: &Environment) -> Exit {
    let Prepared { connection, verification, signer } = match prepare(args, environment) {
        Ok(prepared) => prepared,
        Err((problem, exit)) => {
            print_error(&problem);
            return exit;
        }
    };
    // Checked once instead of per image, because it takes time to determine that a trusted root is not available.
    if let Err(error) = verification.trust.verifier().await {
        print_error(&error.to_string());
        return Exit::Unavailable;
    }
    let Connection { client, door, production, .. } = &connection;
    let reader = client.reader();
    let audits = stream::iter(&args.images).map(async |image| {
        let found = audit(&reader, &verification, production, image).await;
        ImageAudit { image: image.clone(), found }
    });
    let audits: Vec<ImageAudit> = tokio::select! {
        audits = audits.buffered(AT_ONCE).collect() => audits,
        never = watchdog::watch(door) => match never {},
    };
    let exit = judge(&audits);
    match args.output {
        Form::Table => print(&audit_text(&audits, &signer, args.platforms)),
        Form::Json => print(&audit_json(&audits, &signer, exit)),
    }
    let mut printed = HashSet::new();
    for ImageAudit { image, found } in &audits {
        if let Err(error) = found {
            // A person reads all lines, and a program each on its own.
            let advice = error.advice().filter(|advice| printed.insert(advice.clone()) || is_json());
            let (image, error) = (image.to_string(), error.to_string());
            ErrorLine { image: Some(&image), advice: advice.as_deref(), ..ErrorLine::new(&error) }.print();
        }
    }
    exit
}

/// The prepared parts of a verification.
struct Prepared {
    connection: Connection,
    verification: Verification,
    /// The signers whose signatures count, as a text for a person.
    signer: String,
}

/// Reads the configuration. An error contains its exit code.
fn prepare(args: &VerifyArgs, environment: &Environment) -> Result<Prepared, (String, Exit)> {
    let invalid = |problem: InvalidConfig| (problem.to_string(), Exit::Invalid);
    let config = Config::of(args.config.as_deref(), environment).map_err(invalid)?;
    let choice = args.trust.clone().or(config.trust());
    let (defaults, outside) = of_images(&config, &args.images);
    if let Some(image) = outside {
        ask_for_signer(image, &choice).map_err(|problem| (problem, Exit::Usage))?;
    }
    let connection = connect(&config, environment).map_err(invalid)?;
    let trust = trust(&choice, environment, &connection.door).map_err(invalid)?;
    let staging = signer_pattern(&choice, defaults).map_err(invalid)?;
    let signer = match &choice.verification_key {
        Some(path) => format!("the key {}", path.display()),
        None => staging.to_string(),
    };
    let verification = Verification { trust, staging, budget: Budget::default(), scans: None };
    Ok(Prepared { connection, verification, signer })
}

/// Requires a signer for an image outside Kubernetes' production: a signature by an arbitrary identity proves nothing.
fn ask_for_signer(image: &ImageName, choice: &TrustArgs) -> Result<(), String> {
    if choice.verification_key.is_some() || (choice.identity.is_some() && choice.issuer.is_some()) {
        return Ok(());
    }
    Err(format!(
        "the signer of {image} is not named: give --certificate-identity or --certificate-identity-regexp together with \
         --certificate-oidc-issuer or --certificate-oidc-issuer-regexp, or --verification-key"
    ))
}

/// Returns the exit code. One unsigned image decides it. Images that could not be examined can be verified again later.
fn judge(audits: &[ImageAudit]) -> Exit {
    let refused = |audit: &ImageAudit| audit.found.as_ref().is_ok_and(|found| !found.is_wholly_signed());
    if audits.iter().any(refused) {
        Exit::Policy
    } else if audits.iter().any(|audit| audit.found.is_err()) {
        Exit::Unavailable
    } else {
        Exit::Success
    }
}
