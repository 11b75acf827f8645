//! Evidence of real GPUs, under NVIDIA's roots.

use crate::files::{DRIVER, NOW, Sample, VBIOS, blackwell, h100, other_h100};
use tacit_nvidia::{Anchors, CompareError, Gpu, GpuError, Report, Rim, RimError, verify};

fn check(sample: &Sample) -> Result<Gpu, GpuError> {
    verify(&sample.report, sample.chain, &sample.nonce(), &Anchors::device_identity().unwrap(), NOW)
}

fn rim(text: &str) -> Rim {
    Rim::verify(text, &Anchors::reference_values().unwrap(), NOW).unwrap()
}

#[test]
fn gpus_of_two_generations_are_accepted() {
    for (sample, driver, vbios) in [
        (h100(), "535.86.09", "96.00.5E.00.01"),
        (other_h100(), "550.90.07", "96.00.9F.00.01"),
        (blackwell(), "575.32", "97.00.88.00.0F"),
    ] {
        let gpu = check(&sample).unwrap();
        assert_eq!((gpu.driver(), gpu.vbios()), (driver, vbios));
        assert_eq!(gpu.nonce(), &sample.nonce());
        assert_eq!(gpu.certificates().len(), 5);
        assert_eq!(gpu.device(), gpu.certificates()[1]);
        // To the end of the year 9999.
        assert_eq!(gpu.valid_until(), 253_402_300_799);
        assert_eq!(Report::parse(&sample.report).unwrap().measurements().len(), 64);
    }
}

#[test]
fn files_that_nvidia_signed_are_read() {
    let (vbios, driver) = (rim(VBIOS), rim(DRIVER));
    assert_eq!((vbios.product(), vbios.version()), ("GH100", "96.00.5E.00.01"));
    assert_eq!((driver.product(), driver.version()), ("GH100", "550.144.03"));
    assert_eq!(
        vbios.measurements().keys().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    );
    assert_eq!(vbios.measurements()[&12].len(), 4);
    assert_eq!(driver.measurements().len(), 21);
    // 2025-06-22 and 2026-12-30, when the first of their certificates expires.
    assert_eq!((vbios.valid_until(), driver.valid_until()), (1_750_584_633, 1_798_649_810));
}

#[test]
fn a_vbios_measures_what_its_file_says() {
    let report = h100();
    let reported = Report::parse(&report.report).unwrap();
    for (index, accepted) in rim(VBIOS).measurements() {
        let (_, measured) = reported.measurements().iter().find(|(it, _)| it == index).unwrap();
        assert!(accepted.contains(measured), "measurement {index}");
    }
}

#[test]
fn a_gpu_without_references_for_its_driver_is_refused() {
    let gpu = || check(&h100()).unwrap();
    assert_eq!(gpu().compare(&[&rim(VBIOS)]).unwrap_err(), CompareError::Driver);
    assert_eq!(gpu().compare(&[&rim(VBIOS), &rim(DRIVER)]).unwrap_err(), CompareError::Driver);
    assert_eq!(gpu().compare(&[]).unwrap_err(), CompareError::Driver);
}

#[test]
fn files_are_refused_when_their_certificates_are_over() {
    let roots = Anchors::reference_values().unwrap();
    let of = |text, now| Rim::verify(text, &roots, now);
    let valid_until = rim(VBIOS).valid_until();
    assert!(of(VBIOS, valid_until).is_ok());
    assert!(matches!(
        of(VBIOS, valid_until + 1),
        Err(RimError::Chain(tacit_nvidia::ChainError::Expired { at: 0 }))
    ));
    assert!(matches!(
        of(VBIOS, 1_600_000_000),
        Err(RimError::Chain(tacit_nvidia::ChainError::NotYetValid { at: 0 }))
    ));
}

#[test]
fn neither_root_stands_for_the_other() {
    let sample = h100();
    let swapped = Anchors::reference_values().unwrap();
    let refused = verify(&sample.report, sample.chain, &sample.nonce(), &swapped, NOW).unwrap_err();
    assert_eq!(refused, GpuError::Chain(tacit_nvidia::ChainError::Root));
    let refused = Rim::verify(VBIOS, &Anchors::device_identity().unwrap(), NOW).unwrap_err();
    assert_eq!(refused, RimError::Chain(tacit_nvidia::ChainError::Root));
}

#[test]
fn what_was_learnt_changes_no_answer() {
    let mut anchors = Anchors::device_identity().unwrap();
    anchors.learn(h100().chain, NOW).unwrap();
    for sample in [h100(), other_h100(), blackwell()] {
        assert!(verify(&sample.report, sample.chain, &sample.nonce(), &anchors, NOW).is_ok());
    }
    // The report of one GPU with the chain of another.
    let sample = h100();
    let refused = verify(&sample.report, other_h100().chain, &sample.nonce(), &anchors, NOW).unwrap_err();
    assert_eq!(refused, GpuError::Signature);
}
