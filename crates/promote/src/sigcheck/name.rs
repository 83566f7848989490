//! Maps any name of an image in production to its canonical repository.

use oci::Repository;
use trust::Production;

/// Returns the canonical repository of an image, which holds its signatures. For the name that users pull by and for any region
/// below the production path, it is the repository on the canonical host. Any other repository is its own canonical repository.
pub(super) fn canonical(production: &Production, named: &Repository) -> Repository {
    let host = &production.canonical_host;
    if production.name(named).is_some() {
        return Repository { host: host.clone(), path: named.path.clone() };
    }
    let below = || production.path.join(&named.path).ok();
    match named.host == production.reference {
        true => below().map_or_else(|| named.clone(), |path| Repository { host: host.clone(), path }),
        false => named.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_an_image_maps_to_the_canonical_repository() {
        let production = Production {
            canonical_host: "m.io".parse().unwrap(),
            path: "prod/images".parse().unwrap(),
            reference: "registry.example".parse().unwrap(),
        };
        for (name, expected) in [
            ("registry.example/app", "m.io/prod/images/app"),
            ("registry.example/group/app", "m.io/prod/images/group/app"),
            ("m.io/prod/images/app", "m.io/prod/images/app"),
            ("b.io/prod/images/app", "m.io/prod/images/app"),
            ("b.io/mirror/app", "b.io/mirror/app"),
            ("m.io/prod/images-old/app", "m.io/prod/images-old/app"),
        ] {
            let canonical = canonical(&production, &name.parse().unwrap());
            assert_eq!(canonical.to_string(), expected, "{name}");
        }
    }
}
