//! The parts and the order in which they start.

use std::path::Path;

use super::keys::{self, PASSWORD};
use super::part::{Part, get, listens};
use super::programs::Programs;
use super::{ports, trillian};
use crate::error::Error;
use crate::step::output;
use crate::tools::{Build, go_build};
use crate::workspace::Workspace;

/// The beginning of the validity of the keys. It is well before their creation, because the clocks of machines differ.
const SINCE: &str = "2024-01-01T00:00:00Z";
/// The path of the timestamp authority's certificates.
const CHAIN: &str = "/api/v1/timestamp/certchain";

/// The loopback ports of the parts. Rekor v1 also tries to serve metrics on 2112, which is not configurable, and works without
/// metrics if that port is taken.
struct Ports {
    issuers: [u16; 5],
    fulcio: u16,
    fulcio_grpc: u16,
    fulcio_metrics: u16,
    timestamps: u16,
    rekor1: u16,
    rekor2: u16,
    rekor2_grpc: u16,
    rekor2_metrics: u16,
    log_server: u16,
    log_signer: u16,
    certificates: u16,
}

impl Ports {
    fn free() -> Result<Self, Error> {
        let [a, b, c, d, e, fulcio, fulcio_grpc, fulcio_metrics, timestamps, rest @ ..] =
            ports::free::<16>()?;
        let [rekor1, rekor2, rekor2_grpc, rekor2_metrics, log_server, log_signer, certificates] = rest;
        let issuers = [a, b, c, d, e];
        Ok(Self {
            issuers,
            fulcio,
            fulcio_grpc,
            fulcio_metrics,
            timestamps,
            rekor1,
            rekor2,
            rekor2_grpc,
            rekor2_metrics,
            log_server,
            log_signer,
            certificates,
        })
    }

    /// Returns the URLs that users of the Sigstore need, by name.
    fn urls(&self) -> Vec<(&'static str, String)> {
        let issuers = ISSUERS.iter().zip(self.issuers).map(|((name, _), port)| (*name, url(port)));
        let certificates = format!("{}/ct", url(self.certificates));
        let timestamps = format!("{}/api/v1/timestamp", url(self.timestamps));
        let others = [
            ("fulcio", url(self.fulcio)),
            ("rekor1", url(self.rekor1)),
            ("rekor2", url(self.rekor2)),
            ("timestamps", timestamps),
            ("certificates", certificates),
        ];
        issuers.chain(others).collect()
    }
}

/// The issuers by name, with the kind of identity for which Fulcio accepts their tokens: an e-mail address, a workload, or a
/// GitHub workflow. Fulcio does not know the stranger.
const ISSUERS: [(&str, Option<&str>); 5] = [
    ("issuer", Some("type: email")),
    ("issuer.other", Some("type: email")),
    ("issuer.workload", Some("type: spiffe, spiffe-trust-domain: kpromo.test")),
    ("issuer.workflow", Some("type: github-workflow")),
    ("issuer.stranger", None),
];

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Starts all parts in `directory` with the programs in the directory `tools`, waits for them, and writes what clients need.
///
/// # Errors
/// If a part does not start. The parts that have started are stopped.
pub(super) fn start(workspace: &Workspace, tools: &Path, directory: &Path) -> Result<Vec<Part>, Error> {
    let starter = Starter { programs: Programs { tools, directory }, ports: Ports::free()? };
    build_issuer(workspace, directory)?;
    let mut issuers = starter.issuers()?;
    let mut timestamps = starter.timestamps()?;
    keys::make(directory)?;
    let mut rekor2 = starter.rekor2()?;
    let trillian = trillian::start(starter.programs, starter.ports.log_server, starter.ports.log_signer)?;
    let (mut certificates, mut rekor1) = (starter.certificates()?, starter.rekor1()?);
    // Fulcio fetches the keys of the issuers when it starts.
    issuers.wait(|| starter.ports.issuers.into_iter().all(listens))?;
    let mut fulcio = starter.fulcio()?;
    let ports = &starter.ports;
    timestamps.wait(|| get(ports.timestamps, CHAIN).is_some())?;
    rekor2.wait(|| listens(ports.rekor2))?;
    certificates.wait(|| listens(ports.certificates))?;
    rekor1.wait(|| get(ports.rekor1, "/api/v1/log").is_some())?;
    fulcio.wait(|| get(ports.fulcio, "/api/v2/trustBundle").is_some())?;
    starter.describe()?;
    Ok([issuers, timestamps, rekor2, certificates, rekor1, fulcio].into_iter().chain(trillian).collect())
}

