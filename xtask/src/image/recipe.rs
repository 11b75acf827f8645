//! Recipes of images: which files they are made from, by hash, and how a guest is started with them.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// A recipe: `images/worker/recipe.json`.
#[derive(Debug, Clone)]
pub(crate) struct Recipe(Value);

impl Recipe {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Ok(Self(serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?))
    }

    /// The bytes of a file that the recipe names, if they are those that it names.
    pub(crate) fn file(&self, name: &str, path: &Path) -> Result<Vec<u8>> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let expected =
            self.0["files"][name].as_str().with_context(|| format!("the recipe names no {name}"))?;
        let got = sha256(&bytes);
        if got != expected {
            bail!("{} is not the recipe's {name}: SHA-256 {got}, not {expected}", path.display());
        }
        Ok(bytes)
    }

    /// Modules, in the order in which they are loaded: their paths in the kernel's folder of modules, and their bytes.
    pub(crate) fn modules(&self, folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
        let mut modules = Vec::new();
        for module in self.0["modules"].as_array().context("the recipe lists no modules")? {
            let path = module["path"].as_str().context("a module without a path")?;
            let bytes = std::fs::read(folder.join(path)).with_context(|| path.to_owned())?;
            if module["sha256"] != sha256(&bytes) {
                bail!("{path} is not the recipe's: SHA-256 {}", sha256(&bytes));
            }
            modules.push((path.to_owned(), bytes));
        }
        Ok(modules)
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        self.0[name].as_str().with_context(|| format!("the recipe has no {name}"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        self.0[name].as_u64().with_context(|| format!("the recipe has no {name}"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.0[name].is_null()
    }

    /// A list of arguments, one on each line.
    pub(crate) fn arguments(&self, name: &str) -> Result<String> {
        let mut lines = String::new();
        for argument in self.0[name].as_array().with_context(|| format!("the recipe has no {name}"))? {
            let argument = argument
                .as_str()
                .filter(|text| !text.contains(['\n', '\r']))
                .context("an argument that is no line")?;
            lines.push_str(argument);
            lines.push('\n');
        }
        Ok(lines)
    }
}

/// Options of a command line, each with a value.
#[derive(Debug, Default)]
pub(crate) struct Options(BTreeMap<String, String>);

impl Options {
    pub(crate) fn parse(arguments: &[String], known: &[&str]) -> Result<Self> {
        let mut options = BTreeMap::new();
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            let value = rest.next().with_context(|| format!("{name} has no value"))?;
            if !known.contains(&name.as_str()) {
                bail!("{name} is not known; {}", known.join(", "));
            }
            if options.insert(name.clone(), value.clone()).is_some() {
                bail!("{name} is there twice");
            }
        }
        Ok(Self(options))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn path(&self, name: &str) -> Option<&Path> {
        self.text(name).map(Path::new)
    }

    pub(crate) fn needed(&self, name: &str) -> Result<&Path> {
        self.path(name).with_context(|| format!("{name} is missing"))
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let parse = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Options::parse(&words, &["-o", "--kernel"])
        };
        let options = parse(&["-o", "a", "--kernel", "b"]).unwrap();
        assert_eq!(options.path("-o"), Some(Path::new("a")));
        assert!(options.needed("--kernels").is_err());
        assert!(parse(&["-o"]).is_err());
        assert!(parse(&["-x", "a"]).is_err());
        assert!(parse(&["-o", "a", "-o", "b"]).is_err());
    }

    #[test]
    fn a_file_is_the_recipes_or_refused() {
        let path = std::env::temp_dir().join(format!("tacit-recipe-{}", std::process::id()));
        std::fs::write(&path, "kernel").unwrap();
        let recipe = |hash: String| Recipe(serde_json::json!({ "files": { "kernel": hash } }));
        assert_eq!(recipe(sha256(b"kernel")).file("kernel", &path).unwrap(), b"kernel");
        assert!(recipe(sha256(b"other")).file("kernel", &path).is_err());
        assert!(recipe(sha256(b"kernel")).file("firmware", &path).is_err());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn arguments_are_lines() {
        let recipe = |argument| Recipe(serde_json::json!({ "worker_arguments": ["worker", argument] }));
        assert_eq!(recipe("--key a").arguments("worker_arguments").unwrap(), "worker\n--key a\n");
        assert!(recipe("a\nb").arguments("worker_arguments").is_err());
        assert!(recipe("a").arguments("engine_arguments").is_err());
    }
}
