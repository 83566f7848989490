//! `kpromo verify`: what is signed and attested of images, and by whom.

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
use crate::terminal::{print, print_error, print_help};
use crate::watchdog;

/// How many images are looked at at once; what each registry bears is for the door to find.
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
    // Once, and not once an image: where trust cannot be had, finding that out takes its time.
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
    let mut told = HashSet::new();
    for ImageAudit { image, found } in &audits {
        if let Err(error) = found {
            print_error(&format!("{image}: {error}"));
            if let Some(advice) = error.advice()
                && told.insert(advice.clone())
            {
                print_help(&advice);
            }
        }
    }
    exit
}

/// What it takes to verify.
struct Prepared {
    connection: Connection,
    verification: Verification,
    /// Whose signatures count, for a person.
    signer: String,
}

/// Reads the configuration; an error comes with its exit code.
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
    let verification = Verification { trust, staging, budget: Budget::default() };
    Ok(Prepared { connection, verification, signer })
}

/// Asks whose signatures count of an image that is not Kubernetes': a signature by any identity proves nothing.
fn ask_for_signer(image: &ImageName, choice: &TrustArgs) -> Result<(), String> {
    if choice.verification_key.is_some() || (choice.identity.is_some() && choice.issuer.is_some()) {
        return Ok(());
    }
    Err(format!(
        "the signer of {image} is not named: give --certificate-identity or --certificate-identity-regexp together with \
         --certificate-oidc-issuer or --certificate-oidc-issuer-regexp, or --verification-key"
    ))
}

/// One image that is not signed decides; what could not be looked at may be asked again.
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
