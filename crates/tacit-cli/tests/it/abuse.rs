//! A validator whose JSON-RPC is abused in every way at once, while its network makes blocks.

use super::roles::Folder;
use super::validators::{Validator, network, paid, pay, post};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Resident memory of a process, in MiB.
fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Sends a request and takes what comes, if it comes.
fn throw(authority: &str, head: &str, body: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(authority).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "{head}host: node\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()).ok()?;
    stream.write_all(body).ok()?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).ok()?;
    Some(reply)
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn bomb(method: &str, params: &Value, times: usize) -> Vec<u8> {
    Value::from(vec![request(method, params.clone()); times]).to_string().into_bytes()
}

/// Every body that an abuser sends, again and again.
fn bodies() -> Vec<Vec<u8>> {
    let logs = json!([{"fromBlock": "0x0", "toBlock": "latest"}]);
    let endless = json!([{"data": "0x5b5f56", "gas": "0x3938700"}]);
    vec![
        bomb("eth_getLogs", &logs, 1000),
        bomb("eth_getBlockByNumber", &json!(["latest", true]), 1000),
        bomb("eth_newFilter", &logs, 1000),
        bomb("eth_call", &endless, 1000),
        bomb("eth_estimateGas", &endless, 1000),
        bomb(
            "eth_call",
            &json!([{"to": "0x00000000000000000000000000000000000000cc"}, "latest", {
                "0x00000000000000000000000000000000000000cc": {"code": "0x620fffff6000f3"}
            }]),
            30,
        ),
        bomb("eth_sendRawTransaction", &json!(["0x02c0"]), 1000),
        vec![b'['; 5 << 20],
        [vec![b'"'; 1], vec![b'a'; (5 << 20) - 2], vec![b'"'; 1]].concat(),
        vec![b'7'; 6 << 20],
        "{\"a\":".repeat(500_000).into_bytes(),
    ]
}

/// Under a limit of open files that many systems have: what the port takes, disk and network cannot.
fn start_with_few_files(config: &str) -> Validator {
    let script = "ulimit -n 1500; exec \"$0\" --json node run \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_tacit"), config]);
    Validator::wait_ready(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn a_validator_that_is_abused_stays_one() {
    let folder = Folder::new();
    let (_, account) = folder.key("payer.key");
    let (_, configs) = network(&folder, 4, &["--fund", &account]);
    let mut validators = Validator::start_all(&configs);
    drop(validators.remove(0));
    validators.insert(0, start_with_few_files(&configs[0]));
    pay(&folder, validators[1].url());
    let pace = |seconds: u64| {
        let before: Vec<u64> = validators.iter().map(Validator::height).collect();
        std::thread::sleep(Duration::from_secs(seconds));
        validators.iter().zip(before).map(|(one, before)| one.height() - before).collect::<Vec<u64>>()
    };
    let calm = pace(6);

    let authority = validators[0].url().strip_prefix("http://").unwrap().to_owned();
    let (stop, thrown) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut abusers = Vec::new();
    for body in bodies() {
        let (stop, thrown, authority) = (Arc::clone(&stop), Arc::clone(&thrown), authority.clone());
        abusers.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if throw(&authority, "POST / HTTP/1.1\r\n", &body).is_some() {
                    thrown.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    // Sockets that say nothing, half a request, or that they want to upgrade, and subscribe.
    let upgrade = "GET / HTTP/1.1\r\nhost: node\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut held = Vec::new();
    for index in 0..3_000 {
        let Ok(mut stream) = TcpStream::connect_timeout(&authority.parse().unwrap(), Duration::from_secs(1))
        else {
            continue;
        };
        let said = match index % 3 {
            0 => "",
            1 => "POST / HTTP/1.1\r\nhost: node\r\ncontent-length: 4000000\r\n\r\n[",
            _ => upgrade,
        };
        // Whoever was closed at once is closed.
        let _ = stream.write_all(said.as_bytes());
        held.push(stream);
    }
    let under_abuse = pace(12);
    let most_mib = resident_mib(validators[0].child.id());
    let asked = Instant::now();
    assert!(post(validators[0].url(), "eth_chainId", json!([])).is_string());
    let answered = asked.elapsed();
    pay(&folder, validators[0].url());
    stop.store(true, Ordering::Relaxed);
    drop(held);
    for abuser in abusers {
        abuser.join().unwrap();
    }
    let numbers = format!(
        "blocks in 6 s: {calm:?}, in 12 s of abuse: {under_abuse:?}; {most_mib} MiB; answered in {answered:?}; {} thrown",
        thrown.load(Ordering::Relaxed)
    );
    println!("{numbers}");
    // Others on this machine lose processors to the abuse as well: a third of the pace is enough.
    assert!(under_abuse.iter().zip(&calm).all(|(hard, calm)| 3 * hard >= 2 * calm), "{numbers}");
    assert!(most_mib < 1_500 && answered < Duration::from_secs(20), "{numbers}");
    assert_eq!(paid(validators[3].url()), 2);
    let health = validators[0].health();
    assert!(health.contains(r#""status":"ok""#), "{health}");
}
