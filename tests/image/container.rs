//! A container of the image, in the machine's Docker engine or by chroot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::files;
use crate::support::docker::{container_name, docker, image, own_name, remove};
use crate::support::{
    Answer, Call, Namespace, children, descendants, name_of, output_of, run_to_end, scratch_directory, spawn_daemon,
    wait_until,
};

pub const LIMIT: Duration = Duration::from_secs(60);

const PLUGIN: &str = "/var/lib/corex/plugins/ovs-plugin";

/// What Open vSwitch needs: to make devices and to configure them, to read and write frames on them, and to keep itself
/// in memory (without the last, ovs-vswitchd says so and goes on).
pub const CAPABILITIES: &[&str] = &["NET_ADMIN", "NET_RAW", "IPC_LOCK"];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    Docker,
    Chroot,
}

pub fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    *ENGINE.get_or_init(|| {
        if std::env::var("OVS_PLUGIN_ENGINE").is_ok_and(|engine| engine == "chroot") {
            return Engine::Chroot;
        }
        let answers = Command::new("docker").args(["version"]).output().is_ok_and(|output| output.status.success());
        if answers { Engine::Docker } else { Engine::Chroot }
    })
}

/// What a container may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rights {
    /// Nothing: no capability, and no /dev/net/tun.
    None,
    /// NET_ADMIN and /dev/net/tun, and what engines give to each container. That is what flist/README.md documents.
    Documented,
    /// All of [`CAPABILITIES`] and nothing else, and /dev/net/tun.
    Needed,
}

/// How a container is made.
pub struct Builder {
    state: Option<PathBuf>,
    rights: Rights,
}

impl Builder {
    /// With this directory as its /etc/openvswitch.
    pub fn state(mut self, directory: &Path) -> Builder {
        self.state = Some(directory.to_owned());
        self
    }

    /// Without any capability and without /dev/net/tun.
    pub fn unprivileged(mut self) -> Builder {
        self.rights = Rights::None;
        self
    }

    /// With what flist/README.md says to give it.
    pub fn with_documented_rights(mut self) -> Builder {
        self.rights = Rights::Documented;
        self
    }

    /// Starts it and does not wait.
    pub fn start(self) -> Container {
        let own = scratch_directory();
        let state = self.state.unwrap_or_else(|| own.join("state"));
        fs::create_dir_all(&state).unwrap();
        let runs = match engine() {
            Engine::Docker => Runs::Docker(start_docker(&state, self.rights)),
            Engine::Chroot => {
                let root = own.join("root");
                let mut copy = Command::new("cp");
                copy.arg("-a").arg(files::directory().unwrap().join("root")).arg(&root);
                output_of(copy);
                let child = start_chroot(&root, &state, self.rights, &own.join("said"));
                Runs::Chroot { child, root, said: own.join("said"), rights: self.rights }
            }
        };
        Container { runs, own, state }
    }

    /// Starts it, and waits until it can be used.
    pub fn ready(self) -> Container {
        let container = self.start();
        container.wait_ready();
        container
    }
}

fn start_docker(state: &Path, rights: Rights) -> String {
    let name = container_name();
    let volume = format!("{}:/etc/openvswitch", state.display());
    let label = own_name();
    let mut words = vec!["run", "--detach", "--name", &name, "--label", &label, "--network", "none"];
    words.extend(["--volume", &volume, "--env", "OVS_PLUGIN_DATAPATH_TYPE=netdev"]);
    match rights {
        Rights::None => words.extend(["--cap-drop", "ALL"]),
        Rights::Documented => words.extend(["--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"]),
        Rights::Needed => {
            words.extend(["--cap-drop", "ALL", "--device", "/dev/net/tun"]);
            words.extend(CAPABILITIES.iter().flat_map(|capability| ["--cap-add", capability]));
        }
    }
    words.push(image());
    docker(&words);
    name
}

fn start_chroot(root: &Path, state: &Path, rights: Rights, said: &Path) -> Child {
    // Mounts what Docker would, then becomes the plugin. The mounts go with the namespace.
    let script = r#"set -e
        mount --make-rprivate /
        mount -t proc proc "$1/proc"
        mount -t tmpfs tmpfs "$1/dev"
        for device in null zero random urandom; do : >"$1/dev/$device"; mount --bind "/dev/$device" "$1/dev/$device"; done
        if [ "$3" = all ]; then mkdir "$1/dev/net"; : >"$1/dev/net/tun"; mount --bind /dev/net/tun "$1/dev/net/tun"; fi
        : >"$1/etc/resolv.conf"; : >"$1/etc/hosts"
        mkdir -p "$1/etc/openvswitch"
        mount --bind "$2" "$1/etc/openvswitch"
        ip link set lo up
        exec setpriv --bounding-set "$4" --inh-caps -all -- chroot "$1" "$5" start"#;
    let bounding = match rights {
        Rights::None => "-all,+sys_chroot",
        Rights::Documented => "-all,+sys_chroot,+net_admin,+net_raw",
        Rights::Needed => "-all,+sys_chroot,+net_admin,+net_raw,+ipc_lock",
    };
    let log = fs::File::options().create(true).append(true).open(said).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", "unshare", "--pid", "--net", "--mount", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", script, "container"])
        .args([root, state])
        .args([if rights == Rights::None { "none" } else { "all" }, bounding, PLUGIN])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    spawn_daemon(command)
}

enum Runs {
    /// The container's name.
    Docker(String),
    /// unshare(1), whose only child is PID 1.
    Chroot { child: Child, root: PathBuf, said: PathBuf, rights: Rights },
}

/// A container of the image. It is removed when dropped; what it said is printed if the test fails.
pub struct Container {
    runs: Runs,
    own: PathBuf,
    state: PathBuf,
}

