//! Assembles manifests from the files of projects, which come from disk or from a commit. A fault leaves out the affected
//! entry, or the whole project.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use oci_types::RepositoryPath;

use super::contents::Contents;
use super::declared::{self, Declaration, PolicyDeclaration, Unclear};
use super::diagnostic::{Diagnostic, fingerprint};
use super::diagnostics::Diagnostics;
use super::schema::{self, Reading, Registries};
use crate::model::{Destination, Image, Manifest};
use crate::policy::Policies;

/// The images file of a project.
pub(super) enum ImagesFile {
    /// The file exists. The value is its content, or why it cannot be read.
    There(Result<Contents, Diagnostic>),
    /// The file is missing, which is an error.
    Missing(Diagnostic),
}

/// A project, as far as its files can be read.
struct Project {
    name: Arc<str>,
    images_file: Arc<str>,
    registries: Registries,
    /// `None` if the file has no list of images.
    images: Option<Vec<Image>>,
    /// The readable parts of ambiguous images.
    doubtful: Vec<Image>,
    /// The first fault that leaves out the whole project.
    fault: Option<String>,
    /// A hash of the project's files.
    content: u64,
}

/// The assembled manifests of a tree.
#[derive(Default)]
pub(super) struct Assembled {
    /// The manifests without a fault of the whole project.
    pub(super) manifests: Vec<Manifest>,
    /// The readable parts of manifests and images that are left out.
    pub(super) left_out: Vec<(Vec<Destination>, Vec<Image>)>,
    /// The readable parts of ambiguous images, which are left out.
    pub(super) doubtful: Vec<(Vec<Destination>, Vec<Image>)>,
    /// The projects that are left out as a whole or in part, each with its first fault.
    pub(super) faults: HashMap<Arc<str>, String>,
    /// The projects whose destinations or images cannot be read.
    pub(super) illegible: HashSet<Arc<str>>,
    /// The policies of all projects, including those that are left out.
    pub(super) policies: Policies,
    pub(super) warnings: Vec<Diagnostic>,
    /// All faults, ordered by file and position.
    pub(super) rejected: Diagnostics,
}

/// Collects projects while they are read.
#[derive(Default)]
pub(super) struct Assembly {
    projects: Vec<Project>,
    rejected: Diagnostics,
    pub(super) warnings: Vec<Diagnostic>,
}

impl Assembly {
    /// Adds a plain manifest. Any fault leaves out the whole manifest.
    pub(super) fn plain(&mut self, name: &str, contents: Contents) {
        let content = fingerprint(&contents.bytes);
        let Reading { value: (registries, images), mut wrong, warnings, doubtful } = schema::plain(&contents);
        self.warnings.extend(warnings);
        wrong.belongs_to(name, content);
        let fault = first(&wrong);
        self.rejected.append(wrong);
        let (name, images_file) = (name.into(), contents.file);
        self.projects.push(Project { name, images_file, registries, images, doubtful, fault, content });
    }

    /// Adds a thin manifest from its two files.
    pub(super) fn thin(&mut self, name: &str, registries: Result<Contents, Diagnostic>, images: ImagesFile) {
        let bytes = |contents: &Result<Contents, Diagnostic>| {
            contents.as_ref().ok().map(|contents| fingerprint(&contents.bytes))
        };
        let images_bytes = match &images {
            ImagesFile::There(contents) => bytes(contents),
            ImagesFile::Missing(_) => None,
        };
        let content = fingerprint((bytes(&registries), images_bytes));
        let mut faults = Faults::default();
        let registries = match registries {
            Ok(contents) => {
                let Reading { value, wrong, warnings, .. } = schema::registries(&contents);
                self.warnings.extend(warnings);
                faults.of_project.append(wrong);
                value
            }
            Err(error) => faults.unreadable(error),
        };
        let mut doubtful = Vec::new();
        let (images_file, images) = self.images(images, &registries, &mut faults, &mut doubtful);
        let Faults { of_project: mut wrong, of_entries, of_disk } = faults;
        let fault = first(&of_disk).or_else(|| first(&wrong));
        wrong.append(of_entries);
        wrong.belongs_to(name, content);
        // A file that cannot be read may have changed undetected. Its faults get no identity, so they match no fault of
        // another commit.
        wrong.append(of_disk);
        self.rejected.append(wrong);
        let name = name.into();
        self.projects.push(Project { name, images_file, registries, images, doubtful, fault, content });
    }

