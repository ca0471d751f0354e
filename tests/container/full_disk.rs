//! `ovs-plugin init` where the disk is full.

use std::fs;
use std::process::Command;

use crate::place::{LOCK, Place, older_schema};
use crate::support::{is_root, run_to_end};

/// What to run in a mount namespace of its own: a file system of so many KiB for the database, as it is after init.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs -o size="$1"k tmpfs db || { echo "mounting is not permitted" >&2; exit 77; }
cp saved db/conf.db
status=0
"$2" init 2>said || status=$?
cp -a db/. after/
exit $status
"#;

#[test]
fn a_full_disk_leaves_the_database_and_nothing_unfinished() {
    let convert = Place::with_database(&older_schema());
    let torn = Place::with_database(&crate::place::schema());
    let cut = torn.database_bytes();
    fs::write(torn.database(), &cut[..cut.len() - 1]).unwrap();
    for place in [convert, torn] {
        let old = place.database_bytes();
        fs::write(place.directory().join("saved"), &old).unwrap();
        let page = 4;
        let database = u64::try_from(old.len()).unwrap().div_ceil(4096) * page;
        let mut results = Vec::new();
        // From one page more than the database itself needs to enough for all.
        for size in [1, 2, 3, 4, 5, 6, 8, 10, 12].map(|part| database + page * 2 + (part - 1) * database / 4) {
            let after = place.directory().join("after");
            let _ = fs::remove_dir_all(&after);
            fs::create_dir(&after).unwrap();
            let mut command = Command::new("unshare");
            if !is_root() {
                command.args(["--user", "--map-root-user"]);
            }
            command.args(["--mount", "--", "sh", "-c", SCRIPT, "sh", &size.to_string(), crate::support::BINARY]);
            place.set_environment(command.current_dir(place.directory()));
            let output = run_to_end(&mut command);
            let code = output.status.code();
            if code == Some(77) || String::from_utf8_lossy(&output.stderr).contains("unshare failed") {
                eprintln!("skipped: this process may not mount a file system of its own");
                return;
            }
            let said = fs::read_to_string(place.directory().join("said")).unwrap();
            assert!(code.is_some_and(|code| code < 2), "{size} KiB: {output:?}\n{said}");
            let mut backups = 0;
            for entry in fs::read_dir(&after).unwrap() {
                let (name, path) = (entry.as_ref().unwrap().file_name(), entry.as_ref().unwrap().path());
                let name = name.to_str().unwrap();
                let finished_backup = name.starts_with("conf.db.backup-") && fs::read(&path).unwrap() == old;
                backups += usize::from(finished_backup);
                let expected = finished_backup || ["conf.db", "system-id.conf", LOCK].contains(&name);
                assert!(expected, "{size} KiB: {name} is left\n{said}");
            }
            let database = fs::read(after.join("conf.db")).unwrap();
            assert!(database == old || backups == 1, "{size} KiB: the old database is lost\n{said}");
            if code == Some(1) {
                assert!(said.contains("No space left on device"), "{size} KiB: {said}");
            }
            results.push(code == Some(0));
        }
        assert!(
            results.contains(&false) && results.ends_with(&[true]),
            "no size was too small, or none enough: {results:?}"
        );
    }
}
