//! Holds the crates to their floors: no files import each other in a circle, and no import runs
//! upward. The floors stand in `ARCHITECTURE.md`, lowest first. A re-export that its own file does
//! not use is no import: a name counts for the file that defines it. Tests may import what they like.
use std::collections::{BTreeMap, BTreeSet};
use std::{fs, path::Path, process::exit};

/// The names on the way to a module; the root of the crate has none.
type Module = Vec<String>;
/// A path in a file: its line, its names, the name that a `use` gives it, whether it is an import.
type Mention = (usize, Module, String, bool);
type Files = BTreeMap<Module, Vec<Mention>>;

fn main() {
    let text = fs::read_to_string("ARCHITECTURE.md").expect("run it at the root");
    let faults: usize = ["rakt-wire", "rakt"].iter().map(|name| check(name, &text)).sum();
    exit(i32::from(faults > 0));
}

fn check(name: &str, text: &str) -> usize {
    let (_, floors) = text.split_once(&format!("```text floors of {name}\n")).unwrap_or_default();
    let (mut floor_of, mut files, mut imports) = (BTreeMap::new(), Files::new(), BTreeMap::new());
    for (floor, line) in (1..).zip(floors.lines().take_while(|line| *line != "```")) {
        floor_of.extend(line.split_whitespace().map(|name| (segments(name), floor)));
    }
    read(&Path::new("crates").join(name).join("src"), &[], &mut files);
    for (from, paths) in &files {
        let all = imports.entry(from).or_insert_with(BTreeMap::new);
        for (line, path, ..) in paths.iter().filter(|(.., import)| *import) {
            let to = resolve(&files, from, path).filter(|to| to != from && !to.is_empty());
            to.map(|to| all.entry(to).or_insert(line));
        }
    }
    let (mut faults, mut tied) = (0, BTreeSet::<&Module>::new());
    for (from, all) in imports.iter().filter(|(from, _)| !from.is_empty()) {
        let floor = |of: &Module| (1..=of.len()).rev().find_map(|len| floor_of.get(&of[..len]));
        for (to, line) in all {
            // All that is imported by what is imported.
            let (mut found, mut next) = (BTreeSet::from([to]), vec![to]);
            while let Some(file) = next.pop() {
                next.extend(imports[file].keys().filter(|file| found.insert(file)));
            }
            let (circle, up) = (found.contains(from), floor(to) > floor(from));
            tied.extend(circle.then_some(from));
            faults += usize::from(circle || up);
            if circle || up {
                let why = if circle { "is part of a circle" } else { "runs upward" };
                println!(
                    "{name}: {}:{line} imports {}, which {why}",
                    from.join("::"),
                    to.join("::")
                );
            }
        }
        faults += usize::from(floor(from).is_none());
        floor(from).is_none().then(|| println!("{name}: {} has no floor", from.join("::")));
    }
    println!("{name}: {} files, {} of them in circles, {faults} faults", files.len(), tied.len());
    faults
}

/// The file of this crate that defines what is named by a path in the file `at`.
fn resolve(files: &Files, at: &Module, path: &[String]) -> Option<Module> {
    let (mut module, mut inside) = (at.clone(), false);
    for (index, name) in path.iter().enumerate() {
        let child = [module.as_slice(), &path[index..=index]].concat();
        match name.as_str() {
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            _ if files.contains_key(&child) => module = child,
            _ if !inside => return None,
            // Not a module: an item of this one, unless a `use` has brought it here.
            _ => match files[&module].iter().find(|(.., own, _)| own == name) {
                Some((_, path, ..)) => return resolve(files, &module, path),
                None => break,
            },
        }
        inside = true;
    }
    inside.then_some(module)
}

/// Reads all files below a folder, but those of tests.
fn read(dir: &Path, at: &[String], files: &mut Files) {
    for path in fs::read_dir(dir).expect("sources").map(|entry| entry.expect("an entry").path()) {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let own = (name != "lib" && name != "mod").then(|| name.clone());
        let module: Module = at.iter().cloned().chain(own).collect();
        if path.is_dir() {
            read(&path, &module, files);
        } else if name != "tests" {
            let text = fs::read_to_string(&path).expect("text");
            files.insert(module, mentions(text.split("mod tests {").next().unwrap_or_default()));
        }
    }
}

/// All paths in a file; those of a `use` are put together of its branches.
fn mentions(text: &str) -> Vec<Mention> {
    let (mut found, mut words, mut branches) = (Vec::<Mention>::new(), BTreeSet::new(), Vec::new());
    let (mut word, mut last, mut public, mut using) = (String::new(), String::new(), false, false);
    for (line, text) in (1..).zip(text.lines()) {
        for c in text.split("//").next().unwrap_or_default().chars().chain([' ']) {
            if c.is_alphanumeric() || c == '_' || c == ':' {
                word.push(c);
                continue;
            }
            let path = format!("{}{word}", branches.last().map_or("", String::as_str));
            if using && last == "as" && !word.is_empty() {
                found.last_mut().expect("a path").2.clone_from(&word);
            } else if path.contains("::") && !word.is_empty() && c != '{' {
                let name = segments(&path).pop().filter(|_| using).unwrap_or_default();
                found.push((line, segments(&path), name, !using || !public));
            }
            words.extend((!using).then(|| segments(&word)).into_iter().flatten());
            using = (using || word == "use") && c != ';';
            public = (public || word == "pub") && (using || !";{}".contains(c));
            match c {
                '{' => branches.push(path),
                '}' => drop(branches.pop()),
                _ => {}
            }
            last = std::mem::take(&mut word);
        }
    }
    found.iter_mut().for_each(|(.., name, import)| *import |= words.contains(name));
    found
}

fn segments(path: &str) -> Module {
    path.split("::").filter(|name| !["", "self"].contains(name)).map(str::to_owned).collect()
}
