//! A client for the options: region, credentials, retries.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::{StaticConfiguration, WebIdentityTokenCredentialsProvider};
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Credentials, RequestChecksumCalculation, ResponseChecksumValidation, SharedCredentialsProvider,
};

use super::options::{Checksum, S3Options};
use crate::error::{Error, Result};

/// What a session of an assumed role is called in AWS's records, unless an option says otherwise.
const SESSION: &str = "citystream";
/// The region of a server that is not AWS's and has none.
const NO_REGION: &str = "us-east-1";

/// The client for `options`.
///
/// # Errors
/// `Config` where no region is known.
pub(super) async fn client(options: &S3Options) -> Result<Client> {
    let shared = base(options).load().await;
    let Some(region) = shared.region().cloned() else {
        return Err(Error::config("the region of the bucket is not known")
            .help("Give the storage option region, or set AWS_REGION"));
    };
    let mut shared = shared;
    if let Some(provider) = role(options, &shared, region).await {
        shared = shared.into_builder().credentials_provider(provider).build();
    }
    let mut config = aws_sdk_s3::config::Builder::from(&shared).force_path_style(options.path_style());
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

fn base(options: &S3Options) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(options.connect_timeout())
        .operation_attempt_timeout(options.timeout())
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(options.retries().saturating_add(1)))
        .timeout_config(timeouts);
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    } else if options.endpoint.is_some() {
        loader = loader.region(Region::new(NO_REGION));
    }
    if options.checksum == Checksum::Never {
        loader = loader
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    if let Some(profile) = &options.profile {
        // Also for the profile's region; its credentials by a provider of its own, which no variable overrules.
        let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(credentials);
    }
    if let (Some(id), Some(secret)) = (&options.access_key_id, &options.secret_access_key) {
        loader = loader.credentials_provider(Credentials::new(
            id,
            secret,
            options.session_token.clone(),
            None,
            "storage options",
        ));
    }
    if options.skip_signature {
        loader = loader.no_credentials();
    }
    loader
}

/// What takes on the role of the options, where they name one.
async fn role(options: &S3Options, shared: &SdkConfig, region: Region) -> Option<SharedCredentialsProvider> {
    let role = options.role_arn.as_ref()?;
    let session = options.role_session_name.as_deref().unwrap_or(SESSION);
    if let Some(file) = &options.web_identity_token_file {
        let provider = WebIdentityTokenCredentialsProvider::builder()
            .static_configuration(StaticConfiguration {
                web_identity_token_file: file.into(),
                role_arn: role.clone(),
                session_name: session.to_owned(),
            })
            .configure(&aws_config::provider_config::ProviderConfig::without_region().with_region(Some(region)))
            .build();
        return Some(SharedCredentialsProvider::new(provider));
    }
    let mut config = shared.to_builder();
    if let Some(endpoint) = &options.sts_endpoint {
        config = config.endpoint_url(endpoint);
    }
    let provider =
        AssumeRoleProvider::builder(role).session_name(session).region(region).configure(&config.build()).build().await;
    Some(SharedCredentialsProvider::new(provider))
}
