//! Vendors of our own: real evidence with its keys replaced by keys of ours, bound to a session, and signed again.

use crate::files::{self, Quote};
use crate::forge;
use alloy_primitives::{Address, B256};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use rsa::{BoxedUint, PrivateKey, pss, signature::RandomizedSigner as _, signature::SignatureEncoding as _};
use sha2::{Digest as _, Sha256, Sha384};
use std::collections::BTreeSet;
use std::sync::LazyLock;
use tacit_attest::{
    AmdPolicy, Attested, Binding, Collateral, CpuEvidence, Evidence, Fingerprint, GpuEvidence, GpuPolicy,
    IntelPolicy, IntelQuote, Policy, Product, REPORT_BYTES, Refusal, SnpReport, TcbStatus, Trust, Versions,
    verify,
};
use tacit_nvidia::{Anchors, Report};

/// A key of Intel's world that depends on a number alone.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 32]).unwrap()
}

fn signed(body: &[u8], algorithm: &[u8], signer: &SigningKey) -> Vec<u8> {
    let signature: Signature = signer.sign(body);
    let signature = forge::element(0x03, &[&[0], signature.to_der().as_bytes()].concat());
    forge::element(0x30, &[body, algorithm, &signature].concat())
}

fn raw(message: &[u8], signer: &SigningKey) -> Vec<u8> {
    let signature: Signature = signer.sign(message);
    signature.to_bytes().to_vec()
}

/// A certificate or a list of revoked ones, signed anew after a change of what is signed, without its head.
pub(crate) fn resign(template: &[u8], signer: &SigningKey, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (_, content, _) = forge::split(template);
    let (_, body, rest) = forge::split(content);
    let (head, algorithm, _) = forge::split(rest);
    let mut body = body.to_vec();
    edit(&mut body);
    signed(&forge::element(0x30, &body), &[head, algorithm].concat(), signer)
}

/// A certificate like the template, for another key, signed by another.
pub(crate) fn certify(template: &[u8], subject: &SigningKey, issuer: &SigningKey) -> Vec<u8> {
    resign(template, issuer, |body| {
        let marker = [0x03, 0x42, 0x00, 0x04];
        let at = body.windows(4).position(|window| window == marker).unwrap() + 3;
        body.splice(at..at + 65, subject.verifying_key().to_sec1_point(false).as_bytes().iter().copied());
    })
}

/// Intel's part of the world.
#[derive(Clone)]
pub(crate) struct Intel {
    pub(crate) root: Vec<u8>,
    /// Platform, its authority, root: keys 3, 2, 1.
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) collateral: Collateral,
    pub(crate) quote: Vec<u8>,
    pub(crate) now: u64,
}

const SIGNER: u8 = 4;
const ATTESTER: u8 = 5;

impl Intel {
    pub(crate) fn new(template: &Quote) -> Self {
        let old = pem_of(&template.bytes);
        let ders = forge::ders(&old);
        let root = certify(&ders[2], &key(1), &key(1));
        let chain =
            vec![certify(&ders[0], &key(3), &key(2)), certify(&ders[1], &key(2), &key(1)), root.clone()];
        let signer =
            certify(&forge::ders(&template.collateral.tcb_info_issuer_chain)[0], &key(SIGNER), &key(1));
        let issuers = forge::pem(&[signer, root.clone()]);
        let mut collateral = template.collateral.clone();
        collateral.root_ca_crl = resign(&collateral.root_ca_crl, &key(1), |_| ());
        collateral.pck_crl = resign(&collateral.pck_crl, &key(2), |_| ());
        (collateral.tcb_info_issuer_chain, collateral.qe_identity_issuer_chain) = (issuers.clone(), issuers);
        let mut intel = Self { root, chain, collateral, quote: template.bytes.clone(), now: template.now };
        intel.sign_collateral();
        intel.sign_quote();
        intel
    }

    pub(crate) fn sign_collateral(&mut self) {
        self.collateral.tcb_info_signature = raw(self.collateral.tcb_info.as_bytes(), &key(SIGNER));
        self.collateral.qe_identity_signature = raw(self.collateral.qe_identity.as_bytes(), &key(SIGNER));
    }

    /// Changes what the guest's report says: a place in it, and bytes.
    pub(crate) fn set(&mut self, at: usize, bytes: &[u8]) {
        let at = self.body().0 + at;
        self.quote[at..at + bytes.len()].copy_from_slice(bytes);
        self.sign_quote();
    }

