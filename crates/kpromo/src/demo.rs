//! `kpromo demo`: a promotion between registries in this process, without a network.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use indicatif::MultiProgress;
use registry::sample::Recipe;
use registry::{Config, Server, StartError, StoreError};
use sigstore::{SigningKey, TrustError};

use crate::args::{CipArgs, DemoArgs, Form, ManifestSource, VerifyArgs};
use crate::choice::{SigningArgs, TrustArgs};
use crate::cip;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::render::counted;
use crate::terminal::{Interrupts, print, print_error};
use crate::verify;

/// The images of the demo: name, tags, number of platforms.
const IMAGES: [(&str, &[&str], usize); 4] = [
    ("coredns", &["v1.12.0"], 4),
    ("pause", &["3.10", "latest"], 4),
    ("etcd", &["3.6.1-0"], 3),
    ("sig-storage/snapshot-controller", &["v8.2.0"], 2),
];
/// The number of production regions.
const REGIONS: usize = 3;
/// The size of a layer, in bytes.
const LAYER: usize = 512 * 1024;
/// A layer that all images share, like the base image of real images.
static BASE: [u8; LAYER] = [b'k'; LAYER];

/// An error of the demo.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Name(#[from] oci::InvalidName),
    #[error(transparent)]
    Key(#[from] TrustError),
    #[error("cannot write the manifests: {0}")]
    Write(#[from] io::Error),
    #[error("{0} is not empty: the demo needs an empty directory of its own")]
    NotEmpty(PathBuf),
}

/// Runs the demo.
pub(crate) async fn run(args: DemoArgs, screen: &MultiProgress) -> Exit {
    match show(&args, screen).await {
        Ok(exit) => exit,
        Err(trouble) => {
            print_error(&trouble.to_string());
            Exit::Failure
        }
    }
}

async fn show(args: &DemoArgs, screen: &MultiProgress) -> Result<Exit, DemoError> {
    if let Some(directory) = &args.directory
        && fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(DemoError::NotEmpty(directory.clone()));
    }
    let world = World::build().await?;
    let temporary = tempfile::tempdir()?;
    let directory = args.directory.as_deref().unwrap_or(temporary.path());
    let images = world.write_manifests(directory)?;
    let files = Files::write(directory, &world)?;

    heading("Four registries in this process");
    print(&format!("staging     {}/staging\n", world.staging.host()));
    for (number, region) in world.production.iter().enumerate() {
        print(&format!("production  {}/prod/images  (region {})\n", region.host(), number + 1));
    }
    heading("The images to promote: images/demo/images.yaml");
    print(&images);

    let steps = [
        ("A dry run", false),
        ("The promotion, with --confirm", true),
        ("The same command again: nothing left to do", true),
    ];
    let environment = Environment::default();
    for (title, confirm) in steps {
        heading(title);
        let flag = if confirm { " --confirm" } else { "" };
        print(&format!(
            "$ kpromo cip --thin-manifest-dir {} --config {} --signing-key {}{flag}\n\n",
            directory.display(),
            files.config.display(),
            files.key.display()
        ));
        let exit = cip::run(&files.promotion(directory, confirm), &environment, screen).await;
        if exit != Exit::Success {
            return Ok(exit);
        }
    }
    heading("Verify the images");
    let audit = files.audit(&world)?;
    let images: Vec<String> = audit.images.iter().map(ToString::to_string).collect();
    print(&format!(
        "$ kpromo verify --config {} --verification-key {} {}\n\n",
        files.config.display(),
        files.public.display(),
        images.join(" ")
    ));
    let exit = verify::run(&audit, &environment, screen).await;
    if exit != Exit::Success {
        return Ok(exit);
    }
    let mut missing = 0;
    for region in &world.production {
        missing += region.store().missing_parts().await?.len();
    }
    heading("The tags in each region");
    print(&world.tags());
    print(&format!("\nMissing parts of these images: {missing}\n"));
    if args.keep {
        world.keep().await;
    } else {
        print("\nTo keep the registries running afterwards: kpromo demo --keep\n");
    }
    Ok(if missing == 0 { Exit::Success } else { Exit::Failure })
}

fn heading(title: &str) {
    print(&format!("\n== {title}\n\n"));
}

/// The files of a promotion other than the manifests.
struct Files {
    /// The configuration: the canonical region, and the names that users know the images by.
    config: PathBuf,
    /// A key for this demo. It replaces an identity, so no token is needed.
    key: PathBuf,
    public: PathBuf,
}

impl Files {
    fn write(directory: &Path, world: &World) -> Result<Self, DemoError> {
        let file = |name: &str| directory.join(name);
        let this =
            Self { config: file("kpromo.yaml"), key: file("signing.key"), public: file("signing.pub") };
        let canonical = world.canonical();
        let production = format!(
            "production:\n  canonicalHost: {canonical}\n  path: prod/images\n  reference: registry.example\n"
        );
        fs::write(&this.config, production)?;
        let pem = SigningKey::generate_pem()?;
        let key = SigningKey::from_pem(pem.reveal().as_bytes(), None)?;
        let mut options = fs::OpenOptions::new();
        let mut private = options.write(true).create_new(true).mode(0o600).open(&this.key)?;
        private.write_all(pem.reveal().as_bytes())?;
        fs::write(&this.public, key.verification_key().to_pem())?;
        Ok(this)
    }

