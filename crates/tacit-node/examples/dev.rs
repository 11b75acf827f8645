//! A development node with the public test accounts: `dev [--port N] [--data DIR]`.
//!
//! Prints one line of JSON with its address when it is ready, and stops on SIGINT or SIGTERM.

use std::{error::Error, io::Write, path::PathBuf};

use tacit_node::{Node, NodeConfig};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut data_dir) = (8545, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--port" => port = value.parse()?,
            "--data" => data_dir = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    let node = Node::open(NodeConfig::dev_with_public_accounts([]).with_data_dir(data_dir))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut out = std::io::stdout();
    writeln!(out, r#"{{"url":"{url}","chain_id":{},"height":{}}}"#, node.chain_id(), node.head().number)?;
    out.flush()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    node.serve(listener, shutdown).await?;
    Ok(())
}
