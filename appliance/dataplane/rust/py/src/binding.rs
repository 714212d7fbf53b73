//! What both services translate between Python and Rust: addresses in, bound endpoints and errors out.

use std::io;
use std::net::{IpAddr, SocketAddr};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::crew::Sandbox;
use crate::socket::Wanted;

/// Host, port, and descriptors of sockets that are bound there already.
pub type WantedTuple = (String, u16, Vec<i32>);

/// What is to be served.
pub fn to_wanted(listen: Vec<WantedTuple>) -> PyResult<Vec<Wanted>> {
    let parse = |(host, port, lent): WantedTuple| match host.parse::<IpAddr>() {
        Ok(ip) => Ok(Wanted { address: SocketAddr::new(ip, port), lent }),
        Err(_) => Err(PyValueError::new_err(format!("not an IP address: {host}"))),
    };
    listen.into_iter().map(parse).collect()
}

/// Addresses as (host, port) pairs.
pub fn to_pairs(addresses: &[SocketAddr]) -> Vec<(String, u16)> {
    addresses.iter().map(|address| (address.ip().to_string(), address.port())).collect()
}

/// `OSError` whose `filename` is the endpoint that could not be served.
pub fn os_error((address, error): (SocketAddr, io::Error)) -> PyErr {
    PyOSError::new_err((error.raw_os_error().unwrap_or(0), error.to_string(), address.to_string()))
}

/// (in force?, why not).
pub fn to_sandbox(sandbox: &Sandbox) -> (bool, String) {
    match sandbox {
        Sandbox::On => (true, String::new()),
        Sandbox::Off => (false, "switched off".to_owned()),
        Sandbox::Lacking(why) => (false, why.clone()),
    }
}
