//! Whether every file lies on a listed volume: file, mount, block device, LVM and multipath, WWN.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::exit::{Exit, Failure};
use common::infinibox::Volume;

/// How deep devices may be stacked.
const DEPTH: usize = 12;

/// Where /proc and /sys are; a test has its own.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Host {
    /// This host, or the tree that ORAPIPE_HOST_ROOT names.
    pub fn of_process() -> Self {
        let root = std::env::var_os("ORAPIPE_HOST_ROOT").filter(|r| !r.is_empty());
        Self { root: root.map_or_else(|| PathBuf::from("/"), PathBuf::from) }
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = std::fs::read(self.root.join(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A path of /sys with all links followed, below our root.
    fn device(&self, number: &str) -> Option<PathBuf> {
        self.root.join("sys/dev/block").join(number).canonicalize().ok()
    }
}

/// A line of /proc/self/mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// major:minor.
    device: String,
    kind: String,
    source: String,
}

fn mounts(text: &[u8]) -> Vec<Mount> {
    text.split(|b| *b == b'\n')
        .filter_map(|line| {
            let fields: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
            let dash = fields.iter().position(|f| *f == b"-")?;
            let text = |i: usize| fields.get(i).map(|f| String::from_utf8_lossy(f).into_owned());
            Some(Mount {
                point: PathBuf::from(std::ffi::OsString::from_vec(unescape(fields.get(4)?))),
                device: text(2)?,
                kind: text(dash + 1)?,
                source: text(dash + 2)?,
            })
        })
        .collect()
}

/// Blank, tab, line end and backslash are octal there.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        let octal = more.get(..3).filter(|d| *first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match octal {
            Some(d) => {
                let value = d.iter().fold(0_u32, |v, b| v * 8 + u32::from(b - b'0'));
                out.push(u8::try_from(value).unwrap_or(b'?'));
                rest = &more[3..];
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

/// The mount that a path is on; the last of those with the longest point is the one that is seen.
fn mount_of<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    mounts
        .iter()
        .enumerate()
        .filter(|(_, m)| path.starts_with(&m.point))
        .max_by_key(|(i, m)| (m.point.components().count(), *i))
        .map(|(_, m)| m)
}

/// Identifiers of the disks below a block device, as far as /sys and udev tell them.
fn disks(host: &Host, number: &str, depth: usize, found: &mut BTreeSet<String>) -> Result<(), String> {
    let device = host.device(number).ok_or_else(|| format!("/sys does not know the device {number}"))?;
    // Of a partition the disk is what counts.
    if device.join("partition").exists() {
        let disk = device.parent().and_then(|p| read(&p.join("dev")));
        let disk = disk.ok_or_else(|| format!("the disk of partition {number} is not known"))?;
        return disks(host, &disk, depth, found);
    }
    let uuid = read(&device.join("dm/uuid")).unwrap_or_default();
    // A multipath device is one volume, whichever of its paths are alive.
    if let Some(id) = uuid.strip_prefix("mpath-") {
        found.insert(normal(id));
        return Ok(());
    }
    let slaves: Vec<PathBuf> = std::fs::read_dir(device.join("slaves"))
        .map(|d| d.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    if !slaves.is_empty() {
        if depth == 0 {
            return Err(format!("the devices below {number} are stacked too deep"));
        }
        for slave in slaves {
            let number = read(&slave.join("dev"))
                .ok_or_else(|| format!("{} below {number} is not known", slave.display()))?;
            disks(host, &number, depth - 1, found)?;
        }
        return Ok(());
    }
    let own = ["device/wwid", "wwid"].iter().find_map(|name| read(&device.join(name)));
    let id = own.or_else(|| udev(host, number));
    found.insert(normal(&id.ok_or_else(|| format!("device {number} has no WWN"))?));
    Ok(())
}

fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// What udev has noted: kernels before 3.15 have no `wwid`.
fn udev(host: &Host, number: &str) -> Option<String> {
    let text = host.read(format!("run/udev/data/b{number}"))?;
    ["E:ID_WWN_WITH_EXTENSION=", "E:DM_SERIAL=", "E:ID_SERIAL=", "E:SCSI_IDENT_LUN_NAA_REGEXT="]
        .iter()
        .find_map(|key| text.lines().find_map(|l| l.strip_prefix(key)).map(str::to_owned))
}

/// NAA digits alone: `naa.6742b0f…`, `0x6742b0f…`, `36742b0f…` and `6742b0f…` are the same disk.
fn normal(id: &str) -> String {
    let id = id.to_ascii_lowercase();
    let id = ["naa.", "0x", "scsi-", "wwn-0x"].iter().find_map(|p| id.strip_prefix(p)).unwrap_or(&id);
    // The 3 is the type of the identifier that scsi_id puts before it.
    match id.len() {
        33 if id.starts_with('3') => id[1..].to_owned(),
        _ => id.to_owned(),
    }
}

/// Whether a disk is this volume: NAA is the digit 6 and the serial.
fn is_volume(disk: &str, volume: &Volume) -> bool {
    let serial = volume.serial.as_deref().unwrap_or_default().to_ascii_lowercase();
    serial.len() >= 16 && (disk == serial || disk.strip_prefix('6') == Some(serial.as_str()))
}

/// One thing that has to be covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// `datafile 4`, `archive destination`.
    pub what: String,
    pub path: String,
}

/// Refuses unless each thing lies on one of the volumes. Returns the names of the volumes that are used.
pub fn check(host: &Host, things: &[Thing], volumes: &[Volume]) -> anyhow::Result<BTreeSet<String>> {
    let info = std::fs::read(host.root.join("proc/self/mountinfo")).context("read /proc/self/mountinfo")?;
    let mounts = mounts(&info);
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    // Thousands of files lie on a handful of devices.
    let mut known: BTreeMap<String, Result<BTreeSet<String>, String>> = BTreeMap::new();
    for thing in things {
        match volumes_of(host, &mounts, thing, volumes, &mut known) {
            Ok(names) => used.extend(names),
            Err(why) => wrong.push(format!("{} {}: {why}", thing.what, thing.path)),
        }
    }
    if wrong.is_empty() {
        return Ok(used);
    }
    let more = wrong.len().saturating_sub(20);
    wrong.truncate(20);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Failure::new(Exit::Refused, format!("not on a listed volume: {}{more}", wrong.join("; ")))
        .hint("name the missing volumes, or leave --check-coverage out if you are sure that they are covered")
        .into())
}

