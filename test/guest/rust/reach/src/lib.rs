// SPDX-License-Identifier: MIT
//! A guest that reaches for the world, by the standard library and by the guest crate, and answers
//! what came of it. What it may reach is for the profile to say.

use std::io::{Error, Read, Write};

use serde_json::{json, Value};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

fn told<T>(result: Result<T, Error>) -> Value {
    match result {
        Ok(_) => json!("ok"),
        Err(error) => json!(format!("{:?}", error.kind())),
    }
}

fn told_of_socket<T>(result: Result<T, ErrorCode>) -> Value {
    match result {
        Ok(_) => json!("ok"),
        Err(code) => json!(code.name()),
    }
}

fn loopback(port: u16) -> IpSocketAddress {
    let address = (127, 0, 0, 1);
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })
}

fn connect() -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_connect(&instance_network(), loopback(1))?;
    socket.subscribe().block();
    socket.finish_connect().map(drop)
}

fn listen(port: u16) -> Result<(), ErrorCode> {
    let socket = create_tcp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), loopback(port))?;
    socket.finish_bind()?;
    socket.start_listen()?;
    socket.finish_listen()
}

fn datagram() -> Result<(), ErrorCode> {
    let socket = create_udp_socket(IpAddressFamily::Ipv4)?;
    socket.start_bind(&instance_network(), loopback(0))?;
    socket.finish_bind()
}

fn resolve() -> Result<(), ErrorCode> {
    let lookup = resolve_addresses(&instance_network(), "localhost")?;
    lookup.subscribe().block();
    lookup.resolve_next_address().map(drop)
}

/// Everything that needs a grant.
fn everything() -> Value {
    let mut input = Vec::new();
    println!("said by the guest");
    eprintln!("warned by the guest");
    json!({
        "variables": std::env::vars().count(),
        "arguments": std::env::args().count(),
        "input": std::io::stdin().read_to_end(&mut input).map_or(-1, |count| count as i64),
        "output": told(std::io::stdout().flush()),
        "read": told(std::fs::read("/etc/hostname")),
        "list": told(std::fs::read_dir("/")),
        "write": told(std::fs::write("out.txt", "x")),
        "connect": told_of_socket(connect()),
        "listen": told_of_socket(listen(0)),
        "datagram": told_of_socket(datagram()),
        "resolve": told_of_socket(resolve()),
    })
}

/// In a folder that was granted as /data.
fn files() -> Value {
    json!({
        "read": std::fs::read_to_string("/data/in.txt").ok(),
        "missing": told(std::fs::read("/data/missing.txt")),
        "write": told(std::fs::write("/data/in.txt", "changed")),
        "make": told(std::fs::create_dir("/data/new")),
        "remove": told(std::fs::remove_file("/data/in.txt")),
        "above": told(std::fs::read("/data/../secret.txt")),
        "link": told(std::fs::read("/data/link.txt")),
    })
}

fn fetch(url: &str) -> Value {
    let request = rusm_rs::http::Request::get(url).header("x-asked-by", "reach");
    match rusm_rs::http::fetch(&request) {
        Err(why) => json!({ "error": why }),
        Ok(answer) => json!({
            "status": answer.status,
            "headers": answer.headers,
            "size": answer.body.len(),
            "body": String::from_utf8_lossy(&answer.body[..answer.body.len().min(64)]),
        }),
    }
}

#[rusm_rs::handlers]
pub mod reach {
    use rusm_rs::http::{Params, Request, Response};
    use serde_json::{json, Value};

    fn answer(value: Value) -> Response {
        Response::new(200, value.to_string()).header("content-type", "application/json")
    }

    fn body(request: &Request) -> String {
        String::from_utf8_lossy(&request.body).into_owned()
    }

    pub fn everything(_: Request, _: Params) -> Response {
        answer(super::everything())
    }

    pub fn files(_: Request, _: Params) -> Response {
        answer(super::files())
    }

    pub fn nothing(_: Request, _: Params) -> Response {
        answer(json!({}))
    }

    /// The body is the URL.
    pub fn fetch(request: Request, _: Params) -> Response {
        answer(super::fetch(&body(&request)))
    }

    /// The body is the source.
    pub fn spawn(request: Request, params: Params) -> Response {
        let template = params.get("template").unwrap_or_default();
        answer(match rusm_rs::spawn_from(template, &body(&request)) {
            Ok(pid) => json!({ "pid": pid.0 }),
            Err(why) => json!({ "error": why }),
        })
    }

    pub fn keep(request: Request, params: Params) -> Response {
        let key = params.get("key").unwrap_or_default();
        answer(
            match rusm_rs::kv::bucket("bundles").set(key, &request.body) {
                Ok(()) => json!({}),
                Err(why) => json!({ "error": why }),
            },
        )
    }
}
