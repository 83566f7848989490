//! The files that a command line names. No file may be both read and written, or be written twice.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use oci_types::text::visible;

/// The maximum depth of the search in a directory.
const DEPTH_MAX: usize = 16;
/// The maximum number of entries that are looked at in one directory and those below it, as in the readers of manifests.
const ENTRIES_MAX: usize = 100_000;

/// What is read if the path of an input is a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Thin manifests.
    ThinManifests,
    /// YAML files at any depth.
    Yaml,
    /// Reports of scanners.
    ScanReports,
    /// All files whose names below the directory begin with this text.
    All(String),
    /// Nothing that an output could be.
    Nothing,
}

/// The files that a command reads and writes, with the flags that name them.
#[derive(Debug, Default)]
pub(crate) struct NamedFiles {
    inputs: Vec<(Named, Content)>,
    outputs: Vec<Named>,
    /// The flags of an input and of an output that may name the same file.
    in_place: Option<(String, String)>,
}

/// A file, and the flag that names it.
#[derive(Debug)]
struct Named {
    flag: String,
    path: PathBuf,
    /// The file. `None` if several can use it at the same time, as a terminal or `/dev/null`.
    file: Option<FileId>,
}

/// What makes two names the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum FileId {
    /// Device and inode.
    There(u64, u64),
    /// The path of a file that does not exist yet, whose directory is resolved.
    NotThere(PathBuf),
}

/// Why files cannot be used together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// The command line cannot be meant, whatever there is on disk.
    Usage(String),
    /// An output would replace an input or another output.
    Output(String),
}

impl NamedFiles {
    /// Adds a file, or a directory with this content, that is read. `-` is standard input.
    pub(crate) fn reads(&mut self, flag: impl Into<String>, path: &Path, content: Content) {
        self.inputs.push((Named::new(flag.into(), path, "/dev/stdin"), content));
    }

    /// Adds a file that is written. `-` is standard output.
    pub(crate) fn writes(&mut self, flag: impl Into<String>, path: &Path) {
        self.outputs.push(Named::new(flag.into(), path, "/dev/stdout"));
    }

    /// Permits that an input and an output, by their flags, are the same file: it is read before it is replaced.
    pub(crate) fn permits(&mut self, input: impl Into<String>, output: impl Into<String>) {
        self.in_place = Some((input.into(), output.into()));
    }

    /// Checks that no output replaces an input or another output, and that standard input and standard output have one use each.
    ///
    /// # Errors
    /// Returns what clashes, with both flags.
    pub(crate) fn check(&self) -> Result<(), Clash> {
        let inputs: Vec<&Named> = self.inputs.iter().map(|(named, _)| named).collect();
        if let Some((one, other)) = first_two(&inputs, Named::is_standard) {
            return Err(Clash::Usage(format!(
                "{} read standard input (-), which can be read only once",
                both(one, other)
            )));
        }
        let outputs: Vec<&Named> = self.outputs.iter().collect();
        if let Some((one, other)) = first_two(&outputs, Named::is_standard) {
            return Err(Clash::Usage(format!(
                "{} write to standard output (-): name a file for one of them",
                both(one, other)
            )));
        }
        for (index, output) in self.outputs.iter().enumerate() {
            let Some(file) = &output.file else { continue };
            if let Some(other) = self.outputs[..index].iter().find(|other| other.file.as_ref() == Some(file))
            {
                return Err(Clash::Output(format!(
                    "{} write the same file, {}: name another file for one of them",
                    both(other, output),
                    output.shown()
                )));
            }
            let is_permitted = |input: &Named| {
                self.in_place.as_ref().is_some_and(|(one, other)| (one, other) == (&input.flag, &output.flag))
            };
            let mut inputs = self.inputs.iter().filter(|(input, _)| !is_permitted(input));
            if let Some((input, _)) = inputs.find(|(input, content)| is_read(input, content, output, file)) {
                return Err(Clash::Output(format!(
                    "{} would replace {}, which {} reads: name another file for {}",
                    output.flag,
                    output.shown(),
                    input.flag,
                    output.flag
                )));
            }
        }
        Ok(())
    }
}

/// Returns the first two files for which a condition holds.
fn first_two<'a>(all: &[&'a Named], is: impl Fn(&Named) -> bool) -> Option<(&'a Named, &'a Named)> {
    let mut found = all.iter().copied().filter(|named| is(named));
    Some((found.next()?, found.next()?))
}

