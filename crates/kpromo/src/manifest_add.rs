//! `kpromo manifest add`: adds a tag to a manifest, offline.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use manifest::edit::{EditError, Edited, FileKind, ImagesFile};
use manifest::{Manifest, Manifests, load_plain};
use oci::{RegistryRoot, RepositoryPath};

use crate::args::{AddTarget, ImageText, ManifestAddArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::images_edit::{Project, diff, edit, failure, plan, read_directory};
use crate::output::write_file;
use crate::terminal::print;

/// Adds a tag.
pub(crate) fn run(args: &ManifestAddArgs) -> Exit {
    match add(args) {
        Ok(()) => Exit::Success,
        Err(failure) => failure.print(),
    }
}

fn add(args: &ManifestAddArgs) -> Result<(), Failure> {
    match &args.target {
        AddTarget::File { file: path, image } => match tree_of(path) {
            Some((root, project)) => add_to_project(args, &root, Some(&project), image, Some(path)),
            None => add_to_file(args, path, image),
        },
        AddTarget::Directory { directory, project, image } => {
            add_to_project(args, directory, project.as_deref(), image, None)
        }
    }
}

/// Adds a tag to the list of images of a project, and plans the whole directory. `shown` is the user's path of the list.
fn add_to_project(
    args: &ManifestAddArgs,
    directory: &Path,
    project: Option<&str>,
    image: &ImageText,
    shown: Option<&Path>,
) -> Result<(), Failure> {
    let (project, image) = find(directory, project, image)?;
    let _held = lock(args, &project.path);
    // Another process may have changed it since it was read.
    let project = project.reread()?;
    let edited = project.edit(&[args.addition(image)], args.format)?;
    write(args, shown.unwrap_or(&project.path), &project.file, &edited)
}

/// Adds a tag to a file that is not in a directory of thin manifests.
fn add_to_file(args: &ManifestAddArgs, path: &Path, image: &ImageText) -> Result<(), Failure> {
    let _held = lock(args, path);
    let file = ImagesFile::read(path, None).map_err(|error| failure(&error))?;
    let manifests = match file.kind() {
        FileKind::Images => Manifests::default(),
        FileKind::Plain => load_plain(path).map_err(|faults| failure(&EditError::Invalid(faults)))?,
    };
    let staged = image.reference.iter().flat_map(|reference| {
        manifests.manifests.iter().filter_map(|manifest| below(reference, &manifest.source))
    });
    let lists = |name: &RepositoryPath| file.images().iter().any(|own| own.name == *name);
    let name = match (staged.min_by_key(|name| name.as_str().len()), &image.name) {
        (Some(name), _) => name,
        (None, Some(name)) if image.reference.is_none() || lists(name) => name.clone(),
        _ => {
            let text = format!(
                "IMAGE is a reference, but {} has no staging registry that contains it",
                path.display()
            );
            return Err(Failure::new(Exit::Usage, text)
                .help("name the image as the manifest does, or the directory with --dir"));
        }
    };
    let edited = edit(&file, &[args.addition(name)], args.format)?;
    let edited = match manifests.manifests.first() {
        Some(manifest) => plan(&manifests, &manifest.name, edited)?,
        None => edited,
    };
    write(args, path, &file, &edited)
}

/// Returns the directory of thin manifests that contains a list of images, and its project: `ROOT/images/PROJECT/images.yaml`.
fn tree_of(path: &Path) -> Option<(PathBuf, String)> {
    let path = std::path::absolute(path).ok()?;
    let project = path.parent()?;
    let images = project.parent()?;
    let (root, name) = (images.parent()?, project.file_name()?.to_str()?);
    let is_list = path.ends_with("images.yaml") && images.ends_with("images");
    let registries = root.join("manifests").join(name).join("promoter-manifest.yaml");
    (is_list && registries.exists()).then(|| (root.to_owned(), name.to_owned()))
}

/// Locks the directory of a file against other processes until the result is dropped.
fn lock(args: &ManifestAddArgs, path: &Path) -> Option<File> {
    if args.dry_run {
        return None;
    }
    let path = path.canonicalize().ok()?;
    let held = File::open(path.parent()?).and_then(|directory| directory.lock().map(|()| directory));
    // Some file systems have no locks. The file is still compared with its earlier content before it is replaced.
    held.inspect_err(|error| tracing::debug!("the directory of {} cannot be locked: {error}", path.display()))
        .ok()
}

/// Finds the project of an image, and the name of the image in it.
fn find(
    directory: &Path,
    project: Option<&str>,
    image: &ImageText,
) -> Result<(Project, RepositoryPath), Failure> {
    let manifests = read_directory(directory)?;
    let is_wanted = |manifest: &Manifest| project.is_none_or(|project| *manifest.name == *project);
    // A reference names the project by its staging registry, the longest one if there are several.
    let staged = image.reference.iter().flat_map(|reference| {
        let manifests = manifests.manifests.iter().filter(|manifest| is_wanted(manifest));
        manifests.filter_map(|manifest| Some((manifest.source.clone(), below(reference, &manifest.source)?)))
    });
    let staged = staged.min_by_key(|(_, name)| name.as_str().len());
    if let Some((source, name)) = staged {
        let is_meant = |manifest: &Manifest| is_wanted(manifest) && manifest.source == source;
        return Ok((
            Project::find(directory, manifests, &format!("the staging registry {source}"), is_meant)?,
            name,
        ));
    }
    let lists = |name: &RepositoryPath| {
        let wanted = manifests.manifests.iter().filter(|manifest| is_wanted(manifest));
        wanted.flat_map(|manifest| &manifest.images).any(|image| image.name == *name)
    };
    // A reference with a registry is accepted as a name only if an image already has that name.
    let Some(name) = image.name.clone().filter(|name| image.reference.is_none() || lists(name)) else {
        let text = "no manifest has a staging registry that contains the image".to_owned();
        return Err(Failure::new(Exit::Invalid, text).help("name the image as the manifest does"));
    };
    let found = match project {
        Some(project) => Project::find(directory, manifests, &format!("the project {project}"), is_wanted)?,
        None => {
            let lists = |manifest: &Manifest| manifest.images.iter().any(|image| image.name == name);
            Project::find(directory, manifests, &format!("the image {name}"), lists).map_err(|failure| {
                failure.help("name the project with --project, or the image by its staging reference")
            })?
        }
    };
    Ok((found, name))
}

/// Returns the path of an image below a registry.
fn below(reference: &RegistryRoot, source: &RegistryRoot) -> Option<RepositoryPath> {
    if reference.host != source.host {
        return None;
    }
    let path = reference.prefix.as_ref()?;
    match &source.prefix {
        None => Some(path.clone()),
        Some(prefix) => path.as_str().strip_prefix(prefix.as_str())?.strip_prefix('/')?.parse().ok(),
    }
}

fn write(args: &ManifestAddArgs, path: &Path, before: &ImagesFile, edited: &Edited) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let (old, new) = (before.bytes(), edited.file.bytes());
    if args.dry_run {
        print(&diff(shown.trim_start_matches('/'), old, new));
        return Ok(());
    }
    if old != new {
        let mut is_changed = false;
        let written = write_file(path, "manifest", |to| {
            to.write_all(new)?;
            // Another program may have changed the file meanwhile. Its change would be lost.
            is_changed = fs::read(path)? != old;
            if is_changed { Err(io::Error::other("it has changed since it was read")) } else { Ok(()) }
        });
        written.map_err(|problem| {
            let exit = if is_changed { Exit::Conflict } else { Exit::Failure };
            let failure = Failure::new(exit, problem);
            if is_changed { failure.help("run the same command again") } else { failure }
        })?;
    }
    for addition in &edited.added {
        print(&format!("{shown}: + {}:{} {}\n", addition.image, addition.tag, addition.digest));
    }
    if edited.added.is_empty() {
        let what = if old == new { "nothing to change" } else { "formatted" };
        print(&format!("{shown}: {what}, the tag already exists\n"));
    }
    Ok(())
}
