//! Which shared libraries programs need, found as the loader of the image will find them (ld.so(8)).
//!
//! The image has no `ld.so.cache` and sets no `LD_LIBRARY_PATH`. So neither is asked here, and what the machine keeps in
//! `/usr/local/lib` can't get into the image in the place of what a package has.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use object::elf;

use crate::elf::Elf;
use crate::tree::Tree;

/// Libraries that the C library loads by itself when one of these functions is called. Name services and locales are
/// not among them: since version 2.34 it has files and DNS built in, and without `/etc/nsswitch.conf` it uses no other.
const LOADED_LATER: &[(&[&str], &str, &str)] = &[(
    &["backtrace", "pthread_cancel", "pthread_exit"],
    "libgcc_s.so.1",
    "loaded by the C library for the backtrace in the log of a crash",
)];

/// Something that has to be in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Under which path the loader opens it.
    pub path: PathBuf,
    /// What it is for.
    pub why: String,
    /// The kernel executes the loader; libraries are only mapped.
    pub is_loader: bool,
}

/// The loader and all libraries of some programs, each once.
pub fn closure(tree: &impl Tree, programs: &[PathBuf]) -> Result<Vec<Needed>> {
    let mut all = BTreeMap::new();
    for program in programs {
        for found in of_program(tree, program)? {
            all.entry(found.path.clone()).or_insert(found);
        }
    }
    Ok(all.into_values().collect())
}

/// A loaded object, and who asked for it first.
struct Loaded {
    path: PathBuf,
    elf: Elf,
    parent: Option<Rc<Loaded>>,
}

fn of_program(tree: &impl Tree, program: &Path) -> Result<Vec<Needed>> {
    let elf = read(tree, program)?;
    let Some(interpreter) = elf.interpreter.clone() else {
        ensure!(elf.needed.is_empty(), "{} needs libraries, but names no loader", program.display());
        return Ok(Vec::new());
    };
    let loader = PathBuf::from(interpreter);
    ensure!(tree.canonical(&loader).is_some(), "{}, the loader of {}, is missing", loader.display(), program.display());

    let mut found =
        vec![Needed { why: format!("loader of {}", program.display()), path: loader.clone(), is_loader: true }];
    // By the name under which it is needed; each is loaded once. The loader is loaded already.
    let mut names: Vec<String> = loader.file_name().iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let mut queue = VecDeque::from([Rc::new(Loaded { path: program.to_owned(), elf, parent: None })]);
    // Breadth first, as the loader does.
    while let Some(object) = queue.pop_front() {
        let needed =
            object.elf.needed.iter().map(|name| (name.as_str(), format!("needed by {}", object.path.display())));
        let later = LOADED_LATER
            .iter()
            .filter(|(functions, _, _)| object.elf.imports.iter().any(|import| functions.contains(&import.as_str())));
        let later = later.map(|(_, name, why)| (*name, (*why).to_owned()));
        for (name, why) in needed.chain(later) {
            if names.iter().any(|known| known == name) {
                continue;
            }
            let (path, elf) = search(tree, name, &object)?;
            names.push(name.to_owned());
            found.push(Needed { path: path.clone(), why, is_loader: false });
            queue.push_back(Rc::new(Loaded { path, elf, parent: Some(Rc::clone(&object)) }));
        }
    }
    Ok(found)
}

/// Finds the library that the loader would take, in the order of ld.so(8).
fn search(tree: &impl Tree, name: &str, object: &Rc<Loaded>) -> Result<(PathBuf, Elf)> {
    let mut directories = Vec::new();
    if name.contains('/') {
        bail!("{} needs {name} by its path, which the image does not support", object.path.display());
    }
    if object.elf.runpath.is_empty() {
        let mut ancestor = Some(object);
        while let Some(each) = ancestor {
            if each.elf.runpath.is_empty() {
                directories.extend(expand(&each.elf.rpath, &each.path, tree)?);
            }
            ancestor = each.parent.as_ref();
        }
    }
    directories.extend(expand(&object.elf.runpath, &object.path, tree)?);
    directories.extend(standard_directories(object.elf.machine)?.map(PathBuf::from));

    for directory in &directories {
        let path = directory.join(name);
        // What is no library for this processor is passed over.
        if tree.canonical(&path).is_some()
            && let Ok(elf) = read(tree, &path)
            && elf.machine == object.elf.machine
        {
            return Ok((path, elf));
        }
    }
    let searched: Vec<_> = directories.iter().map(|directory| directory.display().to_string()).collect();
    bail!(
        "{name}, needed by {}, is not in {}; install what the packages depend on: \
         apt-get install --fix-broken --reinstall openvswitch-switch openvswitch-common",
        object.path.display(),
        searched.join(" or ")
    )
}

