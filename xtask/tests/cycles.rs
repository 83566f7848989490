//! No file of a crate imports another that imports it back, directly or indirectly. What two files share is in a third file
//! below both.

#![expect(clippy::unwrap_used, reason = "test helpers report failures by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree, Visibility};

/// The path of a module within its crate, such as `["plan", "reading"]`. It is empty for the root of the crate.
type Module = Vec<String>;

/// The names that a file uses from its own crate.
#[derive(Default)]
struct Names {
    /// The module of the file.
    module: Module,
    /// The number of modules within the file around the current item.
    depth: usize,
    /// Paths that the file imports or writes out, from the root of the crate.
    imported: Vec<Vec<String>>,
    /// Names that the file imports, with their origins.
    known: BTreeMap<String, Vec<String>>,
    /// Paths that begin with a module below the file's module, or with an imported name.
    relative: Vec<Vec<String>>,
    /// Modules below the file's module that exist only in tests.
    test_modules: Vec<Module>,
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    };
    attributes.iter().any(is_test)
}

/// Collects the paths of a tree of imports, each with the name that it has in the file.
fn leaves(tree: &UseTree, prefix: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let joined = |name: String| [prefix, &[name]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &joined(path.ident.to_string()), found),
        UseTree::Name(name) => found.push((name.ident.to_string(), joined(name.ident.to_string()))),
        UseTree::Rename(rename) => found.push((rename.rename.to_string(), joined(rename.ident.to_string()))),
        UseTree::Glob(_) => found.push(("*".to_owned(), prefix.to_vec())),
        UseTree::Group(group) => group.items.iter().for_each(|item| leaves(item, prefix, found)),
    }
}

impl Names {
    /// Adds a path that the file uses.
    fn name(&mut self, path: Vec<String>) {
        match self.absolute(&path) {
            Some(absolute) => self.imported.push(absolute),
            None if self.depth == 0 => self.relative.push(path),
            None => {}
        }
    }

    /// Returns a path from the root of the crate, or `None` if the path is outside the crate.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let supers = path.iter().take_while(|part| *part == "super").count();
        match path.first().map(String::as_str)? {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&self.module, &path[1..]].concat()),
            "super" => {
                let up = self.module.len().checked_sub(supers.saturating_sub(self.depth))?;
                Some([&self.module[..up], &path[supers..]].concat())
            }
            _ => None,
        }
    }

    fn import(&mut self, item: &ItemUse) {
        let mut paths = Vec::new();
        leaves(&item.tree, &[], &mut paths);
        for (name, path) in paths {
            // A path without a prefix may begin with a module below this one.
            let absolute = self.absolute(&path).unwrap_or_else(|| [&self.module[..], &path].concat());
            self.known.insert(name, absolute.clone());
            // A re-export alone is not a use, unless the file also names the item elsewhere.
            if matches!(item.vis, Visibility::Inherited) {
                self.imported.push(absolute);
            }
        }
    }
}

/// Returns the paths of at least two names among tokens, also within brackets.
fn paths(tokens: &TokenStream) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens.clone() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            TokenTree::Ident(name) if colons == 2 && !path.is_empty() => {
                path.push(name.to_string());
                colons = 0;
            }
            other => {
                found.push(std::mem::take(&mut path));
                colons = 0;
                match other {
                    TokenTree::Ident(name) => path.push(name.to_string()),
                    TokenTree::Group(group) => found.extend(paths(&group.stream())),
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
        }
    }
    found.push(path);
    found.retain(|path| path.len() > 1);
    found
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        match item {
            _ if !is_for_tests(attributes) => visit::visit_item(self, item),
            Item::Mod(item) => self.test_modules.push([&self.module[..], &[item.ident.to_string()]].concat()),
            _ => {}
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(item);
    }

    /// `pub(in super::super)` names a module and uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.name(parts);
        visit::visit_path(self, path);
    }

    /// `syn` leaves the arguments of a macro as tokens.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        paths(&call.tokens).into_iter().for_each(|path| self.name(path));
        visit::visit_macro(self, call);
    }
}

/// Adds the sources of a crate, by module, to `found`.
fn sources(directory: &Path, module: &[String], found: &mut BTreeMap<Module, PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            sources(&path, &[module, &[name]].concat(), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let own = match name.as_str() {
                "mod" => module.to_vec(),
                "lib" | "main" if module.is_empty() => Vec::new(),
                _ => [module, &[name]].concat(),
            };
            found.insert(own, path);
        }
    }
}

/// Returns the module that defines what a path names, through all re-exports.
fn holder(
    path: &[String],
    files: &BTreeMap<Module, Names>,
    seen: &mut BTreeSet<Vec<String>>,
) -> Option<Module> {
    if !seen.insert(path.to_vec()) {
        return None;
    }
    let length = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
    let (module, rest) = path.split_at(length);
    let Some(name) = rest.first() else { return Some(module.to_vec()) };
    match files[module].known.get(name).filter(|origin| *origin != path) {
        Some(origin) => holder(&[origin, &rest[1..]].concat(), files, seen),
        None => Some(module.to_vec()),
    }
}

