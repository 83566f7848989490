//! The container image that `cargo xtask image` makes: read by skopeo, unpacked by umoci, run by runc, and promoted, signed and
//! verified by the kpromo in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use testkit::{Cosign, DockerConfig, Sigstore, Skopeo};

use crate::packaging::world::{World, binary, isolated, succeed};
use crate::support::{Ran, kpromo, run};

/// Makes the image of the binary under test, without its symbols.
fn make(world: &World, output: &Path) {
    let stripped = world.desk.path("kpromo");
    let mut strip = isolated("strip");
    strip.arg("-o").arg(&stripped).arg(binary());
    succeed(strip);
    make_of(world, &stripped, output);
}

/// Makes the image of a binary.
fn make_of(world: &World, binary_file: &Path, output: &Path) {
    let bom = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": { "type": "application", "bom-ref": "kpromo", "name": "kpromo", "version": "0.1.0" } },
        "components": [], "dependencies": [],
    });
    let bom = world.desk.write("bom.json", &bom.to_string());
    // Built beside the binary by `cargo xtask test`.
    let mut xtask = isolated(binary().with_file_name("xtask").to_str().unwrap());
    // As on every machine: git refuses checkouts of other users.
    xtask
        .env("KPROMO_GIT_COMMIT", "0123456789ab")
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .env("HOME", world.desk.path(""))
        // The cargo on PATH would install a toolchain in the new home.
        .env("CARGO", env!("CARGO"));
    xtask.arg("image").arg("--binary").arg(binary_file).arg("--sbom").arg(bom).arg("--output").arg(output);
    xtask.args(["--tag", "v1", "--label", "org.opencontainers.image.source=https://example.org/kpromo"]);
    // Not with the limit for runs of kpromo: on a busy machine, `xtask image` has taken longer than two minutes.
    let made = xtask.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn read_json(file: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Returns a command as root. Containers need it.
fn as_root(program: &str) -> Command {
    let own = isolated("id").arg("-u").output().unwrap();
    if own.stdout == b"0\n" {
        return isolated(program);
    }
    let mut sudo = isolated("sudo");
    sudo.args(["-n", program]);
    sudo
}

/// An image as a container: unpacked, with a read-only file system, `/tmp`, the host's network and the directory `/manifests`.
struct Container<'a> {
    world: &'a World,
    bundle: PathBuf,
    config: Value,
}

impl<'a> Container<'a> {
    fn unpack(world: &'a World, layout: &Path) -> Self {
        let bundle = world.desk.path("bundle");
        let mut umoci = as_root("umoci");
        umoci.args(["unpack", "--image"]).arg(format!("{}:v1", layout.display())).arg(&bundle);
        succeed(umoci);
        let mut config = read_json(bundle.join("config.json"));
        config["root"]["readonly"] = json!(true);
        config["process"]["terminal"] = json!(false);
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        let work = world.desk.path("work");
        std::fs::create_dir_all(&work).unwrap();
        let mounts = config["mounts"].as_array_mut().unwrap();
        // Where the machine's cgroups are those of version 1, runc cannot mount them in every container.
        mounts.retain(|mount| mount["type"] != "cgroup");
        mounts.push(
            json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"] }),
        );
        mounts.push(
            json!({ "destination": "/manifests", "type": "bind", "source": work, "options": ["rbind", "ro"] }),
        );
        Self { world, bundle, config }
    }