/// Where Debian's loader looks at last (`ld.so --list-diagnostics`). Variants for newer processors (`glibc-hwcaps`)
/// only ever stand beside a library for all of them.
fn standard_directories(machine: elf::Machine) -> Result<impl Iterator<Item = String>> {
    let triplet = match machine {
        elf::EM_X86_64 => "x86_64-linux-gnu",
        elf::EM_AARCH64 => "aarch64-linux-gnu",
        other => bail!("the processor {other:?} is not supported, only x86-64 and aarch64 are"),
    };
    Ok([format!("/lib/{triplet}"), format!("/usr/lib/{triplet}"), "/lib".into(), "/usr/lib".into()].into_iter())
}

/// Replaces `$ORIGIN` by the directory of the object.
fn expand(directories: &[String], object: &Path, tree: &impl Tree) -> Result<Vec<PathBuf>> {
    let file = tree.canonical(object).with_context(|| format!("{} is missing", object.display()))?;
    let origin = file.parent().unwrap_or(Path::new("/")).display().to_string();
    let expand_one = |directory: &String| {
        let expanded = directory.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin);
        ensure!(
            expanded.starts_with('/') && !expanded.contains('$'),
            "{} searches libraries in {directory}, which is not understood",
            object.display()
        );
        Ok(PathBuf::from(expanded))
    };
    directories.iter().map(expand_one).collect()
}

