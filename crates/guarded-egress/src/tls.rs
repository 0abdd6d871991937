//! The TLS provider that all HTTP clients need.

/// Installs *ring* as the process's provider unless it has one: a client without a provider panics.
pub fn ensure_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have installed it in between, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
