//! `kpromo manifest files` and `kpromo manifest validate`.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use crate::support::{Desk, Ran, kpromo, run};

/// Names that YAML would read as something else than a text, and others.
const NAMES: &[&str] = &[
    "v1.0/linux/amd64/tool",
    "v1.0/linux/amd64/tool.sha256",
    "v1.10/tool",
    "v1/tool",
    "empty-file",
    "with space/a b.txt",
    ".hidden/file",
    ".dotfile",
    "ünïcode",
    "yes",
    "null",
    "1.0",
    "0x1f",
    "@at",
    "#hash",
    "colon: inside",
    "quote'd",
    "\"dq\"",
    "- dash",
    "*star",
    "trailing ",
    "~",
    "2020-01-01",
];

/// Makes the tree that the Go tool was recorded with.
fn tree() -> Desk {
    let desk = Desk::new();
    for name in NAMES {
        let content = match *name {
            "v1.0/linux/amd64/tool" => "alpha\n".to_owned(),
            "v1.0/linux/amd64/tool.sha256" => "beta\n".to_owned(),
            "v1.10/tool" => "gamma\n".to_owned(),
            "v1/tool" => "delta\n".to_owned(),
            "empty-file" => String::new(),
            "with space/a b.txt" => "x\n".to_owned(),
            ".hidden/file" => "h\n".to_owned(),
            ".dotfile" => "dot\n".to_owned(),
            "ünïcode" => "u\n".to_owned(),
            name => format!("{name}\n"),
        };
        desk.write(&format!("tree/{name}"), &content);
    }
    fs::create_dir(desk.path("tree/empty-dir")).unwrap();
    symlink("v1/tool", desk.path("tree/link-to-file")).unwrap();
    desk
}

fn manifest(desk: &Desk, words: &[&str]) -> Ran {
    let mut command = kpromo(None);
    command.arg("manifest").args(words).current_dir(desk.path("."));
    run(command)
}

fn files(desk: &Desk, flags: &[&str]) -> Ran {
    manifest(desk, &[&["files"], flags].concat())
}

/// The names of the entries in an output, as they are written.
fn names(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().filter_map(|line| line.strip_prefix("- name: ")).collect()
}

#[test]
fn a_directory_is_described_byte_for_byte_as_the_go_tool_does() {
    let desk = tree();
    let expected = include_str!("data/manifest-files.yaml");
    for src in ["tree", "tree/", "link", "link/"] {
        if src == "link" {
            symlink("tree", desk.path("link")).unwrap();
        }
        let ran = files(&desk, &["--src", src]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, expected), "{src}: {}", ran.stderr);
    }
    let empty = files(&desk, &["--src", "tree/empty-dir"]);
    assert_eq!((empty.code, empty.stdout.as_str()), (0, "{}\n"));
    let v1 = files(&desk, &["--src", "tree", "--prefix", "v1"]);
    let all = ["v1/tool", "v1.0/linux/amd64/tool", "v1.0/linux/amd64/tool.sha256", "v1.10/tool"];
    assert_eq!(names(&v1), all);
    assert_eq!(names(&files(&desk, &["--src", "tree", "--prefix", "v1.0/linux/amd64/tool"])).len(), 2);
    assert_eq!(files(&desk, &["--src", "tree", "--prefix", "nothing"]).stdout, "{}\n");
    // There `v1/` matches `v1.10/tool`, too.
    assert_eq!(names(&files(&desk, &["--src", "tree", "--prefix", "v1/"])), ["v1/tool"]);
}

