//! Disks that the nodes of a cluster have to themselves, so that they can lose their power.
//!
//! 1. A node's data folder is the place where a file system of its own is mounted: ext4 in a sparse file of the
//!    run's folder, on a loop device that the kernel lets go of with the mount.
//! 2. The mounts are made in a mount namespace of the run. A small process, the keeper, holds it, and the nodes
//!    are started inside. So no other process of the machine ever sees a mount of ours, and when keeper and nodes
//!    have ended, however that came, the kernel itself unmounts everything and frees the loop devices. The guard
//!    watches the keeper as it watches nodes.
//! 3. A node's disk outlives its process, so a node that was killed finds what it wrote, synced or not.
//! 4. `Disks::cut` takes the power from a disk: the file system is shut down without its journal being written
//!    out (the ioctl FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH of Linux' ext4), so what was not synced, and
//!    what the kernel had not written by itself, never reaches the disk. `Disks::remount` lets the file system
//!    recover from its journal, as a machine does that boots.
//! 5. No other file system is ever touched: before it is shut down, the one behind the open folder must lie on a
//!    loop device whose file is this very disk's.
//! 6. Whether all of this works on this machine is tried once, with a small disk ([`lacking`]).

mod shutdown;

use super::{
    ProviderError,
    guard::Guard,
    once::{last_lines, on_path},
    process::NodeProcess,
};
use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, OnceLock},
    thread::sleep,
    time::{Duration, Instant},
};

/// The size of a node's disk, in bytes. The file is sparse: it takes what the node writes.
const SIZE: u64 = 2 << 30;
/// The size of the disk that is tried, in bytes: a journal may take less than half of it.
const SIZE_TRIED: u64 = 64 << 20;
/// How long the keeper may take to make its namespace.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where administrators' programs are when PATH does not say so.
const SYSTEM: &str = "/usr/sbin:/sbin:/usr/local/sbin";

/// Lives in the namespace until it is killed; the file says that it is there.
const KEEPER: &str = r#": >"$1" && exec sleep 2147483647"#;
/// Whoever enters a mount namespace stands at its root.
const INSIDE: &str = r#"cd -- "$1" && shift && exec "$@""#;
/// Nodes take every folder in their data folder for one of their own, which this one is not.
const MOUNT: &str =
    r#""$1" -o loop,noatime,noinit_itable -- "$2" "$3" && { rmdir -- "$3/lost+found" 2>/dev/null; :; }"#;

/// The disks of a cluster's nodes.
#[derive(Debug)]
pub(super) struct Disks {
    tools: Tools,
    keeper: NodeProcess,
    /// The keeper's process.
    pid: u32,
    /// Node i's is at i - 1.
    disks: Vec<Disk>,
}

/// The disk of one node.
#[derive(Debug)]
struct Disk {
    /// The file that holds the file system.
    image: PathBuf,
    /// Where it is mounted.
    at: PathBuf,
}

impl Disks {
    /// Makes a disk of `size` bytes for each of these data folders, which are made too, and mounts it.
    fn of_size(
        size: u64,
        folder: &Path,
        data: &[PathBuf],
        guard: &Arc<Guard>,
    ) -> Result<Self, ProviderError> {
        let tools = Tools::find()?;
        let keeper = tools.keeper(folder, guard);
        keeper.start()?;
        let pid = await_keeper(&keeper, folder)?;
        let mut made = Self { tools, keeper, pid, disks: Vec::new() };
        for (index, at) in data.iter().enumerate() {
            let image = canonical(folder)?.join(format!("disk-{}.img", index + 1));
            fs::create_dir_all(at).map_err(ProviderError::io(format!("make the folder {}", at.display())))?;
            let disk = Disk { image, at: canonical(at)? };
            made.tools.format(&disk.image, size)?;
            made.disks.push(disk);
            made.mount(index)?;
        }
        Ok(made)
    }

    /// Makes a disk for each of these data folders, which are made too, and mounts it. `folder` is the run's.
    pub(super) fn make(folder: &Path, data: &[PathBuf], guard: &Arc<Guard>) -> Result<Self, ProviderError> {
        Self::of_size(SIZE, folder, data, guard)
    }

