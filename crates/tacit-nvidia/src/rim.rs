//! Reference measurements: files that NVIDIA signs, one for each version of the driver and one for each version of the VBIOS.
//!
//! A file is a SWID tag (ISO/IEC 19770-2:2015) as the TCG's Reference Integrity Manifest Information Model has it, with an enveloped XML
//! signature (W3C XML Signature 1.1): one reference, to the whole document without the signature, in Canonical XML 1.1, hashed by SHA-384, signed by
//! ECDSA on P-384. No other form of signature is read.

use crate::canonical;
use crate::certificate::Fingerprint;
use crate::error::RimError;
use crate::report::Measurement;
use crate::xml::{self, Element};
use crate::{Anchors, chain, pem};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha384};
use std::collections::BTreeMap;

/// How long a file may be.
pub const RIM_BYTES_MAX: usize = 128 * 1024;
/// How many values one measurement may have.
pub const ALTERNATIVES_MAX: usize = 64;

/// Reference measurements that NVIDIA signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rim {
    fingerprint: Fingerprint,
    product: String,
    version: String,
    measurements: BTreeMap<u8, Vec<Measurement>>,
    certificates: Vec<Fingerprint>,
    valid_until: u64,
}

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const ECDSA: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const DIGEST: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";

impl Rim {
    /// Reads a file and checks that a key under the root signed all of it, at `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`RimError`], the first check that fails; no input makes this panic.
    pub fn verify(text: &str, anchors: &Anchors, now: u64) -> Result<Self, RimError> {
        if text.len() > RIM_BYTES_MAX {
            return Err(RimError::Length { max: RIM_BYTES_MAX, got: text.len() });
        }
        let root = xml::parse(text)?;
        let signature = Signature::find(&root).ok_or(RimError::SignatureForm)?;
        // There is one such element, so that leaving out all of them is leaving out this one.
        let document = canonical::write(&root, &canonical::Scope::new(), &is_signature);
        if Sha384::digest(document.as_bytes()).as_slice() != signature.digest {
            return Err(RimError::Digest);
        }
        let chain = chain::verify(&signature.certificates, anchors, now)?;
        let around = canonical::scope(&[&root, signature.element]);
        let signed = canonical::write(signature.info, &around, &|_| false);
        if !chain.leaf().key.signed(signed.as_bytes(), &signature.value) {
            return Err(RimError::Signature);
        }
        let (product, version, measurements) = content(&root)?;
        Ok(Self {
            fingerprint: Fingerprint::of(text.as_bytes()),
            product,
            version,
            measurements,
            certificates: chain.fingerprints(),
            valid_until: chain.valid_until,
        })
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What kind of chip it is for, such as `GH100`.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product
    }

    /// Which version of driver or VBIOS it describes.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Measurements that must be right, by index from zero, with the values that each may have.
    #[must_use]
    pub fn measurements(&self) -> &BTreeMap<u8, Vec<Measurement>> {
        &self.measurements
    }

    /// Fingerprints of the chain of certificates of whoever signed it.
    #[must_use]
    pub fn certificates(&self) -> &[Fingerprint] {
        &self.certificates
    }

    /// When the first of these certificates expires, in seconds since 1970.
    #[must_use]
    pub fn valid_until(&self) -> u64 {
        self.valid_until
    }
}

/// A signature in the one form that is read; nothing of it has been checked.
struct Signature<'a, 'b> {
    element: &'b Element<'a>,
    info: &'b Element<'a>,
    digest: Vec<u8>,
    value: Vec<u8>,
    certificates: Vec<Vec<u8>>,
}

impl<'a, 'b> Signature<'a, 'b> {
    /// The one signature directly within the document.
    fn find(root: &'b Element<'a>) -> Option<Self> {
        let mut found = root.elements().filter(|it| is_signature(it));
        let element = found.next()?;
        if found.next().is_some() || !elsewhere(root, element) {
            return None;
        }
        let [info, value, key] = elements(element, "Signature")?;
        let [method, algorithm, reference] = elements(info, "SignedInfo")?;
        let [transforms, digest_method, digest] = elements(reference, "Reference")?;
        let [enveloped, canonical] = elements(transforms, "Transforms")?;
        let named = |it: &Element<'_>, name, value| {
            it.is(DSIG, name)
                && it.children.is_empty()
                && it.attributes.len() == 1
                && it.attribute("", "Algorithm") == Some(value)
        };
        let whole = reference.attributes.len() == 1 && reference.attribute("", "URI") == Some("");
        let known = named(method, "CanonicalizationMethod", C14N)
            && named(algorithm, "SignatureMethod", ECDSA)
            && named(enveloped, "Transform", ENVELOPED)
            && named(canonical, "Transform", C14N)
            && named(digest_method, "DigestMethod", DIGEST);
        if !whole || !known {
            return None;
        }
        let [data] = elements(key, "KeyInfo")?;
        if !data.is(DSIG, "X509Data") || !data.attributes.is_empty() {
            return None;
        }
        let certificates =
            data.only_elements()?.into_iter().map(|it| pem::decode_lines(text(it, "X509Certificate")?));
        Some(Self {
            element,
            info,
            digest: STANDARD.decode(text(digest, "DigestValue")?).ok()?,
            value: STANDARD.decode(text(value, "SignatureValue")?).ok()?,
            certificates: certificates.collect::<Option<_>>()?,
        })
    }
}