fn read(tree: &impl Tree, path: &Path) -> Result<Elf> {
    let bytes = tree.read(path).with_context(|| format!("reading {}", path.display()))?;
    Elf::parse(&bytes).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::process::Command;

    use super::*;
    use crate::tree::Machine;

    /// Compiles one C file into a directory.
    fn cc(directory: &Path, output: &str, source: &str, arguments: &[&str]) -> PathBuf {
        let file = directory.join("source.c");
        fs::write(&file, source).unwrap();
        let output = directory.join(output);
        fs::create_dir_all(output.parent().unwrap()).unwrap();
        let mut compiler = Command::new("cc");
        compiler.arg("-o").arg(&output).arg(&file).args(arguments).current_dir(directory);
        assert!(compiler.status().unwrap().success());
        output
    }

    fn paths(found: &[Needed]) -> Vec<&Path> {
        found.iter().map(|needed| needed.path.as_path()).collect()
    }

    #[test]
    fn open_vswitch_needs_what_the_loader_itself_says() {
        let program = Machine.canonical(Path::new("/usr/sbin/ovs-vswitchd")).unwrap();
        let loader = read(&Machine, &program).unwrap().interpreter.unwrap();
        let listed = Command::new(&loader).arg("--inhibit-cache").arg("--list").arg(&program).output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        // "	libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f1ec3a9d000)", and the loader without an arrow.
        let listed = String::from_utf8(listed.stdout).unwrap();
        let mut expected: BTreeSet<&Path> = listed
            .lines()
            .filter_map(|line| line.trim().split(" (").next()?.rsplit(" => ").next())
            .filter(|path| path.starts_with('/'))
            .map(Path::new)
            .collect();
        assert!(expected.len() > 3, "{listed}");

        let found = closure(&Machine, &[program]).unwrap();
        let mut found: BTreeSet<&Path> = paths(&found).into_iter().collect();
        // The loader does not list what is loaded later, and may name itself by another of its paths.
        found.retain(|path| !path.ends_with("libgcc_s.so.1") && path != &Path::new(&loader));
        expected.retain(|path| path.file_name() != Path::new(&loader).file_name());
        assert_eq!(found, expected);
    }

    #[test]
    fn libraries_beside_the_program_are_found_through_its_runpath() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().canonicalize().unwrap();
        cc(&at, "lib/libinner.so", "int inner(void) { return 1; }", &["-shared"]);
        cc(
            &at,
            "lib/libouter.so",
            "int inner(void); int outer(void) { return inner(); }",
            &["-shared", "-Llib", "-linner", "-Wl,--enable-new-dtags,-rpath,${ORIGIN}"],
        );
        let program = cc(
            &at,
            "bin/program",
            "int outer(void); int main(void) { return outer(); }",
            &["-Llib", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib", "-Wl,--allow-shlib-undefined", "-louter"],
        );
        let found = closure(&Machine, &[program]).unwrap();
        let names: Vec<_> = paths(&found).iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert!(
            names.contains(&"libouter.so") && names.contains(&"libinner.so") && names.contains(&"libc.so.6"),
            "{names:?}"
        );
        let inner = found.iter().find(|needed| needed.path.ends_with("libinner.so")).unwrap();
        assert!(inner.why.contains("libouter.so"), "{inner:?}");
    }

    #[test]
    fn an_rpath_counts_for_libraries_of_libraries_and_a_runpath_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().canonicalize().unwrap();
        cc(&at, "lib/libinner.so", "int inner(void) { return 1; }", &["-shared"]);
        let outer = "int inner(void); int outer(void) { return inner(); }";
        cc(&at, "lib/libouter.so", outer, &["-shared", "-Llib", "-linner"]);
        let build = |name: &str, kind: &str| {
            let rpath = format!("-Wl,{kind},-rpath,{}/lib", at.display());
            let source = "int outer(void); int main(void) { return outer(); }";
            cc(&at, name, source, &["-Llib", &rpath, "-Wl,--allow-shlib-undefined", "-louter"])
        };
        let old = build("old", "--disable-new-dtags");
        assert!(Command::new(&old).status().unwrap().code() == Some(1));
        assert!(closure(&Machine, &[old]).unwrap().iter().any(|needed| needed.path.ends_with("libinner.so")));

        let new = build("new", "--enable-new-dtags");
        assert!(Command::new(&new).output().unwrap().status.code() == Some(127));
        let error = closure(&Machine, &[new]).unwrap_err().to_string();
        assert!(error.starts_with("libinner.so, needed by") && error.contains("apt-get install"), "{error}");
    }

    #[test]
    fn a_program_that_prints_backtraces_gets_the_library_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let source = "int backtrace(void **, int); int main(void) { void *p[4]; return backtrace(p, 4) > 0 ? 0 : 1; }";
        let program = cc(directory.path(), "program", source, &[]);
        let found = closure(&Machine, &[program]).unwrap();
        assert!(found.iter().any(|needed| needed.path.ends_with("libgcc_s.so.1")), "{found:?}");
        let plain = cc(directory.path(), "plain", "int main(void) { return 0; }", &[]);
        let found = closure(&Machine, &[plain]).unwrap();
        assert!(!found.iter().any(|needed| needed.path.ends_with("libgcc_s.so.1")), "{found:?}");
    }

    #[test]
    fn a_static_program_needs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let program = cc(directory.path(), "program", "int main(void) { return 0; }", &["-static"]);
        assert!(read(&Machine, &program).unwrap().is_static());
        assert_eq!(closure(&Machine, &[program]).unwrap(), []);
    }

    #[test]
    fn a_program_that_is_cut_short_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let program = cc(directory.path(), "program", "int main(void) { return 0; }", &[]);
        let bytes = fs::read(&program).unwrap();
        for length in [0, 3, 40, 70, 700] {
            fs::write(&program, &bytes[..length]).unwrap();
            let error = format!("{:#}", closure(&Machine, std::slice::from_ref(&program)).unwrap_err());
            assert!(error.contains("program"), "{length}: {error}");
        }
    }
}