#[test]
fn what_no_manifest_can_name_is_told_all_at_once() {
    let desk = tree();
    symlink("v1.0", desk.path("tree/link-to-dir")).unwrap();
    symlink("nowhere", desk.path("tree/v1/dangling")).unwrap();
    desk.write("tree/v1/new\nline", "x");
    fs::write(desk.path("tree").join(OsStr::from_bytes(b"bad\xffutf8")), "x").unwrap();
    let ran = files(&desk, &["--src", "tree"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (10, ""));
    for fault in [
        "tree/link-to-dir: a link to a directory, which is not followed",
        "tree/v1/dangling: a link to nothing",
        "tree/v1/new\\nline: a file's name has no control characters",
        "utf8: the name is not text in UTF-8",
    ] {
        assert!(ran.stderr.contains(fault), "{fault}: {}", ran.stderr);
    }
    assert_eq!(files(&desk, &["--src", "tree/empty-file"]).code, 10);
    assert_eq!(files(&desk, &["--src", "tree/absent"]).code, 10);
    assert_eq!(files(&desk, &[]).code, 2);
    assert_eq!(files(&desk, &["--src", "tree", "extra"]).code, 2, "there it is ignored");
}

#[test]
fn a_manifest_is_merged_into_and_written_as_a_whole() {
    let desk = tree();
    let first = files(&desk, &["--src", "tree", "--prefix", "v1.0/", "--output", "m.yaml"]);
    assert_eq!((first.code, first.stdout.as_str()), (0, ""), "{}", first.stderr);
    let merged =
        files(&desk, &["--src", "tree", "--prefix", "v1", "--merge", "m.yaml", "--output", "m.yaml"]);
    assert_eq!(merged.code, 0, "{}", merged.stderr);
    let text = fs::read_to_string(desk.path("m.yaml")).unwrap();
    assert_eq!(text.matches("- name:").count(), 4, "{text}");
    desk.write("tree/v1/tool", "other\n");
    let conflict =
        files(&desk, &["--src", "tree", "--prefix", "v1", "--merge", "m.yaml", "--output", "m.yaml"]);
    assert!(
        conflict.code == 11 && conflict.stderr.contains("v1/tool: the manifest has"),
        "{}",
        conflict.stderr
    );
    assert_eq!(fs::read_to_string(desk.path("m.yaml")).unwrap(), text, "the manifest is as it was");
    desk.write("broken.yaml", "files: [\n");
    let broken = files(&desk, &["--src", "tree", "--merge", "broken.yaml"]);
    assert!(broken.code == 10 && broken.stderr.contains("broken.yaml:1:8"), "{}", broken.stderr);
}

/// What the Go tool was recorded with, by its arguments; and what ours does.
#[test]
fn arguments_of_validate_are_those_of_the_go_tool() {
    let desk = Desk::new();
    let entries =
        "files:\n- {name: a, sha256: 905fef7b0658ff5d266140d1cea1eb5b414393b4d0c7897b05beae78678395c3}\n";
    let stores = "filestores:\n- {base: gs://staging, src: true}\n- {base: gs://prod}\n";
    desk.write("ok/filestores.yaml", stores);
    desk.write("ok/files.yaml", entries);
    desk.write("more/b.yaml", &entries.replace("name: a", "name: b"));
    desk.write("bad.yaml", "filestores: [\n");
    desk.write("tree/filestores/p/filepromoter-manifest.yaml", stores);
    desk.write("tree/manifests/p/x.yaml", entries);
    for (words, code, expected) in [
        (&[][..], 0, ""),
        (&["tree"][..], 0, "1 project, 1 file"),
        (&["ok/files.yaml"][..], 10, "ok/files.yaml"),
        (&["absent"][..], 10, "cannot read absent"),
        (&["ok", "ok/files.yaml"][..], 10, "not a regular file"),
        (&["ok/filestores.yaml", "ok/files.yaml"][..], 0, "1 project, 1 file"),
        // The directory holds the file of stores, too.
        (&["ok/filestores.yaml", "ok"][..], 10, "a file with `files` holds no `filestores`"),
        (&["ok/filestores.yaml", "absent"][..], 10, "cannot read absent"),
        // There, more arguments are ignored.
        (&["ok/filestores.yaml", "ok/files.yaml", "bad.yaml"][..], 10, "bad.yaml:1:13"),
        (&["ok/filestores.yaml", "ok/files.yaml", "more"][..], 0, "1 project, 2 files"),
    ] {
        let ran = manifest(&desk, &[&["validate"], words].concat());
        assert_eq!(ran.code, code, "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{words:?}: {}", ran.stderr);
        assert_eq!(!ran.stdout.is_empty(), words.is_empty(), "help is a result: {words:?}");
    }
}