fn is_signature(element: &Element<'_>) -> bool {
    element.is(DSIG, "Signature")
}

/// Whether nothing of the signature's namespace is anywhere but in the signature, and nothing is declared within it.
fn elsewhere(element: &Element<'_>, signature: &Element<'_>) -> bool {
    element.elements().all(|child| {
        if core::ptr::eq(child, signature) {
            child.elements().all(undeclared)
        } else {
            &*child.namespace != DSIG && elsewhere(child, signature)
        }
    })
}

fn undeclared(element: &Element<'_>) -> bool {
    element.declarations.is_empty() && element.elements().all(undeclared)
}

/// The elements of one that has this name, no attributes but those looked at elsewhere, and nothing but as many elements as are asked for.
fn elements<'a, 'b, const N: usize>(element: &'b Element<'a>, name: &str) -> Option<[&'b Element<'a>; N]> {
    let plain = element.attributes.is_empty() || name == "Reference";
    if element.is(DSIG, name) && plain { element.only_elements()?.try_into().ok() } else { None }
}

/// The text of an element that has this name and nothing else.
fn text<'b>(element: &'b Element<'_>, name: &str) -> Option<&'b str> {
    if element.is(DSIG, name) && element.attributes.is_empty() { element.text() } else { None }
}

type Content = (String, String, BTreeMap<u8, Vec<Measurement>>);

/// What a signed file says.
fn content(root: &Element<'_>) -> Result<Content, RimError> {
    let one = |name: &'static str| {
        let mut found = root.elements().filter(|it| it.is(SWID, name));
        match (found.next(), found.next()) {
            (Some(element), None) => Ok(element),
            _ => Err(RimError::Content { field: name }),
        }
    };
    if !root.is(SWID, "SoftwareIdentity") {
        return Err(RimError::Content { field: "SoftwareIdentity" });
    }
    let meta = one("Meta")?;
    let of = |name: &'static str| {
        let value = meta.attribute("", name).filter(|value| !value.is_empty());
        value.map(str::to_owned).ok_or(RimError::Content { field: name })
    };
    let mut measurements = BTreeMap::new();
    let mut seen = [false; 256];
    for resource in one("Payload")?.elements() {
        let (index, values) = measurement(resource).ok_or(RimError::Content { field: "Resource" })?;
        match seen.get_mut(usize::from(index)) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(RimError::Content { field: "index" }),
        }
        if let Some(values) = values {
            measurements.insert(index, values);
        }
    }
    if measurements.is_empty() {
        return Err(RimError::Content { field: "Payload" });
    }
    Ok((of("product")?, of("colloquialVersion")?, measurements))
}

/// One measurement, and its values if it counts.
fn measurement(resource: &Element<'_>) -> Option<(u8, Option<Vec<Measurement>>)> {
    let attribute = |name| resource.attribute("", name);
    if !resource.is(SWID, "Resource") || attribute("type") != Some("Measurement") {
        return None;
    }
    let index = attribute("index")?.parse().ok()?;
    let active = match attribute("active")? {
        "True" => true,
        "False" => false,
        _ => return None,
    };
    if !active {
        return Some((index, None));
    }
    let count: usize = attribute("alternatives")?.parse().ok()?;
    if attribute("size") != Some("48") || count == 0 || count > ALTERNATIVES_MAX {
        return None;
    }
    let value = |at: usize| digest(resource.attribute(SHA384, &format!("Hash{at}"))?);
    Some((index, Some((0..count).map(value).collect::<Option<_>>()?)))
}

/// 96 lower-case hexadecimal digits.
fn digest(text: &str) -> Option<Measurement> {
    let mut bytes = [0; 48];
    if text.len() != 96 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)?.checked_shl(4)? | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => digit.checked_sub(b'0'),
        b'a'..=b'f' => digit.checked_sub(b'a')?.checked_add(10),
        _ => None,
    }
}
