//! Holds the crates to their floors: no files import each other in a circle, and no import runs
//! upward. The floors stand in `ARCHITECTURE.md`, lowest first. A re-export that its own file does
//! not use is no import: a name counts for the file that defines it. Tests may import what they like.
use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path::Path, process::exit};

/// The names on the way to a module; the root of the crate has none.
type Module = Vec<String>;
/// The paths in each file: the line, the names, the name that a `use` gives it, if it is an import.
type Files = BTreeMap<Module, Vec<(usize, Module, String, bool)>>;

fn main() {
    let text = fs::read_to_string("ARCHITECTURE.md").expect("run it at the root");
    let crates = ["rakt-wire", "rakt", "rakt-cluster"];
    let faults: usize = crates.into_iter().map(|name| check(name, &text)).sum();
    exit(i32::from(faults > 0));
}

fn check(name: &str, text: &str) -> usize {
    let (_, floors) = text.split_once(&format!("```text floors of {name}\n")).unwrap_or_default();
    let (mut floors_of, mut files, mut imports) = (BTreeMap::new(), Files::new(), BTreeMap::new());
    for (floor, line) in (1..).zip(floors.lines().take_while(|line| *line != "```")) {
        floors_of.extend(line.split_whitespace().map(|name| (segments(name), floor)));
    }
    read(&Path::new("crates").join(name).join("src"), &[], &mut files);
    for (from, paths) in &files {
        let all: &mut BTreeMap<_, _> = imports.entry(from).or_default();
        for (line, path, ..) in paths.iter().filter(|(.., import)| *import) {
            let to = resolve(&files, from, path).filter(|to| to != from && !to.is_empty());
            to.map(|to| all.entry(to).or_insert(line));
        }
    }
    let mut faults = 0;
    let floor = |of: &Module| (1..=of.len()).rev().find_map(|len| floors_of.get(&of[..len]));
    for (from, all) in imports.iter().filter(|(from, _)| !from.is_empty()) {
        for (to, line) in all {
            let (mut found, mut next) = (BTreeSet::from([to]), vec![to]);
            while let Some(file) = next.pop() {
                next.extend(imports[file].keys().filter(|file| found.insert(file)));
            }
            let circle = found.contains(from);
            if circle || floor(to) > floor(from) || floor(to).is_none() {
                let why = if circle { "is part of a circle" } else { "runs upward" };
                println!(
                    "{name}: {}:{line} imports {}, which {why}",
                    from.join("::"),
                    to.join("::")
                );
                faults += 1;
            }
        }
    }
    println!("{name}: {} files, {faults} faults", files.len());
    faults
}

/// The file of this crate that defines what is named by a path in the file `at`.
fn resolve(files: &Files, at: &[String], path: &[String]) -> Option<Module> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let crates = path.iter().take_while(|name| *name == "crate").count();
    let base = if crates > 0 { &[] } else { &at[..at.len() - ups] };
    let full = [base, &path[ups + crates..]].concat();
    let len = (0..=full.len()).rev().find(|len| files.contains_key(&full[..*len]))?;
    let module = (len > base.len() || ups + crates > 0).then(|| full[..len].to_vec())?;
    // What is left of the path is an item of this module, unless a `use` has brought it here.
    match files[&module].iter().find(|(.., own, _)| full.get(len) == Some(own)) {
        Some((_, path, ..)) => resolve(files, &module, path),
        None => Some(module),
    }
}

/// Reads all files below a folder, but those of tests.
fn read(dir: &Path, at: &[String], files: &mut Files) {
    for path in fs::read_dir(dir).expect("sources").map(|entry| entry.expect("an entry").path()) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let own = !["lib", "mod"].contains(&name.as_str());
        let module: Module = at.iter().cloned().chain(own.then(|| name.clone())).collect();
        if path.is_dir() {
            read(&path, &module, files);
        } else if name != "tests" {
            scan(&fs::read_to_string(&path).expect("text"), files.entry(module).or_default());
        }
    }
}

/// Finds all paths in a file; those of a `use` are put together of its branches.
fn scan(text: &str, found: &mut Vec<(usize, Module, String, bool)>) {
    let (mut words, mut branches, mut word) = (BTreeSet::new(), vec![String::new()], String::new());
    let (mut public, mut using) = (false, false);
    for (line, text) in
        (1..).zip(text.lines()).take_while(|(_, text)| !text.contains("mod tests {"))
    {
        for c in text.split("//").next().unwrap_or_default().chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' || c == ':' {
                word.push(c);
                continue;
            }
            let path = format!("{}{word}", branches.last().map_or("", String::as_str));
            if path.contains("::") && !word.is_empty() && c != '{' {
                let name = segments(&path).pop().filter(|_| using).unwrap_or_default();
                found.push((line, segments(&path), name, !using || !public));
            }
            words.extend(segments(&word).into_iter().filter(|_| !using));
            using = (using || word == "use") && c != ';';
            public = (public || word == "pub") && (using || !";{}".contains(c));
            match c {
                '{' => branches.push(path),
                '}' => drop(branches.pop()),
                _ => {}
            }
            word.clear();
        }
    }
    found.iter_mut().for_each(|(.., name, import)| *import |= words.contains(name));
}

fn segments(path: &str) -> Module {
    path.split("::").filter(|name| !["", "self"].contains(name)).map(str::to_owned).collect()
}
