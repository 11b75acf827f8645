//! A vendor of our own: real evidence with its keys replaced, and signed again.
//!
//! What is checked on it is what would be checked on evidence of NVIDIA's; only the root is another.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p384::ecdsa::{Signature, SigningKey, signature::Signer as _};
use sha2::{Digest as _, Sha384};
use std::fmt::Write as _;

/// A key that depends on a number alone.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 48]).unwrap()
}

/// The certificates of a text.
pub(crate) fn ders(pem: &str) -> Vec<Vec<u8>> {
    let body = |part: &str| part.split("-----END").next().unwrap().replace('\n', "");
    pem.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .map(|part| STANDARD.decode(body(part)).unwrap())
        .collect()
}

pub(crate) fn pem(ders: &[Vec<u8>]) -> String {
    let mut out = String::new();
    for der in ders {
        let _ = writeln!(out, "-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----", lines(der));
    }
    out
}

fn lines(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut out = String::new();
    for line in base64.as_bytes().chunks(64) {
        let _ = writeln!(out, "{}", std::str::from_utf8(line).unwrap());
    }
    out
}

/// One element in DER.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, u8::try_from(length).unwrap()],
        0x80..0x100 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

/// Head and content of the first element, and what follows it.
pub(crate) fn split(der: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (head, length) = match der[1] {
        0x82 => (4, usize::from(u16::from_be_bytes([der[2], der[3]]))),
        0x81 => (3, usize::from(der[2])),
        short => (2, usize::from(short)),
    };
    (&der[..head], &der[head..head + length], &der[head + length..])
}

/// Puts `new` where `old` is, which must be there.
pub(crate) fn replace(bytes: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let at = bytes.windows(old.len()).position(|window| window == old).expect("what is to be replaced");
    bytes.splice(at..at + old.len(), new.iter().copied());
}

/// A certificate like the template, for another key, signed by another; `edit` may change what is signed, without its head.
pub(crate) fn certify(
    template: &[u8],
    subject: &SigningKey,
    issuer: &SigningKey,
    edit: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let (_, content, _) = split(template);
    let (_, body, rest) = split(content);
    let (head, algorithm, _) = split(rest);
    let mut body = body.to_vec();
    // The public key is the first bit string of that length.
    let marker = [0x03, 0x62, 0x00, 0x04];
    let at = body.windows(4).position(|window| window == marker).unwrap() + 3;
    body.splice(at..at + 97, subject.verifying_key().to_sec1_point(false).as_bytes().iter().copied());
    edit(&mut body);
    let body = element(0x30, &body);
    let signature: Signature = issuer.sign(&body);
    let signature = element(0x03, &[&[0], signature.to_der().as_bytes()].concat());
    element(0x30, &[&body, head, algorithm, &signature].concat())
}

/// A chain like the template's whose keys are `first`, `first + 1` and so on.
pub(crate) fn chain(template: &str, first: u8) -> Vec<Vec<u8>> {
    let ders = ders(template);
    let last = u8::try_from(ders.len()).unwrap() - 1;
    ders.iter()
        .zip(0..)
        .map(|(der, at)| certify(der, &key(first + at), &key(first + (at + 1).min(last)), |_| ()))
        .collect()
}

/// Signs a report again.
pub(crate) fn sign_report(report: &mut Vec<u8>, signer: &SigningKey) {
    report.truncate(report.len() - 96);
    let signature: Signature = signer.sign(report);
    report.extend_from_slice(&signature.to_bytes());
}

/// A measurement in a file of references: index, whether it counts, values.
pub(crate) type Reference = (u8, bool, Vec<[u8; 48]>);

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";

/// A file of references, written in canonical form by hand, so that what is signed is what is there.
pub(crate) fn rim(
    version: &str,
    product: &str,
    references: &[Reference],
    chain: &[Vec<u8>],
    signer: &SigningKey,
) -> String {
    let mut out = format!(
        "<SoftwareIdentity xmlns=\"{SWID}\" xmlns:h=\"{SHA384}\" name=\"{product}\">\n\
         <Meta colloquialVersion=\"{version}\" product=\"{product}\"></Meta><Payload>"
    );
    for (index, active, values) in references {
        let active = if *active { "True" } else { "False" };
        let _ = write!(
            out,
            "<Resource active=\"{active}\" alternatives=\"{}\" index=\"{index}\" size=\"48\" type=\"Measurement\"",
            values.len()
        );
        for (at, value) in values.iter().enumerate() {
            let _ = write!(out, " h:Hash{at}=\"");
            value.iter().for_each(|byte| write!(out, "{byte:02x}").unwrap());
            out.push('"');
        }
        out.push_str("></Resource>");
    }
    out.push_str("</Payload>\n</SoftwareIdentity>");
    sign_xml(&out, &[("", SWID), ("h", SHA384)], chain, signer)
}

/// Signs a document that is in canonical form, whose root declares `namespaces`.
pub(crate) fn sign_xml(
    document: &str,
    namespaces: &[(&str, &str)],
    chain: &[Vec<u8>],
    signer: &SigningKey,
) -> String {
    let digest = STANDARD.encode(Sha384::digest(document.as_bytes()));
    let algorithm = |name: &str, uri: &str| format!("<d:{name} Algorithm=\"{uri}\"></d:{name}>");
    let c14n = "http://www.w3.org/2006/12/xml-c14n11";
    let info = [
        algorithm("CanonicalizationMethod", c14n),
        algorithm("SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"),
        "<d:Reference URI=\"\"><d:Transforms>".to_owned(),
        algorithm("Transform", "http://www.w3.org/2000/09/xmldsig#enveloped-signature"),
        algorithm("Transform", c14n),
        "</d:Transforms>".to_owned(),
        algorithm("DigestMethod", "http://www.w3.org/2001/04/xmldsig-more#sha384"),
        format!("<d:DigestValue>{digest}</d:DigestValue></d:Reference></d:SignedInfo>"),
    ]
    .concat();
    let mut declared: Vec<(&str, &str)> = namespaces.to_vec();
    declared.push(("d", DSIG));
    declared.sort_unstable();
    let mut signed = "<d:SignedInfo".to_owned();
    for (prefix, uri) in declared {
        let colon = if prefix.is_empty() { "" } else { ":" };
        let _ = write!(signed, " xmlns{colon}{prefix}=\"{uri}\"");
    }
    let signature: Signature = signer.sign(format!("{signed}>{info}").as_bytes());
    let value = STANDARD.encode(signature.to_bytes());
    let certificates: String =
        chain.iter().map(|der| format!("<d:X509Certificate>{}</d:X509Certificate>", lines(der))).collect();
    let signature = format!(
        "<d:Signature xmlns:d=\"{DSIG}\"><d:SignedInfo>{info}<d:SignatureValue>{value}</d:SignatureValue>\
         <d:KeyInfo><d:X509Data>{certificates}</d:X509Data></d:KeyInfo></d:Signature>"
    );
    let (before, end) = document.rsplit_once("</").unwrap();
    format!("{before}{signature}</{end}")
}

/// The chain that signed a file.
pub(crate) fn rim_chain(text: &str) -> String {
    let body = |part: &str| STANDARD.decode(part.split('<').next().unwrap().replace('\n', "")).unwrap();
    pem(&text.split("<ds:X509Certificate>").skip(1).map(body).collect::<Vec<_>>())
}