    /// Where the report begins and ends.
    fn body(&self) -> (usize, usize) {
        match self.quote[0] {
            3 => (48, 48 + 384),
            4 => (48, 48 + 584),
            _ => (54, 54 + usize::from(u16::from_le_bytes([self.quote[50], self.quote[51]]))),
        }
    }

    /// Signs the quote again, with the chain as it is now.
    pub(crate) fn sign_quote(&mut self) {
        let end = self.body().1;
        let outer = if self.quote[0] == 3 { 0 } else { 6 };
        let report = end + 4 + 128 + outer;
        let mut qe = self.quote[report..report + 384].to_vec();
        let extra = usize::from(u16::from_le_bytes([self.quote[report + 448], self.quote[report + 449]]));
        let extra = self.quote[report + 448..report + 450 + extra].to_vec();
        let attester = key(ATTESTER).verifying_key().to_sec1_point(false).as_bytes()[1..].to_vec();
        qe[320..352].copy_from_slice(&Sha256::digest([&attester[..], &extra[2..]].concat()));
        qe[352..].fill(0);
        let mut chain = forge::pem(&self.chain).into_bytes();
        chain.push(0);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let inner = [&qe[..], &raw(&qe, &key(3)), &extra, &[5, 0], &length(&chain), &chain].concat();
        let inner = if outer == 0 { inner } else { [&[6, 0][..], &length(&inner), &inner].concat() };
        self.quote.truncate(end);
        let signature = [&raw(&self.quote, &key(ATTESTER))[..], &attester, &inner].concat();
        self.quote.extend(length(&signature));
        self.quote.extend(signature);
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::vendors().unwrap().with_intel(&self.root)
    }

    pub(crate) fn check(&self) -> Result<IntelQuote, tacit_attest::IntelError> {
        IntelQuote::verify(&self.quote, &self.collateral, &self.trust(), self.now)
    }
}

/// The chain in a quote, which is its end.
pub(crate) fn pem_of(quote: &[u8]) -> String {
    let at = quote.windows(10).position(|window| window == b"-----BEGIN").unwrap();
    String::from_utf8(quote[at..].to_vec()).unwrap().trim_end_matches('\0').to_owned()
}

/// AMD's part of the world: chip key 60.
#[derive(Clone)]
pub(crate) struct Amd {
    pub(crate) authority: Vec<u8>,
    pub(crate) vcek: Vec<u8>,
    pub(crate) report: [u8; REPORT_BYTES],
}

/// AMD's key, made for tests.
static AUTHORITY: LazyLock<PrivateKey> = LazyLock::new(|| {
    let (_, mut rest, _) = forge::split(include_bytes!("../data/test-ask.key"));
    let mut integers = Vec::new();
    while !rest.is_empty() {
        let (_, value, after) = forge::split(rest);
        integers.push(BoxedUint::from_be_slice_vartime(value));
        rest = after;
    }
    let [_, n, e, d, p, q, ..]: [BoxedUint; 9] = integers.try_into().expect("nine integers");
    PrivateKey::from_components(n, e, d, vec![p, q]).unwrap()
});

impl Amd {
    pub(crate) fn new() -> Self {
        let mut authority =
            tacit_nvidia::decode_pem(include_str!("../../roots/amd-milan-ask.pem")).unwrap().remove(0);
        // The modulus is as long as AMD's.
        let (_, key, _) = forge::split(include_bytes!("../data/test-ask.key"));
        let modulus = forge::split(forge::split(key).2).1;
        let at = authority.windows(4).position(|window| window == [0x02, 0x82, 0x02, 0x01]).unwrap() + 4;
        authority.splice(at..at + 513, modulus.iter().copied());
        let template = files::configured();
        let mut amd = Self { authority, vcek: template.vcek.to_vec(), report: template.bytes };
        amd.certify(|_| ());
        amd.sign();
        amd
    }

    /// Makes the chip's certificate again after a change of what is signed.
    pub(crate) fn certify(&mut self, edit: impl FnOnce(&mut Vec<u8>)) {
        let (_, content, _) = forge::split(&self.vcek);
        let (_, body, rest) = forge::split(content);
        let (head, algorithm, _) = forge::split(rest);
        let mut body = body.to_vec();
        let at = body.windows(4).position(|window| window == [0x03, 0x62, 0x00, 0x04]).unwrap() + 3;
        body.splice(
            at..at + 97,
            forge::key(60).verifying_key().to_sec1_point(false).as_bytes().iter().copied(),
        );
        edit(&mut body);
        let body = forge::element(0x30, &body);
        let signer = pss::SigningKey::<Sha384>::new(AUTHORITY.clone());
        let signature = signer.sign_with_rng(&mut ChaCha20Rng::seed_from_u64(1), &body).to_vec();
        let signature = forge::element(0x03, &[&[0], &signature[..]].concat());
        self.vcek = forge::element(0x30, &[&body, head, algorithm, &signature].concat());
    }