    fn images(
        &mut self,
        images: ImagesFile,
        registries: &Registries,
        faults: &mut Faults,
        unclear: &mut Vec<Image>,
    ) -> (Arc<str>, Option<Vec<Image>>) {
        match images {
            ImagesFile::There(Ok(contents)) => {
                let Reading { value, wrong, warnings, doubtful } =
                    schema::images(&contents, Some(registries));
                unclear.extend(doubtful);
                self.warnings.extend(warnings);
                if value.is_none() { &mut faults.of_project } else { &mut faults.of_entries }.append(wrong);
                (contents.file, value)
            }
            ImagesFile::There(Err(error)) => {
                let file = Arc::clone(error.file_name());
                faults.of_disk.push(error);
                (file, None)
            }
            ImagesFile::Missing(error) => {
                let file = Arc::clone(error.file_name());
                faults.of_project.push(error);
                (file, Some(Vec::new()))
            }
        }
    }

    /// Adds a project that cannot be read. It may declare a policy for any source.
    pub(super) fn unreadable(&mut self, name: &str, error: Diagnostic) {
        let file = Arc::clone(error.file_name());
        self.projects.push(Project {
            name: name.into(),
            images_file: Arc::clone(&file),
            registries: Registries::unreadable(&file),
            images: None,
            doubtful: Vec::new(),
            fault: Some(error.to_string()),
            content: 0,
        });
        self.rejected.push(error);
    }

    /// Adds a registries file that belongs to no project. Nothing is promoted by it. The policy that it declares still holds,
    /// so that moving the file does not drop the policy. `path` is its path in the directory of registries files.
    pub(super) fn misplaced(
        &mut self,
        path: &str,
        mut error: Diagnostic,
        registries: Result<Contents, Diagnostic>,
    ) {
        let content = fingerprint(registries.as_ref().ok().map(|contents| &contents.bytes));
        error.belongs_to(path, content);
        let registries = match registries {
            Ok(contents) => schema::registries(&contents).value,
            Err(_) => Registries::unreadable(error.file_name()),
        };
        self.projects.push(Project {
            name: path.into(),
            images_file: Arc::clone(error.file_name()),
            registries,
            images: Some(Vec::new()),
            doubtful: Vec::new(),
            fault: Some(error.to_string()),
            content,
        });
        self.rejected.push(error);
    }

    /// Joins the policies of all projects, and leaves out the projects and images whose policy is unclear.
    pub(super) fn finish(self) -> Assembled {
        let Self { projects, rejected, warnings } = self;
        let declared::Joined { policies, unclear, conflicts } = declared::join(&declarations(&projects));
        let mut assembled = Assembled { policies, rejected, warnings, ..Assembled::default() };
        report_unlimited(&projects, &mut assembled.rejected);
        let mut contradicting: HashMap<usize, Vec<Diagnostic>> = HashMap::new();
        for (project, diagnostic) in conflicts {
            contradicting.entry(project).or_default().push(diagnostic);
        }
        for (number, project) in projects.into_iter().enumerate() {
            let conflicts = contradicting.remove(&number).unwrap_or_default();
            assembled.add(project, conflicts, &unclear);
        }
        assembled.rejected.sort();
        assembled
    }
}

/// The faults of a project.
#[derive(Default)]
struct Faults {
    /// Faults that leave out the whole project.
    of_project: Diagnostics,
    /// Faults that leave out an entry.
    of_entries: Diagnostics,
    /// Files that cannot be read, which leaves out the whole project.
    of_disk: Diagnostics,
}

