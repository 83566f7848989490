//! Snapshots of manifests, without network access.

use crate::support::{Desk, cip, kpromo_with};

const PLAIN: &str = include_str!("golden/plain.yaml");
const YAML: &str = include_str!("golden/snapshot-of-k8s-artifacts-prod.yaml");
const CSV: &str = include_str!("golden/snapshot-of-images.csv");

/// Writes the plain manifest, and thin manifests with the same content. Returns the flags that name them.
fn manifests(desk: &Desk) -> [String; 2] {
    let plain = desk.write("plain.yaml", PLAIN);
    let (registries, images) = PLAIN.split_once("images:\n").unwrap();
    desk.write("thin/manifests/proj/promoter-manifest.yaml", registries);
    desk.write("thin/images/proj/images.yaml", images);
    [
        format!("--manifest={}", plain.display()),
        format!("--thin-manifest-dir={}", desk.path("thin").display()),
    ]
}

#[test]
fn plain_and_thin_manifests_are_printed_as_the_go_tool_prints_plain_ones() {
    let desk = Desk::new();
    for manifest in manifests(&desk) {
        for (registry, output, expected) in [
            ("127.0.0.1:5601/k8s-artifacts-prod", "--output=yaml", YAML),
            ("127.0.0.1:5601/k8s-artifacts-prod", "--sign=false", YAML),
            ("127.0.0.1:5601/k8s-artifacts-prod/images/", "--output=CSV", CSV),
            ("127.0.0.1:5602/k8s-artifacts-prod/images", "--output=csv", CSV),
        ] {
            let ran = cip(&[&manifest, "--manifest-based-snapshot-of", registry, output]);
            assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "{manifest} {ran:?}");
        }
        let ran = kpromo_with(&["snapshot", &manifest, "127.0.0.1:5601/k8s-artifacts-prod"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, YAML), "{ran:?}");
    }
}

#[test]
fn the_same_is_printed_as_json_and_can_be_limited_to_a_tag() {
    let desk = Desk::new();
    let [manifest, _] = manifests(&desk);
    let of = ["--manifest-based-snapshot-of", "127.0.0.1:5601/k8s-artifacts-prod"];
    let ran = cip(&[&[manifest.as_str(), "--output", "json"], of.as_slice()].concat());
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    assert_eq!(json[0]["name"], "images/proj000/image-0");
    let digest = "sha256:22e00686c9a82f9a40c80685c3b456673b19fbfba654020cd8107ccc4a0c807f";
    assert_eq!(json[0]["dmap"][digest], serde_json::json!(["v1.2.0", "v1.2.1"]));

    let ran = cip(&[&[manifest.as_str(), "--snapshot-tag=v1.2.1", "--output=csv"], of.as_slice()].concat());
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 7, "both tags of one digest of each image, and the empty line: {lines:?}");
    assert!(lines[0].contains(digest) && lines[0].ends_with(":v1.2.0"), "{lines:?}");
}

/// The Go tool compares the texts of registries, and takes the first for a part of the second.
#[test]
fn registries_are_compared_by_whole_components() {
    let desk = Desk::new();
    let digest = |n: &str| format!("sha256:{}", n.repeat(64));
    let text = format!(
        "registries:\n- name: r.example/staging\n  src: true\n- name: r.example/prod/operator\n\
         - name: r.example/prod/operator-bundle\nimages:\n- name: app\n  dmap:\n    \"{}\": []\n    \"{}\": [\"v1\", \"{}.sig\"]\n",
        digest("a"),
        digest("b"),
        digest("c").replace(':', "-"),
    );
    let manifest = format!("--manifest={}", desk.write("m.yaml", &text).display());
    let ran = cip(&[&manifest, "--manifest-based-snapshot-of=r.example/prod/operator", "--output=csv"]);
    let expected = format!(
        "app@{a},-\napp@{b},app:{sig}.sig\napp@{b},app:v1\n\n",
        a = digest("a"),
        b = digest("b"),
        sig = digest("c").replace(':', "-")
    );
    assert_eq!((ran.code, ran.stdout), (0, expected), "tags of signatures are there as in the Go tool");
    let ran = cip(&[&manifest, "--manifest-based-snapshot-of=r.example", "--output=csv"]);
    let names: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split('@').next()).collect();
    assert_eq!(names[0], "prod/operator-bundle/app", "in the order of their bytes: {names:?}");
    assert_eq!(names[3], "prod/operator/app");
    for unknown in ["r.example/prod/oper", "r.example/staging", "s.example"] {
        let ran = cip(&[&manifest, "--manifest-based-snapshot-of", unknown]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{unknown}");
        assert!(ran.stderr.contains(&format!("no manifest promotes to {unknown}")), "{}", ran.stderr);
    }
}

#[test]
fn an_invalid_entry_of_thin_manifests_leaves_the_others() {
    let desk = Desk::new();
    let [_, thin] = manifests(&desk);
    let images = desk.path("thin/images/proj/images.yaml");
    let text = std::fs::read_to_string(&images).unwrap();
    std::fs::write(&images, text.replacen("\"v1.0.0\"", "\"-v1.0.0\"", 1)).unwrap();
    let of = ["--manifest-based-snapshot-of", "127.0.0.1:5601/k8s-artifacts-prod"];
    let ran = cip(&[&[thin.as_str()], of.as_slice()].concat());
    let first = "    \"sha256:9d2776fef78e59c9c1c739859981cc850a801bd372775550c77290ef32243138\": [\"v1.0.0\", \"v1.0.1\"]\n";
    assert!(YAML.contains(first));
    assert_eq!(ran.code, 30, "{}", ran.stderr);
    assert!(ran.stderr.contains("images.yaml:3:"), "{}", ran.stderr);
    assert!(!ran.stdout.contains("-v1.0.0") && ran.stdout.ends_with("\n\n"), "{}", ran.stdout);
    assert!(ran.stdout.lines().count() >= YAML.lines().count() - 1, "{}", ran.stdout);
    let ran = cip(&[&[thin.as_str(), "--strict"], of.as_slice()].concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (10, ""), "{}", ran.stderr);
}

#[test]
fn invalid_and_contradictory_manifests_print_nothing() {
    let desk = Desk::new();
    let digest = |n: &str| format!("\"sha256:{}\"", n.repeat(64));
    let overlap = format!(
        "registries:\n- name: r.example/staging\n  src: true\n- name: r.example/prod\nimages:\n- name: app\n  dmap:\n    {}: [v1]\n    {}: [v1]\n",
        digest("a"),
        digest("b")
    );
    for (text, code, expected) in
        [(overlap.as_str(), 11, "r.example/prod/app:v1"), ("registries: []\n", 10, "m.yaml")]
    {
        let manifest = format!("--manifest={}", desk.write("m.yaml", text).display());
        let ran = cip(&[&manifest, "--manifest-based-snapshot-of=r.example/prod"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}