    /// The command, as one that runs where the disks are mounted.
    pub(super) fn inside(&self, command: &Command) -> Command {
        let mut inside = self.enter(command.get_current_dir().unwrap_or(Path::new("/")));
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// The beginning of a command that runs there.
    fn enter(&self, folder: &Path) -> Command {
        let mut enter = Command::new(&self.tools.nsenter);
        enter.arg("--target").arg(self.pid.to_string()).args(["--mount", "--", "/bin/sh", "-c", INSIDE]);
        enter.arg("squall-inside").arg(folder);
        enter
    }

    /// Writes what a node has written so far to its disk; `node` counts from 0.
    pub(super) fn sync(&self, node: usize) -> Result<(), ProviderError> {
        let disk = self.disk(node)?;
        let trouble = ProviderError::io(format!("sync the disk at {}", disk.at.display()));
        rustix::fs::syncfs(self.open(disk)?).map_err(|errno| trouble(errno.into()))
    }

    /// Takes the power from a disk: what is not on it now will never be. `node` counts from 0.
    pub(super) fn cut(&self, node: usize) -> Result<(), ProviderError> {
        let disk = self.disk(node)?;
        let folder = self.open(disk)?;
        disk.check_own(&folder)?;
        let trouble = ProviderError::io(format!("cut the power of the disk at {}", disk.at.display()));
        shutdown::without_flush(&folder).map_err(trouble)
    }

    /// Mounts a disk anew that had lost its power, so that its file system recovers. No process may have a file
    /// open there. `node` counts from 0.
    pub(super) fn remount(&self, node: usize) -> Result<(), ProviderError> {
        let disk = self.disk(node)?;
        let mut unmount = self.enter(Path::new("/"));
        unmount.arg(&self.tools.umount).arg("--").arg(&disk.at);
        run(&mut unmount, || format!("unmount the disk at {}", disk.at.display()))?;
        self.mount(node)
    }

    /// Ends the keeper: the disks are unmounted as soon as no node runs there any more.
    pub(super) fn let_go(&self) -> Result<(), ProviderError> {
        self.keeper.kill()
    }

    fn mount(&self, node: usize) -> Result<(), ProviderError> {
        let disk = self.disk(node)?;
        let mut mount = self.enter(Path::new("/"));
        mount.args(["/bin/sh", "-c", MOUNT, "squall-mount"]).arg(&self.tools.mount);
        mount.arg(&disk.image).arg(&disk.at);
        run(&mut mount, || format!("mount {} at {}", disk.image.display(), disk.at.display()))?;
        // That it is there is asked of the file system itself.
        disk.check_own(&self.open(disk)?)
    }

    /// A mounted disk's folder, as the keeper sees it.
    fn open(&self, disk: &Disk) -> Result<File, ProviderError> {
        let inside = Path::new("/proc").join(self.pid.to_string()).join("root");
        let path = inside.join(disk.at.strip_prefix("/").unwrap_or(&disk.at));
        File::open(&path).map_err(ProviderError::io(format!("open {}", path.display())))
    }

    fn disk(&self, node: usize) -> Result<&Disk, ProviderError> {
        let none = || ProviderError::Disk {
            action: format!("find the disk of node {}", node + 1),
            output: NONE.into(),
        };
        self.disks.get(node).ok_or_else(none)
    }
}

const NONE: &str = "the cluster has no such node";

impl Disk {
    /// Refuses a folder whose file system is not the one in this disk's file.
    fn check_own(&self, folder: &File) -> Result<(), ProviderError> {
        let trouble = || ProviderError::io(format!("look at {}", self.at.display()));
        let device = folder.metadata().map_err(trouble())?.dev();
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let file = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/loop/backing_file"));
        match file {
            Ok(file) if Path::new(file.trim_end_matches('\n')) == self.image => Ok(()),
            _ => Err(ProviderError::Disk {
                action: format!("reach the disk at {}", self.at.display()),
                output: format!("what is mounted there is not {}", self.image.display()),
            }),
        }
    }
}

/// The programs that it takes.
#[derive(Debug)]
struct Tools {
    mkfs: PathBuf,
    mount: PathBuf,
    umount: PathBuf,
    unshare: PathBuf,
    nsenter: PathBuf,
}

impl Tools {
    fn find() -> Result<Self, ProviderError> {
        let path = env::var_os("PATH");
        let find = |program: &'static str, remedy| {
            let found =
                on_path(program, path.as_deref()).or_else(|| on_path(program, Some(OsStr::new(SYSTEM))));
            let place = || format!("on PATH or in {SYSTEM}");
            found.ok_or_else(|| ProviderError::Missing { program, place: place(), remedy })
        };
        let util = |program| find(program, "install util-linux (Debian: apt-get install util-linux mount)");
        Ok(Self {
            mkfs: find("mkfs.ext4", "install e2fsprogs (Debian: apt-get install e2fsprogs)")?,
            mount: util("mount")?,
            umount: util("umount")?,
            unshare: util("unshare")?,
            nsenter: util("nsenter")?,
        })
    }