impl Container {
    /// With the capabilities and the device that Open vSwitch needs, in a network namespace of its own.
    pub fn builder() -> Builder {
        Builder { state: None, rights: Rights::Needed }
    }

    /// What is its /etc/openvswitch.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The container's name, in Docker.
    pub fn docker_name(&self) -> Option<&str> {
        match &self.runs {
            Runs::Docker(name) => Some(name),
            Runs::Chroot { .. } => None,
        }
    }

    /// PID 1, as it is seen from here; none when it does not run.
    fn try_pid(&self) -> Option<u32> {
        match &self.runs {
            Runs::Docker(name) => {
                let pid = docker(&["inspect", "--format", "{{.State.Pid}}", name]).parse().unwrap();
                (pid != 0).then_some(pid)
            }
            Runs::Chroot { child, .. } => children(child.id()).first().copied(),
        }
    }

    pub fn pid(&self) -> u32 {
        let mut pid = None;
        wait_until(LIMIT, || {
            pid = self.try_pid();
            pid.is_some()
        });
        pid.unwrap_or_else(|| panic!("the container does not run\n{}", self.said()))
    }

    /// A command that will run in the container.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command;
        match &self.runs {
            Runs::Docker(name) => {
                command = Command::new("docker");
                command.args(["exec", name]);
            }
            Runs::Chroot { .. } => {
                command = Command::new("nsenter");
                command
                    .arg(format!("--target={}", self.pid()))
                    .args(["--mount", "--net", "--pid", "--root", "--wd", "--"]);
                command
                    .env_clear()
                    .env("OVS_PLUGIN_DATAPATH_TYPE", "netdev")
                    .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
            }
        }
        command.args(words);
        command
    }

    pub fn exec(&self, words: &[&str]) -> Output {
        run_to_end(&mut self.command(words))
    }

    /// One of the plugin's commands, as its users give it.
    pub fn plugin(&self, name: &str, arguments: Value) -> Answer {
        Call::of(self.command(&[PLUGIN, name, &arguments.to_string()])).limit(LIMIT).run()
    }

    /// Returns when the plugin in the container says that all is ready.
    #[track_caller]
    pub fn wait_ready(&self) {
        self.pid();
        let mut said = String::new();
        let ready = wait_until(LIMIT, || {
            let output = self.exec(&[PLUGIN, "wait-ready", "--timeout", "10"]);
            said = String::from_utf8_lossy(&output.stderr).into_owned();
            output.status.success()
        });
        assert!(ready, "the container is not ready: {said}\n{}", self.said());
    }

    /// The container's log.
    pub fn said(&self) -> String {
        match &self.runs {
            Runs::Docker(name) => {
                let output = run_to_end(Command::new("docker").args(["logs", name]));
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            }
            Runs::Chroot { said, .. } => String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned(),
        }
    }

    /// The process of a program in it, which has to be there sooner or later.
    pub fn pid_of(&self, program: &str) -> u32 {
        let mut found = None;
        wait_until(LIMIT, || {
            let all = self.try_pid().map(descendants).unwrap_or_default();
            found = all.into_iter().find(|pid| name_of(*pid).as_deref() == Some(program));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("{program} does not run\n{}", self.said()))
    }

    /// Kills a program, and waits until all is ready again.
    pub fn kill(&self, program: &str) {
        let pid = self.pid_of(program);
        kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL).unwrap();
        assert!(wait_until(LIMIT, || name_of(pid).is_none()), "{program} does not die");
        self.pid_of(program);
        self.wait_ready();
    }

    /// Asks it to stop, as `docker stop` does, and gives its exit status.
    pub fn stop(&mut self) -> i32 {
        match &self.runs {
            Runs::Docker(name) => {
                docker(&["stop", name]);
            }
            Runs::Chroot { .. } => {
                kill(Pid::from_raw(self.pid().try_into().unwrap()), Signal::SIGTERM).unwrap();
            }
        }
        self.wait()
    }

    /// Waits until it has ended by itself, and gives its exit status.
    pub fn wait(&mut self) -> i32 {
        match &mut self.runs {
            Runs::Docker(name) => {
                let state = |field: &str| docker(&["inspect", "--format", &format!("{{{{.State.{field}}}}}"), name]);
                assert!(wait_until(LIMIT, || state("Running") == "false"), "the container does not end");
                state("ExitCode").parse().unwrap()
            }
            Runs::Chroot { child, .. } => {
                assert!(wait_until(LIMIT, || child.try_wait().unwrap().is_some()), "the container does not end");
                child.wait().unwrap().code().unwrap_or(-1)
            }
        }
    }

    /// Starts it again after it has ended, with all that it has written.
    pub fn start_again(&mut self) {
        match &mut self.runs {
            Runs::Docker(name) => drop(docker(&["start", name])),
            Runs::Chroot { child, root, said, rights } => {
                *child = start_chroot(root, &self.state, *rights, said);
            }
        }
    }

    /// Ends all of it at once, as a power cut would.
    pub fn kill_all(&mut self) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), Signal::SIGKILL).unwrap();
        self.wait();
    }

    /// Connects a device of a namespace with one in the container; both are up.
    pub fn veth(&self, net: &Namespace, device: &str, in_container: &str) {
        let pid = self.pid().to_string();
        net.run(&["ip", "link", "add", "name", device, "type", "veth", "peer", "name", in_container, "netns", &pid]);
        net.up(device);
        let mut command = Command::new("nsenter");
        command.args([&format!("--net=/proc/{pid}/ns/net"), "--", "ip", "link", "set", "dev", in_container, "up"]);
        output_of(command);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
        match &mut self.runs {
            Runs::Docker(name) => remove(name),
            Runs::Chroot { child, .. } => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        let _ = fs::remove_dir_all(&self.own);
    }
}