fn volumes_of(
    host: &Host,
    mounts: &[Mount],
    thing: &Thing,
    volumes: &[Volume],
    known: &mut BTreeMap<String, Result<BTreeSet<String>, String>>,
) -> Result<BTreeSet<String>, String> {
    if thing.path.starts_with('+') {
        return Err("it lies in an ASM disk group, whose disks this host's files do not tell".to_owned());
    }
    let path = Path::new(&thing.path).canonicalize().map_err(|e| e.to_string())?;
    let mount = mount_of(mounts, &path).ok_or("it is on no mounted file system")?;
    if mount.device.starts_with("0:") {
        return Err(format!(
            "its file system is {} ({}), not one on a block device",
            mount.kind, mount.source
        ));
    }
    let ids = known.entry(mount.device.clone()).or_insert_with(|| {
        let mut found = BTreeSet::new();
        disks(host, &mount.device, DEPTH, &mut found).map(|()| found)
    });
    let ids = ids.as_ref().map_err(|why| format!("{} on {}: {why}", mount.point.display(), mount.source))?;
    let mut names = BTreeSet::new();
    for id in ids {
        match volumes.iter().find(|v| is_volume(id, v)) {
            Some(volume) => names.insert(volume.name.clone()),
            None => {
                return Err(format!(
                    "{} on {} lies on disk {id}, which is none of the listed volumes",
                    mount.point.display(),
                    mount.source
                ))
            }
        };
    }
    Ok(names)
}

