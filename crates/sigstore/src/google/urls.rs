//! URLs that credentials may be sent to. A credential file contains URLs, and a manipulated file must not cause credentials to be
//! sent to an arbitrary host.

use url::{Host, Url};

/// Reads a URL of a credential file that credentials may be sent to: a URL of Google or of this machine.
///
/// # Errors
/// Returns an error for any other URL. The error contains the URL's name in the file.
pub(super) fn google_url(name: &str, text: &str) -> Result<Url, String> {
    let url = parse(name, text)?;
    if is_loopback(&url) || (url.scheme() == "https" && is_google(&url)) {
        return Ok(url);
    }
    Err(format!(
        "`{name}` points to {}, and credentials are sent only over https to hosts of googleapis.com",
        transport::shown(&url)
    ))
}

/// Reads a URL of a credential file that another provider's token is requested from, with secrets of the file: a URL of this
/// machine, of Google, or of GitHub Actions, because the action `google-github-actions/auth` writes files with such URLs.
///
/// # Errors
/// The same as [`google_url`].
pub(super) fn subject_token_url(name: &str, text: &str) -> Result<Url, String> {
    let url = parse(name, text)?;
    let is_github = url.scheme() == "https" && ends_with(&url, ".actions.githubusercontent.com");
    if is_github { Ok(url) } else { google_url(name, text) }
}

fn parse(name: &str, text: &str) -> Result<Url, String> {
    // A text that is not a URL may be a secret, so the error does not contain it.
    let url = Url::parse(text).map_err(|_| format!("`{name}` is not a URL"))?;
    match url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err(format!("`{name}` has a user or a password in it")),
    }
}

fn is_google(url: &Url) -> bool {
    // Old service account files contain `accounts.google.com`.
    url.port().is_none()
        && (ends_with(url, ".googleapis.com") || url.host_str() == Some("accounts.google.com"))
}

fn ends_with(url: &Url, domain: &str) -> bool {
    matches!(url.host(), Some(Host::Domain(host)) if host.ends_with(domain))
}

fn is_loopback(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sent_only_to_google_and_this_machine() {
        for good in [
            "https://sts.googleapis.com/v1/token",
            "https://oauth2.googleapis.com/token",
            "https://sts.us-east4.rep.googleapis.com/v1/token",
            "https://accounts.google.com/o/oauth2/token",
            "http://127.0.0.1:8080/token",
            "http://[::1]:80/token",
            "http://localhost:9/",
        ] {
            google_url("token_url", good).unwrap();
            subject_token_url("url", good).unwrap();
        }
        for bad in [
            "http://sts.googleapis.com/v1/token",
            "https://googleapis.com.evil.example/",
            "https://evilgoogleapis.com/",
            "https://sts.googleapis.com:8443/",
            "https://evil.example/sts.googleapis.com",
            "https://accounts.google.com.evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://169.254.169.254/metadata",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
        ] {
            let error = google_url("token_url", bad).unwrap_err();
            assert!(error.contains("`token_url`") && error.contains("hosts of googleapis.com"), "{error}");
            subject_token_url("url", bad).unwrap_err();
        }
        for secret in ["https://me:hush@sts.googleapis.com/", "https://hush@127.0.0.1/", "hush"] {
            assert!(!google_url("token_url", secret).unwrap_err().contains("hush"));
        }
        let github = "https://run-1.actions.githubusercontent.com/144/idtoken?api-version=2.0";
        subject_token_url("url", github).unwrap();
        google_url("token_url", github).unwrap_err();
        subject_token_url("url", "https://actions.githubusercontent.com.evil.example/").unwrap_err();
    }
}
