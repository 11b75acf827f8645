//! Inputs and labels from files: JSON `{"shape":[…],"data":[…]}` or `.npy`.

use crate::failure::{Context, Failure};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Numbers with a shape, as read; `data.len()` is the product of `shape`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TensorFile {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

/// Largest file read as a tensor.
pub(crate) const FILE_BYTES_MAX: u64 = 256 << 20;

impl TensorFile {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = read_limited(path, FILE_BYTES_MAX)?;
        let name = path.display();
        if bytes.starts_with(b"\x93NUMPY") {
            return Self::from_npy_file(&bytes, path);
        }
        let text = std::str::from_utf8(&bytes).failed(
            "bad_input",
            format!("{name} is neither JSON nor .npy"),
            JSON_HINT,
        )?;
        Self::from_json(text).map_err(|mut failure| {
            failure.message = format!("{name}: {}", failure.message);
            failure
        })
    }

    pub(crate) fn from_json(text: &str) -> Result<Self, Failure> {
        let tensor: Self = serde_json::from_str(text).failed("bad_input", "not a tensor", JSON_HINT)?;
        tensor.checked().map_err(|reason| Failure::new("bad_input", reason, JSON_HINT))
    }

    /// The array of a file, which errors name.
    pub(crate) fn from_npy_file(bytes: &[u8], path: &Path) -> Result<Self, Failure> {
        Self::from_npy(bytes).map_err(|reason| {
            let name = path.display();
            let refused = format!("{name} is not an array this command can read: {reason}");
            Failure::new("bad_input", refused, NPY_HINT)
        })
    }

    pub(crate) fn from_npy(bytes: &[u8]) -> Result<Self, String> {
        let file = npyz::NpyFile::new(bytes).map_err(|error| error.to_string())?;
        let shape = file
            .shape()
            .iter()
            .map(|&length| usize::try_from(length).map_err(|error| error.to_string()))
            .collect::<Result<Vec<_>, _>>()?;
        if file.order() != npyz::Order::C && shape.len() > 1 {
            return Err("it is in Fortran order".to_owned());
        }
        let npyz::DType::Plain(element) = file.dtype() else {
            return Err("it holds records, not numbers".to_owned());
        };
        let error = |error: std::io::Error| error.to_string();
        let data = match (element.type_char(), element.size_field()) {
            (npyz::TypeChar::Float, 4) => widen(file.into_vec::<f32>().map_err(error)?),
            (npyz::TypeChar::Float, 8) => file.into_vec::<f64>().map_err(error)?,
            (npyz::TypeChar::Int, 1) => widen(file.into_vec::<i8>().map_err(error)?),
            (npyz::TypeChar::Int, 2) => widen(file.into_vec::<i16>().map_err(error)?),
            (npyz::TypeChar::Int, 4) => widen(file.into_vec::<i32>().map_err(error)?),
            (npyz::TypeChar::Uint, 1) => widen(file.into_vec::<u8>().map_err(error)?),
            (npyz::TypeChar::Uint, 2) => widen(file.into_vec::<u16>().map_err(error)?),
            (npyz::TypeChar::Uint, 4) => widen(file.into_vec::<u32>().map_err(error)?),
            // Labels are often int64: exact up to 2^53, beyond which no raw value is accepted anyway.
            (npyz::TypeChar::Int, 8) => {
                file.into_vec::<i64>().map_err(error)?.into_iter().map(|v| v as f64).collect()
            }
            _ => return Err(format!("elements of type {element} are not numbers it knows")),
        };
        Self { shape, data }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let expected = self.shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        match expected {
            Some(expected) if expected == self.data.len() && !self.data.is_empty() => Ok(self),
            Some(_) if self.data.is_empty() => Err("it holds no numbers".to_owned()),
            Some(expected) => Err(format!(
                "its shape {:?} wants {expected} numbers, it holds {}",
                self.shape,
                self.data.len()
            )),
            None => Err(format!("its shape {:?} is too large", self.shape)),
        }
    }

    /// Splits into rows of `width`: shapes `[width]`, `[1, width]`, `[n, width]` and `[n, …]` flattening to `width`.
    pub(crate) fn rows(&self, width: usize) -> Result<Vec<Vec<f64>>, Failure> {
        let rows = if self.data.len() == width { 1 } else { self.shape.first().copied().unwrap_or(1) };
        if width == 0 || rows.checked_mul(width) != Some(self.data.len()) {
            return Err(Failure::new(
                "wrong_shape",
                format!("the model takes rows of {width} numbers, the input has shape {:?}", self.shape),
                format!("give a shape of [{width}] for one question or [n, {width}] for several"),
            ));
        }
        Ok(self.data.chunks(width).map(<[f64]>::to_vec).collect())
    }
}

fn widen<T: Into<f64>>(values: Vec<T>) -> Vec<f64> {
    values.into_iter().map(Into::into).collect()
}

/// Reads a whole file, refusing one over `bytes_max`.
pub(crate) fn read_limited(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let name = path.display();
    let length =
        std::fs::metadata(path).failed("no_file", format!("cannot read {name}"), "check the path")?.len();
    if length > bytes_max {
        return Err(Failure::new(
            "too_large",
            format!("{name} has {length} bytes, more than the {bytes_max} this command reads"),
            "is it the right file?",
        ));
    }
    std::fs::read(path).failed("no_file", format!("cannot read {name}"), "check the path and its permissions")
}

/// Writes a file that its owner alone can read: it holds somebody's question and answer.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(content));
    written.failed(
        "cannot_write",
        format!("cannot write {}", path.display()),
        "check the folder and its permissions",
    )
}

pub(crate) const JSON_HINT: &str = r#"an input looks like {"shape":[3],"data":[1.0,2.5,3.0]}, or {"age":35,"purpose":"new car"} with the model's names"#;
const NPY_HINT: &str = "save it with numpy.save as a C-ordered array of numbers";

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        let padded = format!("{header:<117}\n");
        bytes.extend((padded.len() as u16).to_le_bytes());
        bytes.extend(padded.as_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn json_is_checked_against_its_shape() {
        let tensor = TensorFile::from_json(r#"{"shape":[2,2],"data":[1,2.5,3,4]}"#).unwrap();
        assert_eq!(tensor.rows(2).unwrap(), vec![vec![1.0, 2.5], vec![3.0, 4.0]]);
        assert_eq!(tensor.rows(4).unwrap().len(), 1);
        assert_eq!(tensor.rows(3).unwrap_err().code, "wrong_shape");
        for bad in [
            r#"{"shape":[3],"data":[1,2]}"#,
            r#"{"shape":[0],"data":[]}"#,
            r#"{"shape":[1],"data":["a"]}"#,
            r#"{"shape":[1],"data":[NaN]}"#,
            r#"{"shape":[1],"data":[1],"more":1}"#,
            r#"{"shape":[99999999999,99999999999],"data":[1]}"#,
            "seven",
        ] {
            assert_eq!(TensorFile::from_json(bad).unwrap_err().code, "bad_input", "{bad}");
        }
    }

    #[test]
    fn npy_of_floats_and_integers_is_read() {
        let floats =
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", &[0, 0, 128, 63, 0, 0, 0, 64]);
        assert_eq!(TensorFile::from_npy(&floats).unwrap().data, vec![1.0, 2.0]);
        let integers =
            npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }", &[7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(TensorFile::from_npy(&integers).unwrap().data, vec![7.0]);
        assert!(TensorFile::from_npy(&floats[..floats.len() - 1]).is_err());
        let fortran = npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }", &[0; 8]);
        assert!(TensorFile::from_npy(&fortran).is_err());
    }
}
