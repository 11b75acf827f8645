//! `tacit attest measure`: which image published files are.

use crate::args::{Attest, BootFiles, MeasureImage, MeasureSnp, MeasureTdx, SnpProcessor};
use crate::failure::{Context as _, Failure};
use crate::output::Output;
use crate::tensor_file::read_limited;
use alloy_primitives::hex;
use serde_json::json;
use tacit_attest::{
    AcpiDigests, Boot, FIRMWARE_BYTES_MAX, INITRD_BYTES_MAX, KERNEL_BYTES_MAX, KernelHeader, MeasureError,
    PageOrder, ProcessorModel, SnpGuest, TdxGuest,
};

pub(crate) fn attest(command: &Attest, output: Output) -> Result<(), Failure> {
    match command {
        Attest::Measure(MeasureImage::Snp(arguments)) => snp(arguments, output),
        Attest::Measure(MeasureImage::Tdx(arguments)) => tdx(arguments, output),
    }
}

fn snp(arguments: &MeasureSnp, output: Output) -> Result<(), Failure> {
    let files = Files::read(&arguments.files)?;
    let model = match arguments.cpu {
        SnpProcessor::Milan => ProcessorModel::MILAN,
        SnpProcessor::Genoa => ProcessorModel::GENOA,
        SnpProcessor::Turin => ProcessorModel::TURIN,
    };
    let guest = SnpGuest {
        firmware: &files.firmware,
        boot: Some(files.boot()),
        processors: arguments.processors,
        model,
        features: arguments.features,
    };
    let image = measured(guest.image(arguments.host_data.0))?;
    let (id, measurement) = (image.id().0, hex::encode(image.measurement));
    output.data(&json!({ "image_id": id, "measurement": measurement }), || {
        format!("image        {id}\nmeasurement  {measurement}")
    });
    Ok(())
}

fn tdx(arguments: &MeasureTdx, output: Output) -> Result<(), Failure> {
    let files = Files::read(&arguments.files)?;
    let acpi = |name: &str| read_limited(&arguments.acpi.join(name), ACPI_BYTES_MAX);
    let guest = TdxGuest {
        firmware: &files.firmware,
        boot: files.boot(),
        memory_bytes: arguments.memory_mib.saturating_mul(1 << 20),
        acpi: AcpiDigests::of(&acpi("table-loader")?, &acpi("rsdp")?, &acpi("tables")?),
        order: if arguments.whole_sections { PageOrder::EachSection } else { PageOrder::EachPage },
        header: if arguments.kernel_as_is { KernelHeader::AsInFile } else { KernelHeader::FilledIn },
    };
    let image = measured(guest.image())?;
    let (id, mrtd, rtmr) = (image.id().0, hex::encode(image.mr_td), image.rt_mr.map(hex::encode));
    output.data(&json!({ "image_id": id, "mrtd": mrtd, "rtmr": rtmr }), || {
        let [a, b, c, d] = &rtmr;
        format!("image  {id}\nMRTD   {mrtd}\nRTMR0  {a}\nRTMR1  {b}\nRTMR2  {c}\nRTMR3  {d}")
    });
    Ok(())
}

fn measured<T>(result: Result<T, MeasureError>) -> Result<T, Failure> {
    result.failed("no_measurement", "these files give no measurement", "docs/image.md says what they must be")
}

struct Files {
    firmware: Vec<u8>,
    kernel: Vec<u8>,
    initrd: Vec<u8>,
    command_line: String,
}

impl Files {
    fn read(paths: &BootFiles) -> Result<Self, Failure> {
        let limit = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let command_line = String::from_utf8(read_limited(&paths.command_line, COMMAND_LINE_FILE_BYTES_MAX)?);
        let command_line =
            command_line.failed("no_measurement", "the command line is no text", "is it the right file?")?;
        Ok(Self {
            firmware: read_limited(&paths.firmware, limit(FIRMWARE_BYTES_MAX))?,
            kernel: read_limited(&paths.kernel, limit(KERNEL_BYTES_MAX))?,
            initrd: read_limited(&paths.initrd, limit(INITRD_BYTES_MAX))?,
            command_line: command_line.trim_end_matches('\n').to_owned(),
        })
    }

    fn boot(&self) -> Boot<'_> {
        Boot { kernel: &self.kernel, initrd: &self.initrd, command_line: &self.command_line }
    }
}

const ACPI_BYTES_MAX: u64 = 1 << 20;
const COMMAND_LINE_FILE_BYTES_MAX: u64 = 1 << 16;
