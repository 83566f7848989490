//! S3 settings from environment variables and from the AWS CLI's files.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use files::{AwsKeys, S3Settings};
use transport::Secret;
use url::Url;

/// The maximum size of a file, in bytes.
const FILE_MAX: u64 = 1024 * 1024;
/// The default profile.
const DEFAULT_PROFILE: &str = "default";
/// Settings of profiles whose credentials come from elsewhere, which kpromo does not support.
const ELSEWHERE: &[&str] =
    &["role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file"];

/// The environment variables for S3.
#[derive(Clone, Debug, Default)]
pub(crate) struct AwsPlaces {
    /// `AWS_ACCESS_KEY_ID`.
    pub(crate) key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub(crate) secret_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`.
    pub(crate) session_token: Option<Secret>,
    /// `AWS_PROFILE`.
    pub(crate) profile: Option<String>,
    /// `AWS_REGION`, or else `AWS_DEFAULT_REGION`.
    pub(crate) region: Option<String>,
    /// `AWS_ENDPOINT_URL_S3`, or else `AWS_ENDPOINT_URL`.
    pub(crate) endpoint: Option<String>,
    /// `AWS_SHARED_CREDENTIALS_FILE`.
    pub(crate) credentials_file: Option<PathBuf>,
    /// `AWS_CONFIG_FILE`.
    pub(crate) config_file: Option<PathBuf>,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
}

/// Returns the S3 settings.
///
/// # Errors
/// Returns an error if a file cannot be read, if the profile does not exist or gets its credentials from elsewhere, or if the
/// endpoint is not a URL. The text has no secret.
pub(crate) fn s3_settings(places: &AwsPlaces) -> Result<S3Settings, String> {
    let profile = places.profile.as_deref().unwrap_or(DEFAULT_PROFILE);
    let at_home = |name: &str| places.home.as_ref().map(|home| home.join(".aws").join(name));
    let credentials = places.credentials_file.clone().or_else(|| at_home("credentials"));
    let config = places.config_file.clone().or_else(|| at_home("config"));
    let mut settings = HashMap::new();
    // The credentials file takes precedence.
    for (file, section) in [(&config, format!("profile {profile}")), (&credentials, profile.to_owned())] {
        let Some(text) = file.as_deref().map(read).transpose()?.flatten() else { continue };
        settings.extend(self::section(&text, &section));
        if profile == DEFAULT_PROFILE {
            settings.extend(self::section(&text, DEFAULT_PROFILE));
        }
    }
    if places.profile.is_some() && settings.is_empty() && places.key_id.is_none() {
        return Err(format!("AWS_PROFILE names the profile `{profile}`, which is in no file of ~/.aws"));
    }
    let endpoint = places.endpoint.clone().or_else(|| settings.get("endpoint_url").cloned());
    let endpoint = endpoint.map(|text| endpoint_url(&text)).transpose()?;
    let region = places.region.clone().or_else(|| settings.get("region").cloned());
    Ok(S3Settings { endpoint, region, keys: keys(places, profile, &settings)? })
}

fn keys(
    places: &AwsPlaces,
    profile: &str,
    settings: &HashMap<String, String>,
) -> Result<Option<AwsKeys>, String> {
    match (&places.key_id, &places.secret_key) {
        (Some(id), Some(secret)) => {
            return Ok(Some(AwsKeys {
                id: id.clone(),
                secret: secret.clone(),
                session: places.session_token.clone(),
            }));
        }
        (Some(_), None) => {
            return Err("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not".to_owned());
        }
        (None, Some(_)) => {
            return Err("AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not".to_owned());
        }
        (None, None) => {}
    }
    let (id, secret) = (settings.get("aws_access_key_id"), settings.get("aws_secret_access_key"));
    if let (Some(id), Some(secret)) = (id, secret) {
        let session = settings.get("aws_session_token").map(Secret::new);
        return Ok(Some(AwsKeys { id: id.clone(), secret: Secret::new(secret), session }));
    }
    match ELSEWHERE.iter().find(|name| settings.contains_key(**name)) {
        Some(name) => Err(format!(
            "the profile `{profile}` has `{name}`, but kpromo supports only access keys: export them \
             with `aws configure export-credentials --profile {profile} --format env`"
        )),
        None => Ok(None),
    }
}

fn endpoint_url(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    url.ok_or_else(|| "AWS_ENDPOINT_URL is not an http or https URL".to_owned())
}

/// Reads a file. Returns `None` if there is none.
fn read(path: &Path) -> Result<Option<String>, String> {
    let cannot = |error: std::io::Error| format!("{}: cannot be read: {error}", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error)),
        Ok(metadata) if !metadata.is_file() || metadata.len() > FILE_MAX => {
            return Err(format!("{}: not a regular file of at most {FILE_MAX} bytes", path.display()));
        }
        Ok(_) => {}
    }
    fs::read_to_string(path).map(Some).map_err(cannot)
}

/// Returns the settings in a section (`[name]`) of an INI file, without nested settings.
fn section(text: &str, name: &str) -> HashMap<String, String> {
    let mut is_in = false;
    let mut settings = HashMap::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(header) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            is_in = header.split_whitespace().eq(name.split_whitespace());
        } else if is_in
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some((key, value)) = trimmed.split_once('=')
        {
            settings.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(credentials: &str, config: &str) -> (AwsPlaces, tempfile::TempDir) {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        fs::write(home.path().join(".aws/config"), config).unwrap();
        (AwsPlaces { home: Some(home.path().to_owned()), ..AwsPlaces::default() }, home)
    }

    fn id(settings: &S3Settings) -> Option<&str> {
        settings.keys.as_ref().map(|keys| keys.id.as_str())
    }

    #[test]
    fn the_environment_comes_before_the_files() {
        let (places, _home) = places(
            "[default]\naws_access_key_id = FILE\naws_secret_access_key=s\n[other]\naws_access_key_id=OTHER\naws_secret_access_key=o\n",
            "[default]\nregion = eu-west-1\ns3 =\n  region = nested\n[profile other]\nregion=us-west-2\nendpoint_url=http://127.0.0.1:9\n",
        );
        let settings = s3_settings(&places).unwrap();
        assert_eq!((id(&settings), settings.region.as_deref()), (Some("FILE"), Some("eu-west-1")));
        let other = AwsPlaces { profile: Some("other".to_owned()), ..places.clone() };
        let settings = s3_settings(&other).unwrap();
        assert_eq!((id(&settings), settings.region.as_deref()), (Some("OTHER"), Some("us-west-2")));
        assert_eq!(settings.endpoint.unwrap().port(), Some(9));
        let set = AwsPlaces {
            key_id: Some("ENV".to_owned()),
            secret_key: Some(Secret::new("e")),
            region: Some("us-east-2".to_owned()),
            ..places
        };
        let settings = s3_settings(&set).unwrap();
        assert_eq!((id(&settings), settings.region.as_deref()), (Some("ENV"), Some("us-east-2")));
    }

    #[test]
    fn nothing_is_anonymous_and_half_of_something_is_an_error() {
        let (places, _home) = places("", "");
        assert!(s3_settings(&places).unwrap().keys.is_none());
        assert!(s3_settings(&AwsPlaces::default()).unwrap().keys.is_none());
        for (broken, expected) in [
            (AwsPlaces { key_id: Some("x".to_owned()), ..places.clone() }, "AWS_SECRET_ACCESS_KEY is not"),
            (AwsPlaces { secret_key: Some(Secret::new("x")), ..places.clone() }, "AWS_ACCESS_KEY_ID is not"),
            (AwsPlaces { profile: Some("absent".to_owned()), ..places.clone() }, "`absent`"),
            (
                AwsPlaces { endpoint: Some("127.0.0.1".to_owned()), ..places.clone() },
                "not an http or https URL",
            ),
        ] {
            let error = s3_settings(&broken).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_profile_with_credentials_from_elsewhere_says_how_to_export_them() {
        let (places, _home) = places("", "[default]\nrole_arn = arn:aws:iam::1:role/x\n");
        let error = s3_settings(&places).unwrap_err();
        assert!(error.contains("role_arn") && error.contains("export-credentials"), "{error}");
    }
}
