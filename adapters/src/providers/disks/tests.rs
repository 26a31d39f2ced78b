//! These make real disks: where the machine does not allow it they say so and are skipped.

use super::*;
use crate::providers::{guard::redirect, running::Running};
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
};

const ROLE: &str = "SQUALL_TEST_DISKS_FOLDER";

fn skipped() -> bool {
    let why = lacking();
    if let Some(why) = why {
        eprintln!("SKIPPED: nodes cannot have disks of their own here: {why}");
    }
    why.is_some()
}

/// The disks of so many nodes, with the run's folder.
fn disks(nodes: usize) -> (Disks, PathBuf) {
    let (disks, folder, _) = disks_with_guard(nodes);
    (disks, folder)
}

fn disks_with_guard(nodes: usize) -> (Disks, PathBuf, Arc<Guard>) {
    let (folder, guard) = Running::folder_of_a_run("squall-disks-").expect("a folder");
    let data: Vec<_> = (1..=nodes).map(|node| folder.join(format!("node-{node}/data"))).collect();
    (Disks::of_size(SIZE_TRIED, &folder, &data, &guard).expect("disks"), folder, guard)
}

/// Runs a script where the disks are mounted, in a node's data folder; what it printed.
fn on(disks: &Disks, node: usize, script: &str) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).current_dir(&disks.disks[node].at);
    let output = disks.inside(&command).output().expect("it runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The mounts of any process, and the loop devices, that speak of a folder.
fn traces(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("utf-8");
    let entries = |path: &str| fs::read_dir(path).expect("a folder").flatten();
    let mounts = entries("/proc").map(|process| process.path().join("mountinfo"));
    let loops = entries("/sys/block").map(|device| device.path().join("loop/backing_file"));
    let speaks = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(folder));
    mounts.chain(loops).filter(speaks).map(|path| path.display().to_string()).collect()
}

fn gone_within(folder: &Path, within: Duration) {
    let end = Instant::now() + within;
    while !traces(folder).is_empty() || folder.exists() {
        assert!(
            Instant::now() < end,
            "{} exists: {}, {:?}",
            folder.display(),
            folder.exists(),
            traces(folder)
        );
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_was_synced_is_there_after_a_loss_of_power_and_the_rest_is_not() {
    if skipped() {
        return;
    }
    let (disks, folder) = disks(2);
    assert_eq!(on(&disks, 0, "ls -A"), "", "a new disk is empty");
    for node in 0..2 {
        on(&disks, node, "echo kept >kept && sync kept . && echo lost >lost && cat lost kept");
    }
    disks.cut(0).expect("its power is cut");
    disks.remount(0).expect("it recovers");
    assert_eq!(on(&disks, 0, "ls -A && cat kept"), "kept\nkept");
    assert_eq!(on(&disks, 1, "ls -A"), "kept\nlost", "the other one did not lose its power");
    on(&disks, 0, "echo more >more");
    disks.sync(0).expect("it is synced");
    disks.cut(0).expect("its power is cut");
    disks.remount(0).expect("it recovers");
    assert_eq!(on(&disks, 0, "ls -A"), "kept\nmore");
    drop(disks);
    gone_within(&folder, Duration::from_secs(5));
}

#[test]
fn nothing_is_mounted_where_others_see_it() {
    if skipped() {
        return;
    }
    let (disks, folder) = disks(1);
    on(&disks, 0, "echo here >here");
    let own = fs::read_to_string("/proc/self/mountinfo").expect("it is read");
    assert!(!own.contains(folder.to_str().expect("utf-8")), "{own}");
    assert!(!folder.join("node-1/data/here").exists(), "the folder that others see is empty");
    assert!(!traces(&folder).is_empty(), "what the other tests look for can be seen");
}

#[test]
fn the_file_system_of_somebody_else_is_not_touched() {
    if skipped() {
        return;
    }
    let (mut disks, folder) = disks(2);
    // The first disk's place now names a folder of the machine's own, then another disk.
    disks.disks[0].at = folder.canonicalize().expect("it is there");
    let error = disks.cut(0).expect_err("it is the machine's").to_string();
    assert!(error.contains("what is mounted there is not") && error.contains("disk-1.img"), "{error}");
    let other = disks.disks[1].at.clone();
    disks.disks[0].at = other;
    let error = disks.cut(0).expect_err("it is another disk").to_string();
    assert!(error.contains("what is mounted there is not"), "{error}");
    let file = folder.join("written");
    fs::File::create(&file)
        .and_then(|mut file| file.write_all(b"x").and_then(|()| file.sync_all()))
        .expect("it can be");
    on(&disks, 1, "echo x >x && sync x");
}

/// Not a test by itself: the process that the next test kills. It is this test binary again.
#[test]
fn disks_of_a_process() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let (disks, folder, guard) = disks_with_guard(3);
    let script = "exec 3>open; echo begun; while :; do sleep 0.01; done";
    let log = folder.join("node.log");
    let mut command = redirect(Path::new("/bin/sh"), vec!["-c".into(), script.into()], &log);
    command.current_dir(&disks.disks[0].at);
    let node = NodeProcess::new("n1", disks.inside(&command), log.clone(), guard);
    node.start().expect("it starts");
    while !node.log_tail().contains("begun") {
        sleep(Duration::from_millis(10));
    }
    println!("\nfolder {}", folder.display());
    sleep(Duration::from_secs(600));
}

#[test]
fn no_mount_and_no_loop_device_outlives_a_killed_parent() {
    if skipped() {
        return;
    }
    let mut parent = Command::new(env::current_exe().expect("this test binary"))
        .args(["--exact", "providers::disks::tests::disks_of_a_process", "--nocapture"])
        .env(ROLE, "yes")
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("the parent starts");
    let lines = BufReader::new(parent.stdout.take().expect("its output")).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("folder ")).expect("a folder");
    let folder = PathBuf::from(line.trim_start_matches("folder "));
    let seen = traces(&folder);
    assert!(seen.iter().filter(|path| path.starts_with("/sys")).count() == 3, "{seen:?}");
    parent.kill().expect("it can be killed");
    parent.wait().expect("it ends");
    gone_within(&folder, Duration::from_secs(5));
}

#[test]
fn what_is_lacking_is_said_with_what_to_do() {
    let missing = |program| ProviderError::Missing {
        program,
        place: "on PATH".to_owned(),
        remedy: "install e2fsprogs",
    };
    assert_eq!(reason(missing("mkfs.ext4")), "mkfs.ext4 was not found on PATH: install e2fsprogs");
    let refused =
        run(Command::new("/bin/sh").args(["-c", "echo mount: no loop device. >&2; exit 32"]), || {
            "mount x".to_owned()
        });
    assert_eq!(
        reason(refused.expect_err("it fails")),
        "could not mount x: mount: no loop device; run squall as root on a machine that mounts ext4 on loop devices \
         (a container has to be privileged)"
    );
    let silent = run(&mut Command::new("false"), || "do it".to_owned()).expect_err("it fails").to_string();
    assert_eq!(silent, "could not do it: exit status: 1");
}