    /// Runs the entry point of the image with arguments.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut config = self.config.clone();
        let entry = config["process"]["args"].as_array().unwrap().clone();
        assert_eq!(entry, [json!("/usr/bin/kpromo")]);
        config["process"]["args"] =
            entry.into_iter().chain(arguments.iter().map(|word| json!(word))).collect();
        std::fs::write(self.bundle.join("config.json"), config.to_string()).unwrap();
        let mut runc = as_root("runc");
        // Unique on this machine: the name of the test's own directory.
        let name = self.world.desk.path("").file_name().unwrap().to_string_lossy().replace('.', "kpromo");
        runc.arg("--root")
            .arg(self.world.desk.path("runc"))
            .args(["run", "--bundle"])
            .arg(&self.bundle)
            .arg(name);
        run(runc)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Sigstore and cosign: cargo xtask test starts and installs them"]
async fn the_image_runs_confined_and_is_promoted_signed_and_verified_by_itself() {
    let world = World::new().await;
    let layout = world.desk.path("layout");
    make(&world, &layout);
    let docker = DockerConfig::anonymous();
    let skopeo = Skopeo::new(&docker);
    let local = format!("oci:{}:v1", layout.display());

    // The image as others see it.
    let config: Value = serde_json::from_slice(&skopeo.run(["inspect", "--config", &local])).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/kpromo"]));
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.revision"], "0123456789ab");
    assert_eq!(labels["org.opencontainers.image.created"], "2023-11-14T22:13:20Z");
    assert_eq!(labels["org.opencontainers.image.source"], "https://example.org/kpromo");
    let packages = labels["kpromo.packages"].as_str().unwrap();
    assert!(["ca-certificates=", "git=", "libc6="].iter().all(|name| packages.contains(name)), "{packages}");

    // To staging, with its bill of materials, which the registry lists.
    let staged = format!("{}/staging/kpromo", world.staging.host());
    skopeo.run([
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        "--preserve-digests",
        &local,
        &format!("docker://{staged}:v1"),
    ]);
    let digest = skopeo.digest(&format!("{staged}:v1"));
    let tag = format!("{staged}:{}.sbom", digest.to_string().replace(':', "-"));
    skopeo.run([
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        "--preserve-digests",
        &format!("oci:{}:v1.sbom", layout.display()),
        &format!("docker://{tag}"),
    ]);
    let attached: Value = serde_json::from_slice(&skopeo.manifest(&tag)).unwrap();
    assert_eq!(attached["artifactType"], "application/vnd.cyclonedx+json");
    assert_eq!(attached["subject"]["digest"], digest.to_string());

    // Confined: as another user, with nothing to write to but /tmp.
    let container = Container::unpack(&world, &layout);
    let user = &container.config["process"]["user"];
    assert_eq!((&user["uid"], &user["gid"]), (&json!(65532), &json!(65532)));
    let ran = container.run(&["version"]);
    assert!(
        ran.code == 0 && ran.stdout.contains(env!("CARGO_PKG_VERSION")),
        "{}\n{}",
        ran.stdout,
        ran.stderr
    );
    let ran = container.run(&["reference", "man", "/home/nonroot"]);
    assert!(ran.code == 1 && ran.stderr.contains("Read-only file system"), "{}", ran.stderr);

    // Promoted by itself.
    let mut manifest = format!("registries:\n- name: {}/staging\n  src: true\n", world.staging.host());
    manifest += &format!(
        "- name: {}/prod\nimages:\n- name: kpromo\n  dmap:\n    \"{digest}\": [v1]\n",
        world.production.host()
    );
    world.desk.write("work/manifest.yaml", &manifest);
    let key = world.desk.key_pair();
    let readable: fn(u32) -> std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::copy(key, world.desk.path("work/cosign.key")).unwrap();
    std::fs::set_permissions(world.desk.path("work/cosign.key"), readable(0o644)).unwrap();
    std::fs::set_permissions(world.desk.path(""), readable(0o755)).unwrap();
    let promote =
        ["cip", "--manifest=/manifests/manifest.yaml", "--confirm", "--signing-key=/manifests/cosign.key"];
    let ran = container.run(&promote);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);

    // Verified by kpromo, and by cosign.
    let promoted = format!("{}/prod/kpromo@{digest}", world.production.host());
    let public = world.desk.path("cosign.pub");
    let mut verify = kpromo(None);
    verify.args(["verify", "--verification-key"]).arg(&public).arg(&promoted);
    succeed(verify);
    let cosign = Cosign::v3(Sigstore::shared(), &docker);
    let verify = |key: &Path| {
        let flags = [
            "verify",
            "--allow-http-registry",
            "--insecure-ignore-tlog=true",
            "--new-bundle-format=false",
            "--key",
        ];
        cosign.run(flags.map(OsString::from).into_iter().chain([key.into(), promoted.clone().into()]))
    };
    verify(&public).unwrap();
    verify(&cosign.generate_key_pair().public()).unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn git_in_the_image_reads_a_repository_of_another_user() {
    let world = World::new().await;
    let layout = world.desk.path("layout");
    make(&world, &layout);
    let container = Container::unpack(&world, &layout);
    let mut copy = isolated("cp");
    copy.arg("-r").arg(world.checkout()).arg(world.desk.path("work"));
    succeed(copy);
    let ran = container.run(&[
        "cip",
        "--manifest=/manifests/checkout/manifest.yaml",
        "--diff-base=HEAD^",
        "--sign=false",
    ]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(&format!("+ {}/prod/app:v1", world.production.host())), "{}", ran.stdout);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs external programs, run by `cargo xtask test`"]
async fn an_image_is_the_same_to_the_byte_when_it_is_made_again() {
    let world = World::new().await;
    let (one, two) = (world.desk.path("one"), world.desk.path("two"));
    // A small binary, because packing takes most of the time.
    make_of(&world, &testkit::tool("true"), &one);
    make_of(&world, &testkit::tool("true"), &two);
    let index = |layout: &Path| std::fs::read(layout.join("index.json")).unwrap();
    assert_eq!(index(&one), index(&two), "its digests are those of all blobs");

    // What scanners read, in the image and beside it.
    let manifests = read_json(one.join("index.json"))["manifests"].clone();
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        one.join("blobs/sha256").join(digest)
    };
    let attached = read_json(blob(&manifests[1]));
    assert_eq!(attached["subject"]["digest"], manifests[0]["digest"]);
    let bom = read_json(blob(&attached["layers"][0]));
    let names: Vec<_> =
        bom["components"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert!(
        ["kpromo", "libc6", "git", "ca-certificates"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
}