    pub(crate) fn set(&mut self, at: usize, bytes: &[u8]) {
        self.report[at..at + bytes.len()].copy_from_slice(bytes);
        self.sign();
    }

    pub(crate) fn sign(&mut self) {
        let signature: p384::ecdsa::Signature = forge::key(60).sign(&self.report[..0x2a0]);
        let (r, s) = signature.split_bytes();
        let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
        self.report[0x2a0..0x2d0].copy_from_slice(&reversed(&r));
        self.report[0x2e8..0x318].copy_from_slice(&reversed(&s));
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::vendors().unwrap().with_amd(Product::Milan, &self.authority).unwrap()
    }

    pub(crate) fn check(&self) -> Result<SnpReport, tacit_attest::AmdError> {
        SnpReport::verify(&self.report, &self.vcek, &self.trust(), files::AMD_NOW)
    }
}

/// NVIDIA's part of the world: two GPUs with keys 1, 2 and 21, 22 under authorities 3, 4, 5; reference files signed by keys 11 to 14.
#[derive(Clone)]
pub(crate) struct Nvidia {
    pub(crate) gpus: Vec<GpuEvidence>,
    pub(crate) references: Vec<String>,
    root: String,
    references_root: String,
}

const GPU_REPORT: &str = include_str!("../../../tacit-nvidia/tests/data/h100-550.90.07.hex");
const GPU_CHAIN: &str = include_str!("../../../tacit-nvidia/tests/data/h100-550.90.07.pem");
const REFERENCES: &str = include_str!("../../../tacit-nvidia/tests/data/driver-550.144.03.swidtag");
const LEAVES: [u8; 2] = [1, 21];

impl Nvidia {
    pub(crate) fn new(nonce: &[u8; 32]) -> Self {
        let upper = forge::chain(GPU_CHAIN, 1);
        let templates = forge::ders(GPU_CHAIN);
        let digits = GPU_REPORT.trim_end();
        let report: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        let gpu = |first: u8| {
            let leaf = forge::certify(&templates[0], &forge::key(first), &forge::key(first + 1), |_| ());
            let device = forge::certify(&templates[1], &forge::key(first + 1), &forge::key(3), |_| ());
            let chain = forge::pem(&[vec![leaf, device], upper[2..].to_vec()].concat());
            GpuEvidence { report: report.clone(), chain }
        };
        let chain = forge::chain(&forge::rim_chain(REFERENCES), 11);
        let parsed = Report::parse(&report).unwrap();
        let values = |indices: &[u8]| {
            let of = |index: &u8| parsed.measurements().iter().find(|(it, _)| it == index).unwrap().1;
            indices.iter().map(|index| (*index, true, vec![of(index)])).collect::<Vec<_>>()
        };
        let rim = |version, indices| forge::rim(version, "GH100", &values(indices), &chain, &forge::key(11));
        let references = vec![rim("550.90.07", &[7, 23, 24]), rim("96.00.9F.00.01", &[0, 1, 2, 12])];
        let (root, references_root) = (forge::pem(&upper[4..]), forge::pem(&chain[3..]));
        let mut nvidia = Self { gpus: LEAVES.map(gpu).to_vec(), references, root, references_root };
        (0..LEAVES.len()).for_each(|at| nvidia.edit(at, |report| report[4..36].copy_from_slice(nonce)));
        nvidia
    }

    /// Changes what a GPU reports, and signs it again.
    pub(crate) fn edit(&mut self, at: usize, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut self.gpus[at].report);
        forge::sign_report(&mut self.gpus[at].report, &forge::key(LEAVES[at]));
    }

    /// A file for this version, of one measurement.
    pub(crate) fn reference(&self, version: &str) -> String {
        let chain = forge::chain(&forge::rim_chain(REFERENCES), 11);
        forge::rim(version, "GH100", &[(0, true, vec![[0; 48]])], &chain, &forge::key(11))
    }

    /// Of GPUs, and of reference files.
    pub(crate) fn roots(&self) -> (Anchors, Anchors) {
        (Anchors::from_pem(&self.root).unwrap(), Anchors::from_pem(&self.references_root).unwrap())
    }

    pub(crate) fn trust(&self, trust: Trust) -> Trust {
        let (gpu, references) = self.roots();
        trust.with_nvidia(gpu, references)
    }
}