/// Returns the files of a crate, each with the files that it imports.
fn imports(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let mut paths = BTreeMap::new();
    sources(source, &[], &mut paths);
    let mut files: BTreeMap<Module, Names> = paths
        .into_iter()
        .map(|(module, path)| {
            let mut names = Names { module: module.clone(), ..Names::default() };
            names.visit_file(&syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap());
            for path in std::mem::take(&mut names.relative) {
                let origin = names.known.get(&path[0]).cloned();
                names.imported.push(origin.unwrap_or_else(|| [&module[..], &path].concat()));
            }
            (module, names)
        })
        .collect();
    let for_tests: Vec<Module> = files.values().flat_map(|names| names.test_modules.clone()).collect();
    files.retain(|module, _| !for_tests.iter().any(|tests| module.starts_with(tests)));
    let of = |(module, names): (&Module, &Names)| {
        let used = names.imported.iter().filter_map(|path| holder(path, &files, &mut BTreeSet::new()));
        (module.clone(), used.filter(|other| other != module).collect())
    };
    files.iter().map(of).collect()
}

/// Returns the shortest cycle through each file that is in one.
fn cycles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Vec<String>> {
    let mut cycles = BTreeSet::new();
    for start in imports.keys() {
        let mut ways: Vec<Vec<&Module>> = imports[start].iter().map(|next| vec![start, next]).collect();
        let mut seen = BTreeSet::new();
        while let Some(index) =
            ways.iter().enumerate().min_by_key(|(_, way)| way.len()).map(|(index, _)| index)
        {
            let way = ways.swap_remove(index);
            let Some(last) = way.last() else { continue };
            if *last == start {
                cycles.insert(way.iter().map(|module| module.join("/")).collect());
                break;
            }
            if seen.insert(*last) {
                let further = imports.get(*last).into_iter().flatten();
                ways.extend(further.map(|next| [&way[..], &[next]].concat()));
            }
        }
    }
    cycles
}

/// Returns the source directories of all crates of the workspace.
fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let directories = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    directories.chain([root.join("xtask")]).map(|directory| directory.join("src")).collect()
}

#[test]
fn no_file_imports_one_that_imports_it_back() {
    let found: Vec<String> = crates()
        .iter()
        .flat_map(|source| {
            let cycles = cycles(&imports(source)).into_iter();
            cycles.map(|way| format!("{}: {}", source.display(), way.join(" -> "))).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(found, [""; 0], "move what two files share to a third file below both");
}

/// Writes the sources of a crate and returns their cycles.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    cycles(&imports(directory.path())).into_iter().map(|way| way.join(" -> ")).collect()
}

#[test]
fn a_cycle_is_found_with_its_files() {
    let root = ("lib.rs", "mod a; mod b;");
    assert_eq!(found(&[root, ("a.rs", "use crate::b::B;"), ("b.rs", "pub struct B;")]), [""; 0]);
    let both = ["a -> b -> a", "b -> a -> b"];
    assert_eq!(found(&[root, ("a.rs", "use crate::b::B;"), ("b.rs", "use super::a::A;")]), both);
    assert_eq!(
        found(&[root, ("a.rs", "fn f() { crate::b::g() }"), ("b.rs", "use crate::{a::A};")]),
        both,
        "a path without an import counts"
    );
    for call in ["f!(1, [crate::b::g()])", "f! { x = super::b::B => y }", "f!($crate::b::B)"] {
        let call = format!("fn f() {{ {call} }}");
        let files = [root, ("a.rs", call.as_str()), ("b.rs", "use crate::a::A;")];
        assert_eq!(found(&files), both, "a path in the arguments of a macro counts");
    }
}

#[test]
fn a_cycle_through_a_re_export_is_found() {
    let files = [
        ("lib.rs", "mod deep; mod a;"),
        ("deep/mod.rs", "mod inner; pub use inner::X;"),
        ("deep/inner.rs", "use crate::a::A; pub struct X;"),
        ("a.rs", "use crate::deep::X;"),
    ];
    assert_eq!(found(&files), ["a -> deep/inner -> a", "deep/inner -> a -> deep/inner"]);
}

#[test]
fn a_cycle_through_a_renamed_re_export_is_found() {
    let files = [
        ("lib.rs", "mod deep; mod a;"),
        ("deep/mod.rs", "mod inner; pub use inner::X as Y;"),
        ("deep/inner.rs", "use crate::a::A; pub struct X;"),
        ("a.rs", "use crate::deep::Y;"),
    ];
    assert_eq!(found(&files), ["a -> deep/inner -> a", "deep/inner -> a -> deep/inner"]);
}

#[test]
fn a_cycle_of_a_module_with_its_child_is_found() {
    let child = ("deep/inner.rs", "use super::Y; pub struct X; pub fn f() {}");
    let cycle = ["deep -> deep/inner -> deep", "deep/inner -> deep -> deep/inner"];
    for parent in ["fn g(_: X) {}", "fn g() { inner::f() }"] {
        let parent = format!("mod inner; pub use inner::X; pub struct Y; {parent}");
        assert_eq!(found(&[("lib.rs", "mod deep;"), ("deep/mod.rs", &parent), child]), cycle);
    }
}

#[test]
fn tests_and_modules_within_a_file_form_no_cycle() {
    let test = "#[cfg(test)] mod tests { use crate::b::B; use super::*; }";
    let inner = "mod inner { use super::B; } pub struct B; use crate::a::A;";
    assert_eq!(found(&[("lib.rs", "mod a; mod b;"), ("a.rs", test), ("b.rs", inner)]), [""; 0]);
}
