//! `respite check-config`, `doctor` and `health`

use std::fs;
use std::process::ExitCode;

use server::config::{Config, TlsSettings};
use server::doctor::{self, Verdict};
use server::{health, open};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::Outcome;

pub(crate) fn settings(config: &Config) -> Outcome {
    open::post(config)?;
    if let Some(tls) = &config.tls {
        open::tls(tls)?;
    }
    open::staff_provider(config)?;
    if let Some(door) = &config.staff.door {
        open::staff_tls(door)?;
    }
    anstream::println!(
        "the settings are well-formed, and the files they name can be read; `respite doctor` tries the rest"
    );
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn doctor(config: &Config) -> Outcome {
    let findings = doctor::examine(config).await;
    for finding in &findings {
        anstream::println!("{finding}");
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(crate) async fn health(config: &Config, address: Option<String>) -> Outcome {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let address = address.unwrap_or_else(|| format!("{scheme}://{}", health::local_address(config.listen)));
    let mut endpoint = Endpoint::from_shared(address)?;
    if let Some(TlsSettings { certificate, .. }) = &config.tls {
        let trusted = Certificate::from_pem(fs::read(certificate)?);
        endpoint = endpoint.tls_config(
            ClientTlsConfig::new().ca_certificate(trusted).domain_name(config.audience.as_str()),
        )?;
    }
    let zone_rules = health::ask(endpoint).await?;
    anstream::println!("serving by zone rules {zone_rules}");
    Ok(ExitCode::SUCCESS)
}
