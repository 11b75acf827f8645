//! The `tacit` command: parses words, wires the rooms together, prints. It holds no rules of its own.

mod args;
mod client;
mod commands;
mod demo;
mod encryption;
mod failure;
mod files;
mod input_file;
mod lifetime;
mod local;
mod measure;
mod memory;
mod network;
mod openings;
mod output;
mod question;
mod role;
mod shipped;
mod table_file;
mod tensor_file;

use args::{Cli, Command};
use clap::Parser;
use failure::Failure;
use output::Output;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Runs the command that the process was started as. Beside the binary, so that a build need not wait for all of its parts to be translated before it
/// begins with this one.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let output = Output::new(cli.json);
    start_log(cli.json);
    files::allow_many();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.failure(&Failure::new("runtime", error, "is the system out of threads?"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(&cli.command, output));
    // Work that blocks a thread (a proof nobody waits for any more) must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Help, version, or a command line that cannot be read: in clap's words, or as JSON where that was asked for.
fn misused(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if !wants_json || !error.use_stderr() {
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let text = error.render().to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    Output::new(true).failure(&Failure::new("bad_usage", message, "tacit --help"));
    ExitCode::from(2)
}

async fn run(command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => demo::demo(arguments, output).await,
        Command::Up(arguments) => commands::up::up(arguments, output).await,
        Command::Ask(arguments) => commands::ask::ask(arguments, output).await,
        Command::Model(command) => commands::model::model(command, output).await,
        Command::Run(arguments) => commands::run::run(arguments, output),
        Command::Prove(arguments) => commands::prove::prove(arguments, output),
        Command::Verify(arguments) => commands::prove::verify(arguments, output),
        Command::Receipt(command) => commands::receipt::receipt(command, output).await,
        Command::Wallet(command) => commands::wallet::wallet(command, output).await,
        Command::Policy(command) => commands::policy::policy(command, output).await,
        Command::Subnet(command) => commands::subnet::subnet(command, output).await,
        Command::Tokens(command) => commands::tokens::tokens(command, output).await,
        Command::Relay(arguments) => commands::relay::relay(arguments, output).await,
        Command::Node(command) => commands::node::node(command, output).await,
        Command::Worker(arguments) => commands::worker::worker(arguments, output).await,
        Command::Gateway(arguments) => commands::gateway::gateway(arguments, output).await,
        Command::Attest(command) => commands::attest::attest(command, output),
        Command::Bench(command) => commands::bench::bench(command, output).await,
    }
}

/// Warnings of the roles go to stderr; `TACIT_LOG=info` or `debug` says more. With `--json` each is a JSON object with its time.
fn start_log(json: bool) {
    let asked: Option<Level> = std::env::var("TACIT_LOG").ok().and_then(|level| level.parse().ok());
    let level = asked.unwrap_or(Level::WARN);
    // They warn of every database that is new, as each is once, and of the end of an epoch.
    let quiet = if asked.is_some() { level } else { Level::ERROR };
    let filter = Targets::new()
        .with_default(level)
        .with_target("commonware_storage::qmdb", quiet)
        .with_target("commonware_consensus::aggregation", quiet);
    let lines = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        lines.json().flatten_event(true).finish().with(filter).init();
    } else {
        lines.without_time().with_target(false).finish().with(filter).init();
    }
}
