//! Each wrapper in the place of its original, in the middle of what the original was doing: the directories are as that one
//! leaves them, its .env beside a link with the script's name, and nothing of its work is lost or done in vain.

// The stages of the other tests have more than is used here.
#![allow(dead_code)]

#[path = "export/lab.rs"]
mod exports;
#[path = "rmans3/lab.rs"]
mod lab;
#[path = "ship/logs.rs"]
mod logs;
#[path = "ship/pair.rs"]
mod pair;
#[path = "hotbackup/stage.rs"]
mod stage;

mod dropped {
    pub mod backups;
    pub mod exports;
    pub mod first;
    pub mod place;
    pub mod settings;
    pub mod shipping;
    pub mod tablespaces;
    pub mod windows;
}