impl Faults {
    fn unreadable(&mut self, error: Diagnostic) -> Registries {
        let registries = Registries::unreadable(error.file_name());
        self.of_disk.push(error);
        registries
    }
}

fn first(wrong: &Diagnostics) -> Option<String> {
    wrong.iter().next().map(ToString::to_string)
}

fn declarations(projects: &[Project]) -> Vec<Declaration<'_>> {
    let mut declarations = Vec::with_capacity(projects.len());
    for (number, project) in projects.iter().enumerate() {
        let Registries { sources, declared, span, .. } = &project.registries;
        let is_promoted = project.fault.is_none();
        declarations.push(Declaration { project: number, sources, declared, span, is_promoted });
    }
    declarations
}

/// Reports each file that leaves out all other projects once, so that the cause is easy to find.
fn report_unlimited(projects: &[Project], rejected: &mut Diagnostics) {
    for project in projects.iter().filter(|_| projects.len() > 1) {
        if let PolicyDeclaration::Unknown(declared::Reach::Everything) = &project.registries.declared {
            let message = "this cannot be read and may declare a provenance policy for any source, so nothing is promoted";
            let help = "correct it or remove it";
            rejected.push(project.registries.span.diagnostic(message).help(help));
        }
    }
}

impl Assembled {
    /// Adds a project, without the parts that are left out.
    fn add(&mut self, project: Project, conflicts: Vec<Diagnostic>, unclear: &[Unclear]) {
        let Project { name, images_file, registries, images, doubtful, fault, content } = project;
        let Registries { sources, destinations, span, .. } = registries;
        // The identity covers the whole project, because the message contains positions in other files.
        let identity = fingerprint((&name, "policy", content));
        let is_in_conflict = !conflicts.is_empty();
        for conflict in conflicts {
            self.reject(&name, conflict.identified(identity));
        }
        let (Some(destinations), Some(images)) = (destinations, images) else {
            self.faults.extend(fault.map(|fault| (Arc::clone(&name), fault)));
            self.illegible.insert(name);
            return;
        };
        if !doubtful.is_empty() {
            self.doubtful.push((destinations.clone(), doubtful));
        }
        // A project without a fault has exactly one source.
        let ([source], None) = (&sources[..], &fault) else {
            self.faults.extend(fault.map(|fault| (name, fault)));
            self.left_out.push((destinations, images));
            return;
        };
        let reasons = |path: Option<&RepositoryPath>| {
            unclear.iter().find_map(|unclear| unclear.reason(&source.host, path))
        };
        if let Some(reason) = reasons(source.prefix.as_ref()) {
            if !is_in_conflict && !reason.is_empty() {
                let message = format!("this project is left out, because {reason}");
                self.reject(&name, span.diagnostic(message).identified(identity));
            }
            self.left_out.push((destinations, images));
            return;
        }
        // A policy for a part of the source affects only the images in that part.
        let mut kept = Vec::with_capacity(images.len());
        let mut left_out = Vec::new();
        for image in images {
            let repository = source.repository(&image.name).ok();
            match repository.and_then(|repository| reasons(Some(&repository.path))) {
                None => kept.push(image),
                Some(reason) => {
                    let message = format!("the image {} is left out, because {reason}", image.name);
                    let place = Diagnostic::of_file(&images_file, message);
                    self.reject(&name, place.identified(fingerprint((identity, &image.name))));
                    left_out.push(image);
                }
            }
        }
        if !left_out.is_empty() {
            self.left_out.push((destinations.clone(), left_out));
        }
        let source = source.clone();
        self.manifests.push(Manifest {
            name,
            images_file,
            source,
            destinations,
            unchanged: Vec::new(),
            images: kept,
        });
    }

    fn reject(&mut self, project: &Arc<str>, diagnostic: Diagnostic) {
        self.faults.entry(Arc::clone(project)).or_insert_with(|| diagnostic.to_string());
        self.rejected.push(diagnostic);
    }
}
