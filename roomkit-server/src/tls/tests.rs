use std::{fs, path::PathBuf};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

use super::*;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("roomkit-{}-tls-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pair() -> (String, String) {
    let names = ["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

#[test]
fn a_certificate_and_its_key_may_share_a_file_or_not() {
    let folder = Folder::new("good");
    let (cert, key) = pair();
    let (cert_file, key_file) = (folder.file("cert", &cert), folder.file("key", &key));
    let both = folder.file("both", &format!("{key}\n{cert}{cert}"));
    for (cert, key) in [(&cert_file, &key_file), (&both, &both)] {
        let (cert, key) = (cert.clone(), key.clone());
        assert!(TlsConfig { cert, key }.load().is_ok());
    }
}

#[test]
fn the_first_certificate_of_a_chain_to_expire_is_the_one_that_counts() {
    let folder = Folder::new("expires");
    let of = |year| {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key)
    };
    let ((leaf, key), (authority, _)) = (of(2033), of(2030));
    let cert = folder.file("cert", &format!("{leaf}{authority}"));
    let key = folder.file("key", &key.serialize_pem());
    let certificate = TlsConfig { cert, key }.load().ok().unwrap();
    assert_eq!(certificate.expires, Some(1_893_456_000), "2030-01-01");
}

#[test]
fn x1_files_that_cannot_be_used_are_named_with_what_is_wrong_and_not_shown() {
    let folder = Folder::new("bad");
    let (cert, key) = pair();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let (cert_file, key_file) = (folder.file("cert", &cert), folder.file("key", &key));
    let missing = folder.0.join("missing");
    for (cert, key, field, named) in [
        (&missing, &key_file, "tls.cert", "cannot be read"),
        (&cert_file, &missing, "tls.key", "cannot be read"),
        (&key_file, &key_file, "tls.cert", "no certificate"),
        (&cert_file, &cert_file, "tls.key", "no private key"),
        (
            &cert_file,
            &"-----BEGIN PRIVATE KEY-----\nhunter2".into(),
            "tls.key",
            "must be the path",
        ),
        (
            &folder.file("empty", ""),
            &key_file,
            "tls.cert",
            "no certificate",
        ),
        (
            &cert_file,
            &folder.file("encrypted", &encrypted),
            "tls.key",
            "not encrypted",
        ),
        (
            &cert_file,
            &folder.file("other", &other),
            "tls.key",
            "not the key of the certificate",
        ),
        (
            &folder.file("broken", "-----BEGIN CERTIFICATE-----\nhunter2!\n"),
            &key_file,
            "tls.cert",
            "no PEM file",
        ),
        (
            &folder.file(
                "no-x509",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            ),
            &key_file,
            "tls.key",
            "cannot be used",
        ),
    ] {
        let config = TlsConfig {
            cert: cert.clone(),
            key: key.clone(),
        };
        let refused = config.load().err().unwrap().to_string();
        assert!(refused.starts_with(&format!("{field}: ")), "{refused}");
        assert!(refused.contains(named), "{named}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