/// Builds the issuer. If its source is unchanged, Go reuses the build from its cache.
fn build_issuer(workspace: &Workspace, directory: &Path) -> Result<(), Error> {
    let source = workspace.root().join("xtask").join("sigstore").join("oidc");
    output("building the issuer", &mut go_build("the issuer", &source, Build::Fast, directory)?).map(drop)
}

/// Starts the parts with these programs on these ports.
struct Starter<'a> {
    programs: Programs<'a>,
    ports: Ports,
}

impl Starter<'_> {
    /// Creates a tree in Trillian for one log.
    fn tree(&self) -> Result<String, Error> {
        let server = format!("--admin_server=127.0.0.1:{}", self.ports.log_server);
        let number = output("making a tree", self.programs.command("createtree").arg(server))?;
        Ok(number.trim().to_owned())
    }

    fn issuers(&self) -> Result<Part, Error> {
        let addresses = self.ports.issuers.map(|port| format!("127.0.0.1:{port}"));
        let directory = self.programs.directory;
        Part::start(directory, "oidc", &directory.join("oidc"), &addresses)
    }

    fn timestamps(&self) -> Result<Part, Error> {
        let port = self.ports.timestamps;
        let line = format!(
            "serve --host 127.0.0.1 --port {port} --timestamp-signer memory --disable-ntp-monitoring"
        );
        self.programs.part("timestamp-server-without-metrics", &line)
    }

    fn rekor2(&self) -> Result<Part, Error> {
        let Ports { rekor2, rekor2_grpc, rekor2_metrics, .. } = self.ports;
        // Clients compare the origin of checkpoints with the host of the URL. Entries wait for the next checkpoint.
        let line = format!(
            "serve --hostname=127.0.0.1 --http-address=127.0.0.1 --http-port={rekor2} --grpc-address=127.0.0.1 \
             --grpc-port={rekor2_grpc} --http-metrics-port={rekor2_metrics} --storage-dir=rekor2 \
             --signer-filepath=rekor2.key --checkpoint-interval=200ms --batch-max-age=50ms"
        );
        self.programs.part("rekor-server-posix", &line)
    }

    fn certificates(&self) -> Result<Part, Error> {
        let Ports { log_server, certificates, .. } = self.ports;
        let configuration = format!(
            "config {{ log_id: {tree} prefix: \"ct\" roots_pem_file: \"ca.pem\"\n  \
             private_key: {{ [type.googleapis.com/keyspb.PEMKeyFile] {{ path: \"ct.key\" password: \"{PASSWORD}\" }} }} }}\n",
            tree = self.tree()?
        );
        self.programs.write("ct.cfg", configuration)?;
        let line = format!(
            "--log_rpc_server=127.0.0.1:{log_server} --http_endpoint=127.0.0.1:{certificates} --log_config=ct.cfg \
             --logtostderr"
        );
        self.programs.part("ct_server", &line)
    }

    fn rekor1(&self) -> Result<Part, Error> {
        let Ports { log_server, rekor1, .. } = self.ports;
        let line = format!(
            "serve --rekor_server.address=127.0.0.1 --port={rekor1} --rekor_server.hostname=rekor-v1 \
             --rekor_server.signer=rekor1.key --trillian_log_server.address=127.0.0.1 \
             --trillian_log_server.port={log_server} --trillian_log_server.tlog_id={tree} \
             --search_index.storage_provider=mysql --search_index.mysql.dsn={index}",
            tree = self.tree()?,
            index = trillian::connection("rekor"),
        );
        self.programs.part("rekor-server", &line)
    }

    fn fulcio(&self) -> Result<Part, Error> {
        let Ports { fulcio, fulcio_grpc, fulcio_metrics, certificates, .. } = self.ports;
        let known = ISSUERS
            .iter()
            .zip(self.ports.issuers)
            .filter_map(|((_, kind), port)| Some((url(port), (*kind)?)));
        let entries = known
            .map(|(url, kind)| format!("  {url}: {{issuer-url: \"{url}\", client-id: sigstore, {kind}}}\n"));
        self.programs.write("fulcio.yaml", format!("oidc-issuers:\n{}", entries.collect::<String>()))?;
        let line = format!(
            "serve --ca fileca --fileca-cert ca.pem --fileca-key ca.key --fileca-key-passwd {PASSWORD} \
             --fileca-watch=false --ct-log-url http://127.0.0.1:{certificates}/ct --ct-log-public-key-path ct.pub \
             --config-path fulcio.yaml --host 127.0.0.1 --port {fulcio} --grpc-host 127.0.0.1 \
             --grpc-port {fulcio_grpc} --metrics-port {fulcio_metrics} --legacy-unix-domain-socket fulcio.sock"
        );
        self.programs.part("fulcio", &line)
    }

    /// Writes what clients need: the URLs of the parts, the trust root and the signing configurations.
    fn describe(&self) -> Result<(), Error> {
        let lines = self.ports.urls().into_iter().map(|(name, url)| format!("{name} {url}\n"));
        self.programs.write("urls", lines.collect::<String>())?;
        self.programs.write("tsa.pem", get(self.ports.timestamps, CHAIN).unwrap_or_default())?;
        self.trusted_root()?;
        self.signing_config(1, self.ports.rekor1)?;
        self.signing_config(2, self.ports.rekor2)
    }

    fn trusted_root(&self) -> Result<(), Error> {
        let Ports { fulcio, certificates, rekor1, rekor2, timestamps, .. } = self.ports;
        let line = format!(
            "trusted-root create --no-default-fulcio --no-default-rekor --no-default-ctfe --no-default-tsa \
             --out trusted_root.json --fulcio=url={},certificate-chain=ca.pem \
             --ctfe=url={}/ct,public-key=ct.pub,start-time={SINCE} \
             --rekor=url={},public-key=rekor1.pub,start-time={SINCE} \
             --rekor=url={},public-key=rekor2.pub,start-time={SINCE},origin=127.0.0.1 \
             --tsa=url={}/api/v1/timestamp,certificate-chain=tsa.pem",
            url(fulcio),
            url(certificates),
            url(rekor1),
            url(rekor2),
            url(timestamps),
        );
        self.cosign("writing the trust root", &line)
    }

    fn signing_config(&self, version: u8, rekor: u16) -> Result<(), Error> {
        let [issuer, ..] = self.ports.issuers;
        let service = |flag: &str, url: &str, version: u8| {
            format!("--{flag}=url={url},api-version={version},start-time={SINCE},operator=test")
        };
        let line = [
            format!("signing-config create --out signing_config.rekor{version}.json"),
            service("fulcio", &url(self.ports.fulcio), 1),
            service("oidc-provider", &url(issuer), 1),
            service("rekor", &url(rekor), version),
            "--rekor-config=ANY".to_owned(),
            service("tsa", &format!("{}/api/v1/timestamp", url(self.ports.timestamps)), 1),
            "--tsa-config=EXACT:1".to_owned(),
        ];
        self.cosign("writing the signing configuration", &line.join(" "))
    }

    fn cosign(&self, name: &str, line: &str) -> Result<(), Error> {
        output(name, self.programs.command("cosign").args(line.split_ascii_whitespace())).map(drop)
    }
}
