//! Shared by targets that read what a server says: a server that says anything, and mirrors that ask it.

use std::sync::OnceLock;

use git_mirrors::{MirrorConfig, Mirrors, Scheme, Transports};

#[path = "server.rs"]
pub mod server;

pub struct Stage {
    pub mirrors: Mirrors,
    pub server: server::Server,
    _folder: tempfile::TempDir,
}

pub fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = MirrorConfig {
            transports: Transports::NONE.and(Scheme::Http),
            ..MirrorConfig::new(folder.path())
        };
        let mirrors = Mirrors::open(config).expect("a cache");
        Stage { mirrors, server: server::Server::start(), _folder: folder }
    })
}
