//! `kpromo manifest add`: a tag of an image in a manifest, offline.

use std::path::Path;

use manifest::Manifest;
use manifest::edit::{Edited, ImagesFile};
use oci::{RegistryRoot, RepositoryPath};

use crate::args::{AddTarget, ImageText, ManifestAddArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::images_edit::{Project, diff, edit, failure, read_folder};
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
        AddTarget::File { file: path, image } => {
            let file = ImagesFile::read(path, None).map_err(|error| failure(&error))?;
            let edited = edit(&file, &[args.addition(image.clone())], args.format)?;
            write(args, path, &file, &edited)
        }
        AddTarget::Folder { folder, project, image } => {
            let (project, image) = find(folder, project.as_deref(), image)?;
            let edited = project.edit(&[args.addition(image)], args.format)?;
            write(args, &project.path, &project.file, &edited)
        }
    }
}

/// Finds the project of an image, and the name of the image in it.
fn find(
    folder: &Path,
    project: Option<&str>,
    image: &ImageText,
) -> Result<(Project, RepositoryPath), Failure> {
    let manifests = read_folder(folder)?;
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
            Project::find(folder, manifests, &format!("the staging registry {source}"), is_meant)?,
            name,
        ));
    }
    let Some(name) = image.name.clone() else {
        let text = "no manifest has a staging registry that the image is below".to_owned();
        return Err(Failure::new(Exit::Invalid, text));
    };
    let found = match project {
        Some(project) => Project::find(folder, manifests, &format!("the project {project}"), is_wanted)?,
        None => {
            let lists = |manifest: &Manifest| manifest.images.iter().any(|image| image.name == name);
            Project::find(folder, manifests, &format!("the image {name}"), lists).map_err(|failure| {
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
        let written = write_file(path, "manifest", |to| to.write_all(new));
        written.map_err(|problem| Failure::new(Exit::Failure, problem))?;
    }
    for addition in &edited.added {
        print(&format!("{shown}: + {}:{} {}\n", addition.image, addition.tag, addition.digest));
    }
    if edited.added.is_empty() {
        let what = if old == new { "nothing to change" } else { "formatted" };
        print(&format!("{shown}: {what}, the tag is there already\n"));
    }
    Ok(())
}
