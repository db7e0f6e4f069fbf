//! Sockets and hosts of this machine.

use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpSocket};

/// Room for a burst of connections: beyond the usual 128 one waits a second, and the client gives up.
const BACKLOG: u32 = 1024;

pub(crate) fn listen(address: Ipv4Addr, port: u16) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((address, port).into())?;
    socket.listen(BACKLOG)
}

/// Whether a `Host` (RFC 9110, section 7.2) names this machine, with any port. By DNS rebinding a web page can send requests
/// here under the name of its own host, and read the responses.
#[must_use]
pub fn is_this_machine(host: &str) -> bool {
    let has_name = |name: &str| {
        let port = host
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .and(host.get(name.len()..));
        port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    };
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(has_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_this_machine_are_its_own() {
        for host in ["localhost", "LOCALHOST:3000", "127.0.0.1:0", "[::1]", "[::1]:8000"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "localhost.example", "127.0.0.1.example", "127.0.0.2", "example.com", "::1", "é"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
