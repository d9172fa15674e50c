//! The SDK's client and how it is made anew: other region, other address, fresh credentials.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::config::{
    ProvideCredentials, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::Client;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::decide;
use super::facts::chain;
use super::{Kind, Trouble};

/// How long the source of the credentials may take: a process, a token service, the metadata of the host.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a client is made of besides the AWS credential chain.
#[derive(Debug, Clone)]
pub struct Settings {
    pub bucket: String,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// One client; a later one replaces it.
#[derive(Debug, Clone)]
pub struct Connection {
    pub client: Client,
    /// Counts the clients of the run: a failure of an older one must not replace a newer one.
    pub generation: u32,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

impl Connection {
    /// Reads the configuration of the environment and the profile again and makes sure that there are credentials.
    pub async fn open(settings: &Settings, generation: u32) -> Result<Self, Trouble> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let shared = loader.load().await;
        let bucket = format!("open bucket {}", settings.bucket);
        let Some(provider) = shared.credentials_provider() else {
            return Err(decide::no_credentials(&bucket));
        };
        let provided = tokio::select! {
            provided = tokio::time::timeout(PATIENCE, provider.provide_credentials()) => provided,
            () = super::stopped() => return Err(Trouble::stopped()),
        };
        let Ok(provided) = provided else {
            let seconds = PATIENCE.as_secs();
            return Err(Trouble::new(
                Kind::Unreachable,
                format!("{bucket}: the source of the credentials has not answered for {seconds} s"),
            )
            .hint(
                "try `aws sts get-caller-identity`; look at credential_process, SSO or the metadata service",
            ));
        };
        if let Err(error) = provided {
            let text = chain(&error);
            let mut trouble = decide::no_credentials(&bucket);
            if !text.contains("no providers in chain") && !text.contains("was not enabled") {
                // A source was there and did not work: a profile that is not, a token that cannot be read.
                trouble.message = format!("{}: {text}", trouble.message);
            }
            return Err(trouble);
        }
        let endpoint = shared.endpoint_url().map(str::to_owned).or_else(|| settings.endpoint.clone());
        let region = shared.region().map(ToString::to_string);
        let config = aws_sdk_s3::config::Builder::from(&shared)
            // A server that is not Amazon's needs some region for the signature; us-east-1 is what they expect.
            .region(Region::new(region.clone().unwrap_or_else(|| "us-east-1".to_owned())))
            .force_path_style(endpoint.is_some())
            // Attempts are counted in one place, store::call: two layers would multiply.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().connect_timeout(Duration::from_secs(10)).build())
            // store::call watches the bytes of the bodies itself, in both directions.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // The checksums are computed while the file is read, and given as headers.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Ok(Self { client: Client::from_conf(config), generation, region, endpoint })
    }
}