/// A directory or the place of an archive destination: `LOCATION=/arch` and `/arch/prefix_` both have one.
pub fn directory(dest: &str) -> String {
    let path = Path::new(dest);
    if dest.starts_with('+') || path.is_dir() {
        return dest.to_owned();
    }
    match path.parent() {
        Some(parent) if parent.is_dir() && !parent.as_os_str().as_bytes().is_empty() => {
            parent.to_string_lossy().into_owned()
        }
        _ => dest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const SERIAL: &str = "742b0f000000f1a0000000000000400";

    /// A host with a file system on LVM on a partition of a multipath device, one on a plain disk, and one on NFS.
    struct Tree {
        dir: tempfile::TempDir,
    }

    impl Tree {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap();
            let tree = Self { dir };
            for (mount, _) in [("u05", 0), ("u06", 0), ("nfs", 0), ("odd name", 0)] {
                fs::create_dir_all(root.join(mount).join("data")).unwrap();
            }
            let at = |p: &str| root.join(p).display().to_string().replace(' ', "\\040");
            let info = format!(
                "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                 30 22 253:5 / {} rw - xfs /dev/mapper/vg-u05 rw\n\
                 31 22 8:32 / {} rw shared:7 master:2 - xfs /dev/sdc rw\n\
                 32 22 0:45 / {} rw - nfs4 filer:/x rw\n\
                 33 22 8:32 / {} rw - xfs /dev/sdc rw\n",
                at("u05"),
                at("u06"),
                at("nfs"),
                at("odd name"),
            );
            fs::create_dir_all(root.join("proc/self")).unwrap();
            fs::write(root.join("proc/self/mountinfo"), info).unwrap();
            // LVM over a partition of multipath over two paths; of the multipath device the uuid counts.
            tree.device("253:5", "dm-5", &[("dm/uuid", "LVM-abc")], &["dm-4"]);
            tree.device(
                "253:4",
                "dm-4",
                &[("dm/uuid", "part1-mpath-36742b0f000000f1a0000000000000400")],
                &["dm-3"],
            );
            tree.device(
                "253:3",
                "dm-3",
                &[("dm/uuid", "mpath-36742b0f000000f1a0000000000000400")],
                &["sdx", "sdy"],
            );
            tree.device("8:32", "sdc", &[("device/wwid", "naa.6742b0f000000f1a0000000000000401")], &[]);
            tree.device("8:0", "sda", &[("device/wwid", "t10.ATA disk")], &[]);
            tree.part("8:1", "sda", "sda1");
            tree
        }

        fn root(&self) -> PathBuf {
            self.dir.path().canonicalize().unwrap()
        }

        fn device(&self, number: &str, name: &str, files: &[(&str, &str)], slaves: &[&str]) {
            let place = self.root().join("sys/devices/block").join(name);
            fs::create_dir_all(place.join("slaves")).unwrap();
            fs::write(place.join("dev"), format!("{number}\n")).unwrap();
            for (file, text) in files {
                fs::create_dir_all(place.join(file).parent().unwrap()).unwrap();
                fs::write(place.join(file), format!("{text}\n")).unwrap();
            }
            for slave in slaves {
                symlink(format!("../../{slave}"), place.join("slaves").join(slave)).unwrap();
            }
            self.link(number, &place);
        }

        fn part(&self, number: &str, disk: &str, name: &str) {
            let place = self.root().join("sys/devices/block").join(disk).join(name);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("dev"), format!("{number}\n")).unwrap();
            fs::write(place.join("partition"), "1\n").unwrap();
            self.link(number, &place);
        }

        fn link(&self, number: &str, place: &Path) {
            let links = self.root().join("sys/dev/block");
            fs::create_dir_all(&links).unwrap();
            symlink(place, links.join(number)).unwrap();
        }

        fn check(&self, paths: &[&str], volumes: &[Volume]) -> Result<BTreeSet<String>, String> {
            let things: Vec<Thing> = paths
                .iter()
                .map(|p| {
                    let path = if p.starts_with('+') { (*p).to_owned() } else { self.file(p) };
                    Thing { what: "datafile 4".to_owned(), path }
                })
                .collect();
            check(&Host { root: self.root() }, &things, volumes).map_err(|e| format!("{e:#}"))
        }

        fn file(&self, path: &str) -> String {
            let path = self.root().join(path);
            if !path.exists() {
                fs::write(&path, b"x").unwrap();
            }
            path.to_string_lossy().into_owned()
        }
    }

    fn volume(name: &str, serial: &str) -> Volume {
        Volume { id: 1, name: name.to_owned(), serial: Some(serial.to_owned()), ..Volume::default() }
    }

    fn both() -> Vec<Volume> {
        vec![volume("d1", SERIAL), volume("d2", "742B0F000000F1A0000000000000401")]
    }

    #[test]
    fn a_file_is_found_through_lvm_partition_and_multipath() {
        let tree = Tree::new();
        let used = tree.check(&["u05/data/a.dbf", "u06/data/b.dbf", "odd name/c.dbf"], &both()).unwrap();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), ["d1", "d2"]);
    }

    #[test]
    fn a_file_on_a_volume_that_is_not_listed_is_named() {
        let tree = Tree::new();
        let error = tree.check(&["u05/data/a.dbf", "u06/data/b.dbf"], &both()[..1]).unwrap_err();
        assert!(
            error.contains("u06/data/b.dbf") && error.contains("6742b0f000000f1a0000000000000401"),
            "{error}"
        );
        assert!(!error.contains("u05/data"), "{error}");
    }

    #[test]
    fn what_is_no_block_device_of_the_array_is_refused_with_its_reason() {
        let tree = Tree::new();
        assert!(tree.check(&["nfs/data/a.dbf"], &both()).unwrap_err().contains("nfs4 (filer:/x)"));
        assert!(tree.check(&["+DATA/PROD/a.dbf"], &both()).unwrap_err().contains("ASM"));
        let local = tree.check(&["local.dbf"], &both()).unwrap_err();
        assert!(local.contains("t10.ata disk"), "{local}");
        let gone = Thing { what: "datafile 4".to_owned(), path: "/nonexistent/x".to_owned() };
        assert!(check(&Host { root: tree.root() }, &[gone], &both()).is_err());
    }

    #[test]
    fn a_volume_group_over_two_volumes_needs_both() {
        let tree = Tree::new();
        let slaves = tree.root().join("sys/devices/block/dm-5/slaves");
        symlink("../../sdc", slaves.join("sdc")).unwrap();
        assert!(tree.check(&["u05/data/a.dbf"], &both()[..1]).unwrap_err().contains("401"));
        assert_eq!(tree.check(&["u05/data/a.dbf"], &both()).unwrap().len(), 2);
    }

    #[test]
    fn a_link_leads_to_where_the_file_is() {
        let tree = Tree::new();
        let target = tree.file("u06/data/b.dbf");
        symlink(target, tree.root().join("u05/data/l.dbf")).unwrap();
        assert!(tree.check(&["u05/data/l.dbf"], &both()[..1]).unwrap_err().contains("401"));
    }

    #[test]
    fn one_disk_has_many_spellings() {
        for id in [
            "naa.6742B0F000000f1a0000000000000400",
            "0x6742b0f000000f1a0000000000000400",
            "36742b0f000000f1a0000000000000400",
            "6742b0f000000f1a0000000000000400",
        ] {
            assert!(is_volume(&normal(id), &volume("d1", SERIAL)), "{id}");
        }
        assert!(!is_volume(&normal("36742b0f000000f1a0000000000000401"), &volume("d1", SERIAL)));
        assert!(!is_volume("", &volume("d1", "")));
    }
}
