//! The TLS provider that all HTTP clients need.

/// Sees to it that there is one: a client without it panics. The program installs it at its start; who uses this crate otherwise
/// may not have.
pub(crate) fn ensure_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have installed it in between, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
