//! Load for NTP and DNS servers; `--help` says how it works.

mod flight;
mod histogram;
mod net;
mod options;
mod run;
mod wire;

use std::io;
use std::process::ExitCode;

use options::{HELP, Options, Pace};
use run::{Seen, Thread};
use wire::Wire;

/// From this share of a processor on, the load generator is what limits.
const FULL: f64 = 0.97;
/// In a closed loop that never sleeps: it limits when hardly a pass found nothing to do.
const ALWAYS_BUSY: f64 = 0.05;
/// In an open loop: what is later than that at the 99th percentile is not the rate asked for.
const BEHIND_US: f64 = 1000.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let prepared = Options::parse(&arguments).and_then(|options| Ok((Wire::new(&options.asked)?, options)));
    let (wire, options) = match prepared {
        Ok(prepared) => prepared,
        Err(why) => {
            eprintln!("timeball-load: {why}");
            return ExitCode::from(2);
        }
    };
    match ask(&options, &wire) {
        Ok(seen) => {
            println!("{}", report(&options, &seen));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("timeball-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ask(options: &Options, wire: &Wire) -> io::Result<Seen> {
    let threads: Vec<_> =
        (0..options.threads).map(|number| Thread::new(options, wire, number)).collect::<Result<_, _>>()?;
    std::thread::scope(|scope| {
        let running: Vec<_> = threads.into_iter().map(|thread| scope.spawn(|| thread.run())).collect();
        let mut all: Option<Seen> = None;
        for thread in running {
            let seen = thread.join().map_err(|_| io::Error::other("a thread panicked"))??;
            match &mut all {
                None => all = Some(seen),
                Some(all) => all.merge(&seen),
            }
        }
        all.ok_or_else(|| io::Error::other("no thread"))
    })
}

fn report(options: &Options, seen: &Seen) -> String {
    let behind_us = seen.behind.quantile_us(0.99).unwrap_or(0.0);
    let limited = match options.pace {
        Pace::Rate(rate, _) => behind_us > BEHIND_US || (seen.sent as f64) < 0.98 * rate * seen.elapsed_s,
        Pace::Window(_) if options.spin => seen.idle_passes < ALWAYS_BUSY,
        Pace::Window(_) => seen.busy > FULL,
    };
    let answered = seen.ok + seen.late + seen.wrong;
    let written = |us: Option<f64>| us.map_or("null".to_owned(), |us| format!("{us:.1}"));
    let quantile = |share| written(seen.latency.quantile_us(share));
    let trip = |share| written(seen.trip.quantile_us(share));
    format!(
        "{{\"sent\": {}, \"ok\": {}, \"late\": {}, \"wrong\": {}, \"lost\": {}, \"stray\": {}, \"elapsed_s\": {:.4}, \
         \"sent_per_s\": {:.1}, \"ok_per_s\": {:.1}, \"p50_us\": {}, \"p90_us\": {}, \"p99_us\": {}, \"p999_us\": {}, \
         \"max_us\": {}, \"trip_p50_us\": {}, \"trip_p99_us\": {}, \"behind_p99_us\": {behind_us:.1}, \"busy\": {:.3}, \"idle_passes\": {:.3}, \
         \"groups\": {}, \"limited\": {limited}}}",
        seen.sent,
        seen.ok,
        seen.late,
        seen.wrong,
        seen.sent - answered,
        seen.stray,
        seen.elapsed_s,
        seen.sent as f64 / seen.elapsed_s,
        seen.ok as f64 / seen.elapsed_s,
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0),
        trip(0.5),
        trip(0.99),
        seen.busy,
        seen.idle_passes,
        seen.groups.len(),
    )
}
