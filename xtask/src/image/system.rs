//! The parts of an image that come from the system: libraries, certificates and git, and the packages that they belong to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::archive::{PLAIN, PROGRAM, Tree};
use crate::error::Error;
use crate::sbom::Package;
use crate::step::output;

/// The package of the certificates.
const CERTIFICATES: &str = "ca-certificates";
/// The user and the group that the image runs as. Distroless images use the same number.
pub(crate) const USER: u64 = 65532;
/// The home of this user.
pub(crate) const HOME: &str = "/home/nonroot";
/// The directory of the files that name the licence of each package.
const COPYRIGHTS: &str = "/usr/share/doc";

const PASSWD: &str = "\
root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
";
const GROUP: &str = "\
root:x:0:
nonroot:x:65532:
";
/// Host names are looked up in /etc/hosts, which Kubernetes writes, and then in DNS.
const NSSWITCH: &str = "hosts: files dns\n";
/// Mounted manifests belong to another user than that of the image. Without this, git refuses to read them.
const GITCONFIG: &str = "[safe]\n\tdirectory = *\n";

/// Files of the system, and the packages that they come from.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) tree: Tree,
    pub(crate) packages: BTreeSet<Package>,
}

/// Returns what a program needs: its libraries, certificates, a user, and directories that this user may write to.
///
/// # Errors
/// If a file or its package cannot be found.
pub(crate) fn base(program: &Path) -> Result<Part, Error> {
    let mut part = Part::default();
    part.libraries(program, &BTreeSet::new())?;
    part.certificates()?;
    part.tree.file("etc/passwd", PLAIN, PASSWD);
    part.tree.file("etc/group", PLAIN, GROUP);
    part.tree.file("etc/nsswitch.conf", PLAIN, NSSWITCH);
    part.tree.directory(HOME, 0o755, USER);
    part.tree.directory("tmp", 0o1777, 0);
    Ok(part)
}

/// Returns the git of the system with the libraries that `base` lacks. It reads local repositories. The programs that it needs
/// to fetch and push are left out.
///
/// # Errors
/// If git is not installed, or if a file or its package cannot be found.
pub(crate) fn git(base: &Part) -> Result<Part, Error> {
    let program = Path::new("/usr/bin/git");
    let known = base.tree.files().map(|(path, _)| format!("/{path}")).collect();
    let mut part = Part::default();
    part.add(program, PROGRAM)?;
    part.libraries(program, &known)?;
    part.tree.file("etc/gitconfig", PLAIN, GITCONFIG);
    Ok(part)
}

impl Part {
    /// Adds the libraries that the loader finds for a program, at the paths where it finds them.
    fn libraries(&mut self, program: &Path, known: &BTreeSet<String>) -> Result<(), Error> {
        let listed = output("listing libraries", Command::new("ldd").arg(program))?;
        for library in parse_libraries(&listed)? {
            if !known.contains(&*library.to_string_lossy()) {
                self.add(&library, PROGRAM)?;
            }
        }
        Ok(())
    }

    /// Adds the certificates of the package only, because the machine may trust others too.
    fn certificates(&mut self) -> Result<(), Error> {
        let files =
            output("listing certificates", Command::new("dpkg-query").args(["--listfiles", CERTIFICATES]))?;
        let files: BTreeSet<_> = files.lines().filter(|line| line.ends_with(".crt")).collect();
        let mut bundle = String::new();
        for file in files {
            bundle += &std::fs::read_to_string(file).map_err(Error::file("reading", file))?;
        }
        if !bundle.contains("BEGIN CERTIFICATE") {
            return Err(Error::NoPackage { path: "/usr/share/ca-certificates".into() });
        }
        self.tree.file("etc/ssl/certs/ca-certificates.crt", PLAIN, bundle);
        self.package(CERTIFICATES)
    }

    /// Adds a file of the system with its package.
    fn add(&mut self, file: &Path, mode: u32) -> Result<(), Error> {
        self.tree.copy(&file.to_string_lossy(), mode, file)?;
        self.package(&owner(file)?)
    }

    fn package(&mut self, name: &str) -> Result<(), Error> {
        let format = "--showformat=${Package}\t${Version}\t${Architecture}";
        let mut query = Command::new("dpkg-query");
        let answer = output("querying a package", query.args(["--show", format, name]))?;
        let mut columns = answer.split('\t').map(str::to_owned);
        let (Some(name), Some(version), Some(architecture)) =
            (columns.next(), columns.next(), columns.next())
        else {
            return Err(Error::NoPackage { path: name.into() });
        };
        let copyright = Path::new(COPYRIGHTS).join(&name).join("copyright");
        self.tree.copy(&copyright.to_string_lossy(), PLAIN, &copyright)?;
        self.packages.insert(Package { name, version, architecture });
        Ok(())
    }
}

/// Returns the libraries that `ldd` lists: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, the loader without an arrow,
/// and the kernel's `linux-vdso.so.1`, which is not a file.
fn parse_libraries(listed: &str) -> Result<Vec<PathBuf>, Error> {
    let mut libraries = Vec::new();
    for line in listed.lines().map(str::trim) {
        if line.ends_with("not found") {
            return Err(Error::NoLibrary { line: line.to_owned() });
        }
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        let path = path.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

/// Returns the package that a file belongs to.
fn owner(file: &Path) -> Result<String, Error> {
    // With /lib as a link to /usr/lib, a package may have the file under either path.
    let merged = Path::new("/usr").join(file.strip_prefix("/").unwrap_or(file));
    let unmerged = file.strip_prefix("/usr").map(|path| Path::new("/").join(path)).ok();
    let candidates = [Some(file.to_owned()), Some(merged), unmerged, file.canonicalize().ok()];
    let found = candidates.into_iter().flatten().find_map(|path| {
        let answer =
            output("querying the package of a file", Command::new("dpkg-query").arg("--search").arg(path))
                .ok()?;
        // `libc6:amd64: /lib/x86_64-linux-gnu/libc.so.6`
        answer.split_once(": ").map(|(package, _)| package.to_owned())
    });
    found.ok_or_else(|| Error::NoPackage { path: file.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_that_the_loader_finds_are_read() {
        let listed = "\tlinux-vdso.so.1 (0x00007fff)\n\
                      \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f0d)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f0e)\n";
        let expected = ["/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse_libraries(listed).unwrap(), expected.map(PathBuf::from));
    }

    #[test]
    fn the_error_names_a_missing_library() {
        let error = parse_libraries("\tlibfoo.so.1 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libfoo.so.1"), "{error}");
    }
}
