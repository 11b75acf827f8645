//! The engine for language models: any program that speaks OpenAI's HTTP interface and says at `/health` when it can be asked.
//!
//! # Soundness
//! Program and arguments are files of the initial file system, so they are measured; the file of weights is on the disk behind the hash tree,
//! where the worker hashes it under the same name. What clients write reaches the engine, so it has a user of its own, who can read neither the
//! worker's memory nor its folder, and what it writes is dropped: the console is the host's.

use crate::error::{At as _, Failure};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Starts the engine and waits until it can be asked: a worker that finds none does not start.
pub(crate) fn start(arguments: &str) -> Result<Child, Failure> {
    let mut engine = Command::new(ENGINE)
        .args(arguments.lines())
        // Behind all others, so that these count.
        .args(["--host", "127.0.0.1", "--port", &PORT.to_string()])
        .env_clear()
        .env("HOME", "/tmp")
        .current_dir("/tmp")
        .uid(USER)
        .gid(USER)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .at(ENGINE)?;
    await_health(&mut engine, PORT, Duration::from_secs(WAIT_SECONDS))?;
    Ok(engine)
}

fn await_health(engine: &mut Child, port: u16, wait: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    while !is_healthy(port).unwrap_or(false) {
        if let Some(status) = engine.try_wait().at(ENGINE)? {
            return Err(Failure::EngineEnded(status));
        }
        if start.elapsed() > wait {
            return Err(Failure::EngineSilent(wait.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn is_healthy(port: u16) -> std::io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 13];
    stream.read_exact(&mut status)?;
    Ok(status == *b"HTTP/1.1 200 ")
}

const ENGINE: &str = "/engine";
const PORT: u16 = 8000;
const USER: u32 = 1000;
const ANSWER: Duration = Duration::from_secs(2);
/// Reading weights from a slow disk takes its time.
const WAIT_SECONDS: u64 = 600;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    /// Answers one client with each of these.
    fn answering(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut asked = [0; 512];
                let length = stream.read(&mut asked).unwrap();
                assert!(asked[..length].starts_with(b"GET /health HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        port
    }

    #[test]
    fn an_engine_that_still_loads_is_waited_for() {
        let port = answering(&["HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"]);
        let mut engine = sleeper();
        await_health(&mut engine, port, Duration::from_secs(20)).unwrap();
        engine.kill().unwrap();
        engine.wait().unwrap();
    }

    #[test]
    fn an_engine_that_ends() {
        let mut engine = Command::new("false").spawn().unwrap();
        let ended = await_health(&mut engine, 1, Duration::from_secs(20)).unwrap_err();
        assert!(matches!(ended, Failure::EngineEnded(status) if status.code() == Some(1)), "{ended}");
    }

    #[test]
    fn an_engine_that_says_nothing() {
        let mut engine = sleeper();
        let silent = await_health(&mut engine, 1, Duration::ZERO).unwrap_err();
        assert!(matches!(silent, Failure::EngineSilent(0)), "{silent}");
        engine.kill().unwrap();
        engine.wait().unwrap();
    }

    #[test]
    fn answers_that_are_none() {
        for answer in ["", "HTTP/1.1 2", "HTTP/1.1 2000 ", "200 OK, certainly"] {
            let port = answering(Box::leak(vec![answer].into_boxed_slice()));
            assert!(!is_healthy(port).unwrap_or(false), "{answer}");
        }
    }
}