    fn keeper(&self, folder: &Path, guard: &Arc<Guard>) -> NodeProcess {
        let mut command = Command::new(&self.unshare);
        command.args(["--mount", "--propagation", "private", "--", "/bin/sh", "-c", KEEPER, "squall-keeper"]);
        command.arg(sign(folder)).current_dir("/");
        NodeProcess::new("keeper", command, folder.join("keeper.log"), Arc::clone(guard))
    }

    fn format(&self, image: &Path, size: u64) -> Result<(), ProviderError> {
        let made = File::create(image).and_then(|file| file.set_len(size));
        made.map_err(ProviderError::io(format!("make the file {}", image.display())))?;
        let mut format = Command::new(&self.mkfs);
        format.args(["-q", "-F", "-m", "0", "-J", "size=8"]);
        format.args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]).arg(image);
        run(&mut format, || format!("make a file system in {}", image.display()))
    }
}

/// The file by which the keeper says that it is in its namespace.
fn sign(folder: &Path) -> PathBuf {
    folder.join("keeper")
}

/// Waits until the keeper is in a namespace of its own, so that nothing is ever mounted in the machine's.
fn await_keeper(keeper: &NodeProcess, folder: &Path) -> Result<u32, ProviderError> {
    let end = Instant::now() + PATIENCE;
    let refused = |output: &str| ProviderError::Disk {
        action: "make a mount namespace".to_owned(),
        output: output.to_owned(),
    };
    loop {
        let Some(watched) = keeper.watched() else { return Err(refused("unshare was refused")) };
        if sign(folder).exists() {
            let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
            let (own, its) = (namespace("self"), namespace(&watched.pid.to_string()));
            return match (own, its) {
                (Some(own), Some(its)) if own != its => Ok(watched.pid),
                _ => Err(refused("the process is still in that of the machine")),
            };
        }
        if Instant::now() > end {
            return Err(refused("it took too long"));
        }
        sleep(Duration::from_millis(2));
    }
}

fn canonical(path: &Path) -> Result<PathBuf, ProviderError> {
    path.canonicalize().map_err(ProviderError::io(format!("find {}", path.display())))
}

/// Runs a program to its end; what it said is in the error.
fn run(command: &mut Command, action: impl Fn() -> String) -> Result<(), ProviderError> {
    let output = command.stdin(Stdio::null()).output().map_err(ProviderError::io(action()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = last_lines(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    Err(ProviderError::Disk {
        action: action(),
        output: if said.is_empty() { output.status.to_string() } else { said },
    })
}

/// Why nodes cannot have disks of their own here, as a sentence with the remedy; `None` if they can. The first
/// call tries it, in some hundredths of a second.
#[must_use]
pub fn lacking() -> Option<&'static str> {
    static LACKING: OnceLock<Option<String>> = OnceLock::new();
    LACKING.get_or_init(|| tried().err().map(reason)).as_deref()
}

/// What failed, with what to do about it.
fn reason(error: ProviderError) -> String {
    const REMEDY: &str =
        "run squall as root on a machine that mounts ext4 on loop devices (a container has to be privileged)";
    match error {
        ProviderError::Missing { .. } => error.to_string(),
        _ => format!("{}; {REMEDY}", error.to_string().trim_end_matches('.')),
    }
}

/// Makes a small disk and takes its power.
fn tried() -> Result<(), ProviderError> {
    if !rustix::process::geteuid().is_root() {
        let output = "only root may mount a file system".to_owned();
        return Err(ProviderError::Disk { action: "give nodes disks of their own".to_owned(), output });
    }
    // What is missing is said without a process being started.
    Tools::find()?;
    let (folder, guard) = super::running::Running::folder_of_a_run("squall-disk-")?;
    let disks = Disks::of_size(SIZE_TRIED, &folder, &[folder.join("data")], &guard)?;
    disks.cut(0)?;
    disks.remount(0)?;
    // What fails before is left to the guard.
    disks.let_go()?;
    if fs::remove_dir_all(&folder).is_ok() {
        guard.finish();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
