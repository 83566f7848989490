//! Docker's configuration. No key matches two hosts, a key of a host also matches its repositories, and the most specific key
//! comes first. Shown texts have no secrets and no control characters.
#![no_main]

// kpromo is a binary, so this target includes the source of its module.
#[allow(dead_code)]
#[path = "../../crates/kpromo/src/credentials/auth_file.rs"]
mod auth_file;

use std::sync::LazyLock;

use auth_file::AuthFile;
use libfuzzer_sys::fuzz_target;
use oci::{Credential, Host, RepositoryPath};

/// The maximum length of an error, in characters: each of the 160 shown characters of a key may be escaped to ten.
const ERROR_MAX: usize = 2000;

static HOSTS: LazyLock<[Host; 4]> =
    LazyLock::new(|| ["a.io", "a.io:5000", "docker.io", "[::1]:5000"].map(|host| host.parse().unwrap()));
static REPOSITORIES: LazyLock<[RepositoryPath; 3]> =
    LazyLock::new(|| ["team/app", "team", "v2/team"].map(|path| path.parse().unwrap()));

/// Checks that a credential shows only its kind and its user.
fn check_shown(credential: &Credential) {
    let expected = match credential {
        Credential::Basic { user, .. } => format!("Basic {{ user: {user:?}, password: [secret] }}"),
        Credential::Identity(_) => "Identity([secret])".to_owned(),
        Credential::Bearer(_) => "Bearer([secret])".to_owned(),
    };
    assert_eq!(format!("{credential:?}"), expected);
}

fn check(file: &AuthFile) {
    let mut keys: Vec<&str> = Vec::new();
    for host in &*HOSTS {
        let of_host = file.matches(host, None);
        let names: Vec<&str> = of_host.iter().map(|found| found.key.text.as_str()).collect();
        assert!(names.iter().all(|name| !keys.contains(name)), "a key matches two hosts: {names:?}");
        keys.extend(&names);
        for repository in &*REPOSITORIES {
            let found = file.matches(host, Some(repository));
            let is_sorted = found.is_sorted_by_key(|found| std::cmp::Reverse(found.components));
            assert!(is_sorted, "a less specific key comes first");
            let of_all = found.iter().filter(|found| found.components == 0);
            assert!(of_all.map(|found| found.key.text.as_str()).eq(names.iter().copied()));
            for found in &found {
                assert!(found.components <= repository.as_str().split('/').count());
                match found.credential() {
                    Ok(Some(credential)) => check_shown(&credential),
                    Ok(None) => {}
                    Err(error) => fuzz::assert_presentable(&error, ERROR_MAX),
                }
            }
        }
        assert!(file.helper(host).is_none_or(|helper| !helper.is_empty()));
    }
}

fuzz_target!(|data: &[u8]| {
    match AuthFile::parse(data) {
        Ok(file) => {
            check(&file);
            let with_mark = AuthFile::parse(&[b"\xEF\xBB\xBF \n", data].concat());
            assert!(
                with_mark.is_ok() || data.starts_with(b"\xEF\xBB\xBF"),
                "a byte order mark changes the file"
            );
        }
        Err(error) => fuzz::assert_presentable(&error, ERROR_MAX),
    }
});
