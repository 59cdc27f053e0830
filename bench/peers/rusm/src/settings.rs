// SPDX-License-Identifier: MIT
//! What the command line says, and the form of a result.

use std::time::Duration;

pub struct Settings {
    pub scenario: String,
    pub threads: usize,
    pub seconds: f64,
    pub size: Option<usize>,
    pub guests: Vec<String>,
}

impl Settings {
    pub fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut settings = Settings {
            scenario: args.next().ok_or("which scenario?")?,
            threads: 2,
            seconds: 1.0,
            size: None,
            guests: Vec::new(),
        };
        while let Some(key) = args.next() {
            let value = args.next().ok_or(format!("{key} needs a value"))?;
            let wrong = |_| format!("{key}: not a number: {value}");
            match key.as_str() {
                "--threads" => settings.threads = value.parse().map_err(wrong)?,
                "--size" => settings.size = Some(value.parse().map_err(wrong)?),
                "--guest" => settings.guests.push(value),
                "--seconds" => {
                    settings.seconds = value.parse().map_err(|_| format!("{key}: not a number"))?
                }
                _ => return Err(format!("unknown option {key}")),
            }
        }
        Ok(settings)
    }

    pub fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// `extra` is what identifies the figure besides name and threads, and what else was measured.
    pub fn report(&self, suffix: &str, value: f64, unit: &str, extra: &str) {
        println!(
            "{}{suffix} peer=rusm value={value:.2} unit={unit} threads={}{extra}",
            self.scenario, self.threads
        );
    }
}

/// Bytes of a line of /proc/self/status that is given in kB: "VmRSS", "VmHWM".
pub fn memory(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = text
        .lines()
        .find(|line| line.starts_with(field))
        .expect("the field is there");
    let kb = line.split_whitespace().nth(1).expect("a number follows");
    kb.parse::<f64>().expect("it is a number") * 1024.0
}

/// " p50_us=... p99_us=..." of samples in nanoseconds.
pub fn percentiles(samples: &mut [u64]) -> String {
    format!(
        " p50_us={:.3} p99_us={:.3}",
        percentile_us(samples, 0.5),
        percentile_us(samples, 0.99)
    )
}

pub fn percentile_us(samples: &mut [u64], share: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    samples.sort_unstable();
    let index = ((samples.len() as f64 * share) as usize).min(samples.len() - 1);
    samples[index] as f64 / 1000.0
}
