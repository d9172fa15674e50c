//! Where objects and parts lie: data files named by a hash of the key, each with a JSON file that describes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use s3s::crypto::{Checksum as _, Sha256};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::sums::Sums;

/// An object, or one version of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Object {
    pub key: String,
    pub bytes: u64,
    /// Without its quotes; of a multipart upload it ends with the number of parts.
    pub etag: String,
    /// Milliseconds since 1970.
    pub modified: u64,
    pub metadata: BTreeMap<String, String>,
    pub sums: Sums,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: String,
    /// Sizes of the parts; empty for PutObject.
    pub parts: Vec<u64>,
    pub version: Option<String>,
    pub headers: Headers,
}

/// What a client asks to be kept with the object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Headers {
    pub content_type: Option<String>,
    pub storage_class: Option<String>,
    pub sse: Option<String>,
    pub kms_key_id: Option<String>,
    pub lock_mode: Option<String>,
    /// Milliseconds since 1970.
    pub lock_until: Option<u64>,
}

/// An upload that is neither completed nor aborted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    pub id: String,
    pub key: String,
    pub initiated: u64,
    pub metadata: BTreeMap<String, String>,
    pub headers: Headers,
    /// As asked for at its beginning; `None`: CRC64NVME of the whole object.
    pub algorithm: Option<String>,
    pub checksum_type: String,
}

/// A part of such an upload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub number: u32,
    pub bytes: u64,
    pub etag: String,
    pub modified: u64,
    pub sums: Sums,
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// The directory of one bucket.
#[derive(Debug, Clone)]
pub struct Bucket(PathBuf);

impl Bucket {
    /// `None` when it does not exist.
    pub fn open(root: &Path, name: &str) -> Option<Self> {
        let dir = root.join(name);
        // A name with a slash or dots is refused by the protocol already.
        (!name.is_empty() && dir.join("objects").is_dir()).then_some(Self(dir))
    }

    pub fn create(root: &Path, name: &str) -> io::Result<Self> {
        let dir = root.join(name);
        for part in ["objects", "uploads", "versions"] {
            fs::create_dir_all(dir.join(part))?;
        }
        Ok(Self(dir))
    }

    pub fn remove(self) -> io::Result<()> {
        fs::remove_dir_all(self.0)
    }

    /// A new file that nobody else knows.
    pub fn scratch(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::NamedTempFile::new_in(self.0.join("uploads"))
    }

    /// The data file of an object; it need not exist.
    pub fn data(&self, key: &str) -> PathBuf {
        self.0.join("objects").join(name(key))
    }

    fn version_data(&self, key: &str, version: &str) -> PathBuf {
        self.0.join("versions").join(format!("{}.{version}", name(key)))
    }

    /// The latest version, or the named one, with its data file.
    pub fn object(&self, key: &str, version: Option<&str>) -> io::Result<Option<(Object, PathBuf)>> {
        let latest = self.data(key);
        if let Some(object) = read::<Object>(&beside(&latest))? {
            if version.is_none() || version == object.version.as_deref() {
                return Ok(Some((object, latest)));
            }
        }
        let Some(version) = version else { return Ok(None) };
        let data = self.version_data(key, version);
        Ok(read::<Object>(&beside(&data))?.map(|object| (object, data)))
    }

    /// Makes `data` the object of that key. With versions the object before it stays readable.
    pub fn publish(&self, object: &Object, data: tempfile::NamedTempFile) -> io::Result<()> {
        let place = self.data(&object.key);
        if object.version.is_some() {
            self.retire(&object.key)?;
        }
        data.persist(&place)?;
        write(&beside(&place), object)
    }

    fn retire(&self, key: &str) -> io::Result<()> {
        let place = self.data(key);
        if let Some(Object { version: Some(version), .. }) = read::<Object>(&beside(&place))? {
            let old = self.version_data(key, &version);
            fs::rename(&place, &old)?;
            fs::rename(beside(&place), beside(&old))?;
        }
        Ok(())
    }

    /// Deletes it; whether there was one.
    pub fn delete(&self, key: &str, version: Option<&str>) -> io::Result<bool> {
        let Some((object, data)) = self.object(key, version)? else { return Ok(false) };
        if object.version.is_some() && version.is_none() {
            self.retire(key)?;
        } else {
            fs::remove_file(beside(&data))?;
            fs::remove_file(&data)?;
        }
        Ok(true)
    }

    /// All objects in the order of S3 (bytes of the key).
    pub fn objects(&self) -> io::Result<BTreeMap<String, Object>> {
        let mut all = BTreeMap::new();
        for path in described(&self.0.join("objects"))? {
            // It may have been deleted meanwhile.
            if let Some(object) = read::<Object>(&path)? {
                all.insert(object.key.clone(), object);
            }
        }
        Ok(all)
    }

    pub fn upload(&self, id: &str) -> io::Result<Option<Upload>> {
        read(&self.upload_file(id))
    }

    pub fn save_upload(&self, upload: &Upload) -> io::Result<()> {
        write(&self.upload_file(&upload.id), upload)
    }

    fn upload_file(&self, id: &str) -> PathBuf {
        self.0.join("uploads").join(format!("{}.upload.json", name(id)))
    }

    pub fn uploads(&self) -> io::Result<Vec<Upload>> {
        let mut all = Vec::new();
        for path in described(&self.0.join("uploads"))? {
            if path.to_string_lossy().ends_with(".upload.json") {
                all.extend(read::<Upload>(&path)?);
            }
        }
        all.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        Ok(all)
    }

    pub fn part_data(&self, id: &str, number: u32) -> PathBuf {
        self.0.join("uploads").join(format!("{}.part{number:05}", name(id)))
    }

    pub fn save_part(&self, id: &str, part: &Part, data: tempfile::NamedTempFile) -> io::Result<()> {
        let place = self.part_data(id, part.number);
        data.persist(&place)?;
        write(&beside(&place), part)
    }

    /// In the order of their numbers.
    pub fn parts(&self, id: &str) -> io::Result<Vec<Part>> {
        let prefix = format!("{}.part", name(id));
        let mut all: Vec<Part> = Vec::new();
        for path in described(&self.0.join("uploads"))? {
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&prefix)) {
                all.extend(read::<Part>(&path)?);
            }
        }
        all.sort_by_key(|p| p.number);
        Ok(all)
    }

    /// Forgets an upload and its parts.
    pub fn forget(&self, id: &str) -> io::Result<()> {
        let prefix = name(id);
        for entry in fs::read_dir(self.0.join("uploads"))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn name(key: &str) -> String {
    Sha256::checksum(key.as_bytes()).as_ref()[..16].iter().map(|b| format!("{b:02x}")).collect()
}

fn beside(data: &Path) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push(".json");
    path.into()
}

fn described(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "json") {
            all.push(path);
        }
    }
    Ok(all)
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.persist(path)?;
    Ok(())
}

/// The bytes of a range of a file, as a stream of chunks.
#[derive(Debug)]
pub struct Chunks {
    file: File,
    left: u64,
}

impl Chunks {
    const BYTES: u64 = 256 * 1024;

    pub fn open(path: &Path, from: u64, bytes: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Self { file, left: bytes })
    }
}

impl Iterator for Chunks {
    type Item = io::Result<bytes::Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let want = self.left.min(Self::BYTES);
        let mut buffer = vec![0; usize::try_from(want).unwrap_or_default()];
        self.left -= want;
        Some(self.file.read_exact(&mut buffer).map(|()| buffer.into()))
    }
}
