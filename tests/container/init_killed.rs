//! The host agent kills without a warning, and init starts programs while it knows nothing of the agent's pipes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::place::{BRIDGE, Place, older_schema, said};
use crate::support::{BINARY, search_path};

/// Kills at this many moments of a run.
const MOMENTS: u32 = 60;

#[test]
fn whenever_init_is_killed_the_next_one_succeeds_and_nothing_is_lost() {
    let begun = Instant::now();
    Place::with_database(&older_schema()).init_ok();
    let whole_run = begun.elapsed();
    let place = Place::with_database(&older_schema());
    let old = place.database_bytes();
    for moment in 0..MOMENTS {
        for file in place.files().keys().filter(|file| file.starts_with(place.database().parent().unwrap())) {
            fs::remove_file(file).unwrap();
        }
        fs::write(place.database(), &old).unwrap();
        let mut killed = place.plugin(&["init"]).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole_run * moment / MOMENTS);
        killed.kill().unwrap();
        killed.wait().unwrap();
        let said = place.init().unwrap_or_else(|said| panic!("killed at moment {moment}: {said}"));
        assert_eq!(place.bridges(), [BRIDGE], "killed at moment {moment}: {said}");
        assert_eq!(place.system_id(), "the-same-as-ever", "killed at moment {moment}: {said}");
        assert_ne!(place.schema_version(), "7.15.0", "killed at moment {moment}: {said}");
        let whole = |name: &String| {
            let file = place.database().with_file_name(name);
            name.starts_with("conf.db.backup-7.15.0-") && fs::read(file).unwrap() == old
        };
        let beside = place.beside_database();
        assert!(beside.iter().any(whole), "killed at moment {moment}, no copy of the old database: {beside:?}\n{said}");
    }
}

#[test]
fn whenever_the_making_of_the_database_is_killed_the_next_init_succeeds() {
    let begun = Instant::now();
    Place::new().init_ok();
    let whole_run = begun.elapsed();
    for moment in 0..MOMENTS {
        let place = Place::new();
        let mut killed = place.plugin(&["init"]).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole_run * moment / MOMENTS);
        killed.kill().unwrap();
        killed.wait().unwrap();
        place.init().unwrap_or_else(|said| panic!("killed at moment {moment}: {said}"));
        assert_eq!(place.system_id().len(), 36);
    }
}

/// A PATH in which ovsdb-tool is a script.
fn path_with_tool(place: &Place, script: &str) -> OsString {
    let tools = place.directory().join("tools");
    fs::create_dir(&tools).unwrap();
    fs::write(tools.join("ovsdb-tool"), script).unwrap();
    fs::set_permissions(tools.join("ovsdb-tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = search_path();
    std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path))).unwrap()
}

#[test]
fn the_programs_that_init_runs_do_not_get_the_host_agents_pipes() {
    let place = Place::with_database(&older_schema());
    let seen = place.directory().join("seen");
    let script = format!("#!/bin/sh\nls -l /proc/$$/fd >>'{}'\nexec '{}' \"$@\"\n", seen.display(), real_tool());
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" init 3>>\"$1\" 4>>\"$1\""]).arg(BINARY).arg(place.directory().join("agents-pipe"));
    place.set_environment(&mut command);
    command.env("PATH", path_with_tool(&place, &script));
    said(&mut command).unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains("/dev/null"), "{seen}");
    assert!(!seen.contains("agents-pipe"), "{seen}");
}

#[test]
fn a_tool_that_hangs_is_ended_by_inits_own_deadline() {
    let place = Place::with_database(&older_schema());
    let before = place.database_bytes();
    let mut command = place.plugin(&["init"]);
    command.env("PATH", path_with_tool(&place, "#!/bin/sh\nexec sleep 600\n"));
    let said = said(&mut command).unwrap_err();
    assert!(said.contains("did not end within"), "{said}");
    assert_eq!(place.database_bytes(), before);
}

/// The ovsdb-tool of the system.
fn real_tool() -> String {
    let path = search_path();
    let mut found = std::env::split_paths(&path).map(|directory| directory.join("ovsdb-tool"));
    found.find(|file| file.exists()).unwrap().display().to_string()
}

#[test]
fn what_is_written_while_the_database_is_converted_is_not_lost() {
    let place = Place::with_database(&older_schema());
    let tool = real_tool();
    let change = r#"["Open_vSwitch",{"op":"update","table":"Bridge","where":[],"row":{"flood_vlans":5}}]"#;
    let script = format!(
        "#!/bin/sh\n'{tool}' \"$@\"\nstatus=$?\n\
         if [ \"$1\" = convert ]; then '{tool}' transact \"$2\" '{change}' >/dev/null; fi\nexit $status\n"
    );
    let said = said(place.plugin(&["init"]).env("PATH", path_with_tool(&place, &script))).unwrap_err();
    assert!(said.contains("kept") && said.contains("was changed while it was prepared"), "{said}");
    assert_eq!(place.rows("Bridge")[0]["flood_vlans"], 5);
    assert_eq!(place.beside_database(), Vec::<String>::new());
    place.init_ok();
    assert_eq!(place.rows("Bridge")[0]["flood_vlans"], 5);
}

#[test]
fn a_server_that_starts_while_the_database_is_converted_keeps_its_file() {
    let place = Place::with_database(&older_schema());
    let (tool, pid) = (real_tool(), place.directory().join("pid"));
    let server = format!("--pidfile='{}' --detach -vconsole:off --no-chdir --unixctl=none", pid.display());
    let script = format!(
        "#!/bin/sh\n'{tool}' \"$@\"\nstatus=$?\n\
         if [ \"$1\" = convert ]; then ovsdb-server {server} \"$2\" >&2 || exit 99; fi\nexit $status\n"
    );
    let old = place.database_bytes();
    let said = said(place.plugin(&["init"]).env("PATH", path_with_tool(&place, &script)));
    let pid = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let said = said.unwrap_err();
    assert!(said.contains("kept") && said.contains("an ovsdb-server has begun to use it"), "{said}");
    assert_eq!(place.database_bytes(), old);
    assert_eq!(place.beside_database(), Vec::<String>::new());
}