/// Returns the flags of two files, as the subject of a sentence.
fn both(one: &Named, other: &Named) -> String {
    match one.flag == other.flag {
        true => format!("two values of {}", one.flag),
        false => format!("{} and {}", one.flag, other.flag),
    }
}

impl Named {
    fn new(flag: String, path: &Path, standard: &str) -> Self {
        let is_standard = path == Path::new("-");
        let file = FileId::of(if is_standard { Path::new(standard) } else { path });
        Self { flag, path: path.to_owned(), file }
    }

    fn is_standard(&self) -> bool {
        self.path == Path::new("-")
    }

    fn shown(&self) -> String {
        visible(&self.path.display().to_string())
    }
}

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        match fs::metadata(path) {
            Ok(metadata) => Self::of_metadata(&metadata),
            Err(_) => {
                let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
                let directory = directory.unwrap_or(Path::new(".")).canonicalize().ok()?;
                Some(Self::NotThere(directory.join(path.file_name()?)))
            }
        }
    }

    fn of_metadata(metadata: &Metadata) -> Option<Self> {
        let kind = metadata.file_type();
        let is_device = kind.is_char_device() || kind.is_block_device();
        (!is_device).then(|| Self::There(metadata.dev(), metadata.ino()))
    }
}

/// Returns whether an output is what an input reads.
fn is_read(input: &Named, content: &Content, output: &Named, file: &FileId) -> bool {
    if input.file.as_ref() == Some(file) {
        return true;
    }
    if !matches!(file, FileId::There(..)) || !input.path.is_dir() {
        return false;
    }
    let has_name = |path: &Path, name: &str| path.file_name() == Some(OsStr::new(name));
    let ends_with = |path: &Path, endings: &[&str]| {
        let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
    };
    let search = |directory: &Path, depth: usize, is_wanted: &dyn Fn(&Path) -> bool| {
        let mut left = ENTRIES_MAX;
        has(directory, depth, &mut left, &|path: &Path| {
            is_wanted(path) && FileId::of(path).as_ref() == Some(file)
        })
    };
    match content {
        Content::ThinManifests => {
            let is_registries = |path: &Path| has_name(path, "promoter-manifest.yaml");
            let is_images = |path: &Path| has_name(path, "images.yaml");
            search(&input.path.join("manifests"), 2, &is_registries)
                || search(&input.path.join("images"), 2, &is_images)
        }
        Content::Yaml => search(&input.path, DEPTH_MAX, &|path| ends_with(path, &["yaml", "yml"])),
        Content::ScanReports => search(&input.path, 1, &|path| ends_with(path, &["json", "sarif"])),
        Content::All(prefix) => {
            let (Ok(directory), Ok(path)) = (input.path.canonicalize(), output.path.canonicalize()) else {
                return false;
            };
            path.strip_prefix(directory).is_ok_and(|below| {
                let parts = below.components().all(|part| matches!(part, Component::Normal(_)));
                parts && below.to_string_lossy().starts_with(prefix.as_str())
            })
        }
        Content::Nothing => false,
    }
}

