//! `tacit up`: a lasting local network.

use crate::args::Up;
use crate::failure::{Context, Failure};
use crate::lifetime;
use crate::local::{self, Listen, LocalNetwork};
use crate::output::Output;
use serde_json::json;

pub(crate) async fn up(arguments: &Up, output: Output) -> Result<(), Failure> {
    let data = &arguments.data;
    std::fs::create_dir_all(data).failed(
        "cannot_write",
        data.display(),
        "check the folder and its permissions",
    )?;
    let listen = Listen {
        ledger: arguments.ledger_listen,
        worker: arguments.worker_listen,
        gateway: arguments.gateway_listen,
        relay: Some(arguments.relay_listen),
    };
    let ledger = local::start_ledger(data, listen.ledger).await?;
    let offers = local::offers(data, output)?;
    let worker = local::start_worker(data, listen, &ledger, &offers, Some(&arguments.engine)).await?;
    let relay = local::start_relay(arguments.relay_listen, &ledger).await?;
    let gateway = local::start_gateway(data, listen.gateway, &ledger, &offers, Some(&relay)).await?;
    let relay_url = relay.url();
    let mut network = LocalNetwork { ledger, worker, gateway, relay: Some(relay) };
    let models: Vec<_> = offers
        .iter()
        .map(|offer| json!({"name": offer.file.name, "model_id": offer.file.id().to_string()}))
        .collect();
    let result = json!({
        "ledger": network.ledger.url(), "worker": network.worker.url(), "gateway": network.gateway.url(),
        "page": format!("{}/", network.gateway.url()), "relay": relay_url,
        "data": data, "models": models,
    });
    output.data(&result, || {
        let names: Vec<_> = offers.iter().map(|offer| offer.file.name.as_str()).collect();
        let file = arguments.engine.models_file.as_ref().map(|file| format!("the models of {}", file.display()));
        let engine = arguments.engine.engine.as_ref().map(|engine| format!("the model of {engine}"));
        let language =
            file.or(engine).map(|what| format!("OpenAI   {}/v1   ({what})\n", network.gateway.url()));
        format!(
            "ledger   {}   (Ethereum JSON-RPC, chain {})\nworker   {}   (serves {})\ngateway  {}\npage     {}/   (open it in a browser)\nrelay    {}   (to try unlinkable questions; beside its worker it hides nothing)\n{}\nkept in {}; ctrl-c stops it\ntry: tacit ask digits --input models/digits/samples/seven.json\nor:  tacit ask german-credit --input models/german-credit/samples/good.json",
            network.ledger.url(),
            network.ledger.ready["chain_id"],
            network.worker.url(),
            names.join(", "),
            network.gateway.url(),
            network.gateway.url(),
            relay_url,
            language.unwrap_or_default(),
            data.display()
        )
    });
    let ended = tokio::select! {
        () = lifetime::ended(false) => None,
        role = network.first_to_end() => Some(role),
    };
    network.stop().await;
    match ended {
        None => Ok(()),
        Some(role) => Err(Failure::new(
            "role_ended",
            format!("the {role} ended, so the network was stopped"),
            "see its message above; `tacit up` again continues where it was",
        )),
    }
}