/// A session with all that shows it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) binding: Binding,
    pub(crate) cpu: Either,
    pub(crate) nvidia: Nvidia,
    pub(crate) rules: Rules,
}

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a few of them, in tests")]
pub(crate) enum Either {
    Intel(Intel),
    Amd(Amd),
}

/// What a policy is made of.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) images: Vec<tacit_attest::ImageId>,
    pub(crate) models: Vec<B256>,
    pub(crate) intel: Option<IntelPolicy>,
    pub(crate) amd: Option<AmdPolicy>,
    pub(crate) gpu: Option<GpuPolicy>,
    pub(crate) revoked: Vec<Fingerprint>,
}

pub(crate) const KEY: &[u8] = b"a session's public key";

pub(crate) fn binding() -> Binding {
    Binding::new(1337, Address::repeat_byte(1), KEY, B256::repeat_byte(2), B256::repeat_byte(3))
}

impl World {
    pub(crate) fn intel() -> Self {
        let mut intel = Intel::new(&files::tdx());
        intel.set(520, &binding().report_data());
        let image = intel.check().unwrap().image().id();
        Self::new(Either::Intel(intel), image)
    }

    pub(crate) fn amd() -> Self {
        let mut amd = Amd::new();
        amd.set(0x50, &binding().report_data());
        let image = amd.check().unwrap().image().id();
        Self::new(Either::Amd(amd), image)
    }

    fn new(cpu: Either, image: tacit_attest::ImageId) -> Self {
        let nvidia = Nvidia::new(&binding().gpu_nonce());
        let prints = nvidia.references.iter().map(|text| Fingerprint::of(text.as_bytes())).collect();
        let intel = IntelPolicy { statuses: BTreeSet::from([TcbStatus::UpToDate]), evaluation_min: 17 };
        let versions = Versions { fmc: 0, bootloader: 4, tee: 0, snp: 0x17, microcode: 0xd5 };
        let amd = AmdPolicy {
            platform_required: 1 << 5,
            platform_refused: 0,
            vmpl_max: 0,
            versions_min: vec![(Product::Milan, versions)],
        };
        let rules = Rules {
            images: vec![image],
            models: vec![B256::repeat_byte(2)],
            intel: Some(intel),
            amd: Some(amd),
            gpu: Some(GpuPolicy { count_min: 2, references: prints }),
            revoked: Vec::new(),
        };
        Self { binding: binding(), cpu, nvidia, rules }
    }

    pub(crate) fn evidence(&self) -> Evidence {
        let cpu = match &self.cpu {
            Either::Intel(intel) => CpuEvidence::Intel {
                quote: intel.quote.clone(),
                collateral: Box::new(intel.collateral.clone()),
            },
            Either::Amd(amd) => CpuEvidence::Amd { report: Box::new(amd.report), vcek: amd.vcek.clone() },
        };
        Evidence { cpu, gpus: self.nvidia.gpus.clone(), references: self.nvidia.references.clone() }
    }

    pub(crate) fn policy(&self) -> Policy {
        let rules = self.rules.clone();
        let mut policy =
            Policy::new(rules.images, rules.models).unwrap().with_revoked(rules.revoked).unwrap();
        if let Some(intel) = rules.intel {
            policy = policy.with_intel(intel).unwrap();
        }
        if let Some(amd) = rules.amd {
            policy = policy.with_amd(amd).unwrap();
        }
        if let Some(gpu) = rules.gpu {
            policy = policy.with_gpus(gpu).unwrap();
        }
        policy
    }

    pub(crate) fn now(&self) -> u64 {
        match &self.cpu {
            Either::Intel(intel) => intel.now,
            // Reference files of GPUs are not valid as long as AMD's certificate is.
            Either::Amd(_) => files::AMD_NOW,
        }
    }

    pub(crate) fn trust(&self) -> Trust {
        self.nvidia.trust(match &self.cpu {
            Either::Intel(intel) => intel.trust(),
            Either::Amd(amd) => amd.trust(),
        })
    }

    /// The one call.
    pub(crate) fn verify(&self) -> Result<Attested, Refusal> {
        verify(&self.evidence(), &self.policy(), &self.binding, &self.trust(), self.now())
    }
}