/// Returns whether a directory has a wanted file, at this depth at the most. What cannot be listed has none: its reader says why.
fn has(directory: &Path, depth: usize, left: &mut usize, is_wanted: &dyn Fn(&Path) -> bool) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    for entry in entries.flatten() {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        let path = entry.path();
        let is_found = match path.is_dir() {
            true => depth > 1 && has(&path, depth - 1, left, is_wanted),
            false => is_wanted(&path),
        };
        if is_found {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Checks an output beside an input.
    fn clash(input: &Path, content: Content, output: &Path) -> Option<String> {
        let mut files = NamedFiles::default();
        files.reads("--in", input, content);
        files.writes("--out", output);
        files.check().err().map(|clash| match clash {
            Clash::Output(text) => text,
            Clash::Usage(text) => panic!("{text}"),
        })
    }

    #[test]
    fn a_file_is_the_same_under_every_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("key"), "secret").unwrap();
        symlink(path("key"), path("link")).unwrap();
        fs::hard_link(path("key"), path("hard")).unwrap();
        symlink(directory.path(), path("here")).unwrap();
        for name in ["key", "link", "hard", "here/key", "./key"] {
            let text = clash(&path("key"), Content::Nothing, &path(name)).expect(name);
            let expected = format!("--out would replace {}, which --in reads", path(name).display());
            assert!(text.starts_with(&expected), "{text}");
        }
        assert_eq!(clash(&path("key"), Content::Nothing, &path("other")), None);
        assert_eq!(clash(Path::new("/dev/null"), Content::Nothing, Path::new("/dev/null")), None);
    }

    #[test]
    fn two_outputs_are_the_same_file_before_it_exists() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        symlink(directory.path(), path("here")).unwrap();
        let twice = |flags: [&str; 2], one: &Path, other: &Path| {
            let mut files = NamedFiles::default();
            flags.into_iter().zip([one, other]).for_each(|(flag, path)| files.writes(flag, path));
            files.check()
        };
        let text = match twice(["--a", "--b"], &path("r"), &path("here/r")) {
            Err(Clash::Output(text)) => text,
            other => panic!("{other:?}"),
        };
        assert!(text.starts_with("--a and --b write the same file"), "{text}");
        let repeated = twice(["--a", "--a"], &path("r"), &path("r"));
        assert!(matches!(repeated, Err(Clash::Output(text)) if text.starts_with("two values of --a")));
        assert_eq!(twice(["--a", "--b"], &path("r"), &path("s")), Ok(()));
        assert_eq!(twice(["--a", "--b"], Path::new("/dev/null"), Path::new("/dev/null")), Ok(()));
        let standard = twice(["--a", "--b"], Path::new("-"), Path::new("-"));
        assert!(matches!(standard, Err(Clash::Usage(text)) if text.starts_with("--a and --b write to")));
    }

    #[test]
    fn what_is_read_in_a_directory_is_an_input_and_other_files_there_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in [
            "manifests/a/promoter-manifest.yaml",
            "images/a/images.yaml",
            "images/a/deep/images.yaml",
            "images/a/notes.yaml",
            "report.json",
        ] {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), "").unwrap();
        }
        fs::write(path("shared"), "").unwrap();
        fs::create_dir_all(path("images/b")).unwrap();
        symlink(path("shared"), path("images/b/images.yaml")).unwrap();
        let is_refused =
            |content: &Content, name: &str| clash(directory.path(), content.clone(), &path(name)).is_some();
        for (content, expected) in [
            (
                Content::ThinManifests,
                &["manifests/a/promoter-manifest.yaml", "images/a/images.yaml", "shared"][..],
            ),
            (
                Content::Yaml,
                &[
                    "manifests/a/promoter-manifest.yaml",
                    "images/a/images.yaml",
                    "images/a/deep/images.yaml",
                    "images/a/notes.yaml",
                    "shared",
                ],
            ),
            (Content::ScanReports, &["report.json"]),
            (
                Content::All("im".to_owned()),
                &["images/a/images.yaml", "images/a/deep/images.yaml", "images/a/notes.yaml"],
            ),
            (Content::Nothing, &[]),
        ] {
            for name in [
                "manifests/a/promoter-manifest.yaml",
                "images/a/images.yaml",
                "images/a/deep/images.yaml",
                "images/a/notes.yaml",
                "report.json",
                "shared",
                "images/a/new.yaml",
            ] {
                assert_eq!(is_refused(&content, name), expected.contains(&name), "{content:?}: {name}");
            }
        }
    }

    #[test]
    fn a_file_may_be_changed_in_place_where_that_is_meant() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = directory.path().join("m.yaml");
        fs::write(&manifest, "").unwrap();
        let mut files = NamedFiles::default();
        files.reads("--merge", &manifest, Content::Nothing);
        files.writes("--output", &manifest);
        assert!(files.check().is_err());
        files.permits("--merge", "--output");
        assert_eq!(files.check(), Ok(()));
    }

    #[test]
    fn standard_input_is_read_once() {
        let mut files = NamedFiles::default();
        files.reads("--manifest", Path::new("-"), Content::Nothing);
        assert_eq!(files.check(), Ok(()));
        files.reads("--config", Path::new("-"), Content::Nothing);
        let expected = "--manifest and --config read standard input (-), which can be read only once";
        assert_eq!(files.check(), Err(Clash::Usage(expected.to_owned())));
    }
}
