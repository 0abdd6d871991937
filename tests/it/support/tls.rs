//! Certificates for servers and clients.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::git_server::ServerTls;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// The authority's certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and key for `localhost`, which requires client certificates of an authority if
    /// one is given.
    pub fn server(&self, clients: Option<&Authority>) -> ServerTls {
        let (certificate, key) = self.issue("localhost", ExtendedKeyUsagePurpose::ServerAuth);
        ServerTls {
            certificate,
            key,
            client_authority: clients.map(Authority::pem),
        }
    }

    /// A certificate and key for a name or an address.
    pub fn server_at(&self, name: &str) -> ServerTls {
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        ServerTls {
            certificate,
            key,
            client_authority: None,
        }
    }

    /// A certificate and key for several names.
    pub fn server_for(&self, names: &[&str]) -> ServerTls {
        let (certificate, key) = self.issue_for(names, ExtendedKeyUsagePurpose::ServerAuth);
        ServerTls {
            certificate,
            key,
            client_authority: None,
        }
    }

    /// A client's certificate and key.
    pub fn client(&self) -> (String, String) {
        self.issue("client", ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        self.issue_for(&[name], usage)
    }

    fn issue_for(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let names = names.iter().map(|name| (*name).to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>()).expect("params");
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }
}