    /// Returns the arguments of `kpromo cip`.
    fn promotion(&self, directory: &Path, confirm: bool) -> CipArgs {
        let signing = SigningArgs { key: Some(self.key.clone()), ..SigningArgs::default() };
        CipArgs {
            confirm,
            config: Some(self.config.clone()),
            signing: Some(signing),
            ..CipArgs::of(ManifestSource::Thin(directory.to_owned()))
        }
    }

    /// Returns the arguments of `kpromo verify`.
    fn audit(&self, world: &World) -> Result<VerifyArgs, DemoError> {
        let image = |(name, tags, _): &(&str, &[&str], oci::Digest)| {
            format!("{}/prod/images/{name}:{}", world.canonical(), tags[0]).parse()
        };
        Ok(VerifyArgs {
            images: world.images.iter().take(2).map(image).collect::<Result<_, _>>()?,
            manifests: Vec::new(),
            repositories: Vec::new(),
            output: Form::Table,
            platforms: false,
            config: Some(self.config.clone()),
            trust: TrustArgs { verification_key: Some(self.public.clone()), ..TrustArgs::default() },
        })
    }
}

/// The registries of the demo.
struct World {
    staging: Server,
    production: Vec<Server>,
    /// The images in staging: name, tags and digest.
    images: Vec<(&'static str, &'static [&'static str], oci::Digest)>,
}

impl World {
    /// Returns the region that holds signatures and records.
    fn canonical(&self) -> &oci::Host {
        self.production[0].host()
    }

    async fn build() -> Result<Self, DemoError> {
        let config = || Config { google_listing: true, ..Config::default() };
        let staging = Server::start(config()).await?;
        let mut production = Vec::new();
        for _ in 0..REGIONS {
            production.push(Server::start(config()).await?);
        }
        let mut images = Vec::new();
        for (seed, (name, tags, platforms)) in (1..).zip(IMAGES) {
            let shared_layers = vec![bytes::Bytes::from_static(&BASE)];
            let recipe = Recipe { seed, layer_size: LAYER, shared_layers, ..Recipe::default() };
            let sample = recipe.index(platforms);
            sample.put(staging.store(), &format!("staging/{name}").parse()?, &[]).await?;
            images.push((name, tags, sample.digest()));
        }
        Ok(Self { staging, production, images })
    }

    /// Writes the thin manifests and returns the text of the images file.
    fn write_manifests(&self, directory: &Path) -> io::Result<String> {
        let mut registries = format!("registries:\n- name: {}/staging\n  src: true\n", self.staging.host());
        for region in &self.production {
            registries.push_str(&format!("- name: {}/prod/images\n", region.host()));
        }
        let mut images = String::new();
        for (name, tags, digest) in &self.images {
            images.push_str(&format!("- name: {name}\n  dmap:\n    \"{digest}\": {tags:?}\n"));
        }
        let files: [(PathBuf, &str, &str); 2] = [
            (directory.join("manifests/demo"), "promoter-manifest.yaml", &registries),
            (directory.join("images/demo"), "images.yaml", &images),
        ];
        for (directory, name, text) in files {
            fs::create_dir_all(&directory)?;
            fs::write(directory.join(name), text)?;
        }
        Ok(images)
    }

    /// Lists the tags of all regions. The tags of images are the same in all regions, those of signatures are in one.
    fn tags(&self) -> String {
        let mut text = String::new();
        for region in &self.production {
            let store = region.store();
            let mut signatures = 0;
            for repository in store.repositories() {
                for tag in store.tags(&repository).keys() {
                    if oci::AttachedTag::parse(tag).is_some() {
                        signatures += 1;
                        continue;
                    }
                    // Writing to a string does not fail.
                    let _ = writeln!(text, "{}/{repository}:{tag}", region.host());
                }
            }
            if signatures > 0 {
                let _ = writeln!(text, "{}: and {}", region.host(), counted(signatures, "signature tag"));
            }
        }
        text
    }

    /// Keeps the registries running until an interrupt, and prints what to do with them.
    async fn keep(self) {
        heading("The registries run until Ctrl-C");
        if let Some(region) = self.production.first() {
            let host = region.host();
            print(&format!(
                "$ curl -s http://{host}/v2/_catalog\n\
                 $ curl -s http://{host}/v2/prod/images/pause/tags/list\n\
                 $ crane manifest {host}/prod/images/pause:3.10\n\
                 $ skopeo inspect --tls-verify=false docker://{host}/prod/images/coredns:v1.12.0\n"
            ));
        }
        Interrupts::new().next().await;
        for server in self.production.into_iter().chain([self.staging]) {
            server.stop().await;
        }
    }
}
