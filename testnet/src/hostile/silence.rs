//! Addresses at which nobody answers: connections are taken there and never a word is said, or none is taken.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

/// Connections that are taken at one address and not answered, at most; with one more the oldest ends.
const UNANSWERED_MAX: usize = 256;

/// Takes connections and says nothing, until it is dropped.
pub struct Silence {
    _tasks: JoinSet<()>,
}

impl Silence {
    /// At these addresses.
    ///
    /// # Errors
    /// One is taken.
    pub fn keep(addresses: &[SocketAddr]) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        for address in addresses {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            tasks.spawn(take(TcpListener::from_std(listener)?));
        }
        Ok(Self { _tasks: tasks })
    }

    /// At so many ports of this machine that nobody else has.
    ///
    /// # Errors
    /// There are none left.
    pub fn anywhere(ports: usize) -> io::Result<(Self, Vec<SocketAddr>)> {
        let (mut tasks, mut addresses) = (JoinSet::new(), Vec::with_capacity(ports));
        for _ in 0..ports {
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            addresses.push(listener.local_addr()?);
            tasks.spawn(take(TcpListener::from_std(listener)?));
        }
        Ok((Self { _tasks: tasks }, addresses))
    }
}

async fn take(listener: TcpListener) {
    let mut unanswered = VecDeque::new();
    loop {
        if let Ok((connection, _)) = listener.accept().await {
            unanswered.push_back(connection);
            if unanswered.len() > UNANSWERED_MAX {
                unanswered.pop_front();
            }
        }
    }
}

/// A port of this machine that is taken, and at which nobody takes connections, until this is dropped.
#[derive(Debug)]
pub struct Void {
    _held: TcpSocket,
    /// Where.
    pub address: SocketAddr,
}

impl Void {
    /// Holds any free port.
    ///
    /// # Errors
    /// There is none left.
    pub fn hold() -> io::Result<Self> {
        let held = TcpSocket::new_v4()?;
        held.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = held.local_addr()?;
        Ok(Self { _held: held, address })
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::{Silence, Void};

    #[tokio::test]
    async fn one_takes_connections_and_the_other_refuses_them() {
        let (silence, addresses) = Silence::anywhere(2).unwrap();
        let mut heard = TcpStream::connect(addresses[1]).await.unwrap();
        let nothing = tokio::time::timeout(Duration::from_millis(50), heard.read_u8()).await;
        assert!(nothing.is_err(), "a word, or the end: {nothing:?}");
        assert!(Silence::keep(&addresses[..1]).is_err(), "taken");
        drop(silence);
        assert!(heard.read_u8().await.is_err());
        let void = Void::hold().unwrap();
        assert_eq!(TcpStream::connect(void.address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
}
